//! Values as a grant's text has them. What a terminal would act on is written out, so that what is printed is
//! what is meant.

use std::fmt::Write as _;

use crate::render::escape::is_harmless;

/// A string, in double quotes: in single ones nothing could be written out.
pub(super) fn string(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if is_harmless(c.encode_utf8(&mut [0; 4])) => out.push(c),
            c if u32::from(c) <= 0xffff => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => {
                let _ = write!(out, "\\U{:08X}", u32::from(c));
            }
        }
    }
    out + "\""
}

/// A list of strings.
pub(super) fn list(texts: &[String]) -> String {
    let texts: Vec<_> = texts.iter().map(|text| string(text)).collect();
    format!("[{}]", texts.join(", "))
}

/// The name of a variable, before the `=`.
pub(super) fn key(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if !name.is_empty() && name.chars().all(is_bare) {
        return name.into();
    }
    string(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn back(text: &str) -> Option<String> {
        let document: toml::Table = format!("x = {text}").parse().ok()?;
        Some(document["x"].as_str()?.to_owned())
    }

    #[test]
    fn what_a_terminal_acts_on_is_written_out() {
        let text = "a\u{2028}\u{202e}\u{feff}\u{85}\u{7f}\u{1b}\u{e0001}'\"\\b\r\n";
        let written = string(text);
        assert!(is_harmless(&written), "{written:?}");
        assert_eq!(back(&written).as_deref(), Some(text));
        assert_eq!(string("/w/ü*"), "\"/w/ü*\"");
        assert_eq!(key("a b"), "\"a b\"");
    }

    proptest! {
        #[test]
        fn every_text_makes_the_round_trip(text in "(?s).{0,30}") {
            let written = string(&text);
            prop_assert!(is_harmless(&written));
            prop_assert_eq!(back(&written), Some(text));
        }
    }
}
