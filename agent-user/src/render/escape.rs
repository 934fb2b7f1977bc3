//! Untrusted text: an agent chooses its file names, and a terminal obeys what it is shown.

use std::borrow::Cow;

/// `text` with everything that a terminal or an editor would act on written as an escape.
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| acts(c) || c == '\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if acts(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Whether nothing in `text` would be acted on, so that it can be shown as it is.
#[must_use]
pub fn is_harmless(text: &str) -> bool {
    !text.chars().any(acts)
}

/// [`escape`] for bytes that need not be UTF-8.
#[must_use]
pub fn escape_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(&escape(chunk.valid()));
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// What goes to a terminal: lines of text and this program's own colours. Every part was escaped where it was
/// put in; whatever was not is written out here.
#[must_use]
pub fn settle(text: &str) -> Cow<'_, str> {
    if is_harmless(text) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (kept, after) = rest.split_at(style_length(rest).unwrap_or(c.len_utf8()));
        if acts(c) && !matches!(c, '\n' | '\t') && style_length(rest).is_none() {
            out.extend(c.escape_unicode());
        } else {
            out.push_str(kept);
        }
        rest = after;
    }
    Cow::Owned(out)
}

/// Bytes of the sequence at the start of `text` that sets colours and weights (SGR), and can do nothing else.
fn style_length(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let length = parameters.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    parameters[length..].starts_with('m').then_some(length + 3)
}

/// [`settle`] for a JSON document, whose own escapes say the same.
#[must_use]
pub fn settle_json(text: &str) -> Cow<'_, str> {
    if is_harmless(text) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if acts(c) && c != '\n' {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Controls, and what is invisible or turns the direction of text.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_written_out() {
        assert_eq!(escape("/w/a\x1b[2Jb"), "/w/a\\u{1b}[2Jb");
        assert_eq!(escape("two\nlines\r\t"), "two\\nlines\\r\\t");
        assert_eq!(escape("back\\slash"), "back\\\\slash");
        assert_eq!(escape("csi\u{9b}2J"), "csi\\u{9b}2J");
    }

    #[test]
    fn bidirectional_and_invisible_characters_are_written_out() {
        assert_eq!(escape("cod.exe\u{202e}gpj"), "cod.exe\\u{202e}gpj");
        assert_eq!(
            escape("a\u{200b}b\u{2066}c\u{feff}"),
            "a\\u{200b}b\\u{2066}c\\u{feff}"
        );
    }

    #[test]
    fn a_terminal_is_sent_lines_and_colours_alone() {
        let styled = "\u{1b}[1m\u{1b}[31mDENIED\u{1b}[0m\ta\n";
        assert_eq!(settle(styled), styled);
        for (sent, shown) in [
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("\u{1b}]0;title\u{7}", "\\u{1b}]0;title\\u{7}"),
            ("\u{1b}[1", "\\u{1b}[1"),
            ("\u{1b}", "\\u{1b}"),
            ("a\r\u{202e}\\", "a\\u{d}\\u{202e}\\"),
        ] {
            assert_eq!(settle(sent), shown);
        }
    }

    #[test]
    fn a_json_document_says_the_same_and_holds_nothing_that_acts() {
        let value = serde_json::json!({ "path": "/w/\u{202e}\u{e0041}\u{9b}2J\u{1b}\\" });
        for text in [
            serde_json::to_string(&value).unwrap(),
            serde_json::to_string_pretty(&value).unwrap(),
        ] {
            let sent = settle_json(&text);
            assert!(is_harmless(&sent.replace('\n', "")), "{sent}");
            assert_eq!(
                serde_json::from_str::<serde_json::Value>(&sent).unwrap(),
                value
            );
        }
    }

    #[test]
    fn ordinary_text_is_left_alone() {
        assert!(matches!(escape("/home/ü/日本 file.txt"), Cow::Borrowed(_)));
    }

    #[test]
    fn bytes_that_are_not_text_are_shown_as_such() {
        assert_eq!(escape_bytes(b"/w/\xff\xfe\x1b"), "/w/\\xff\\xfe\\u{1b}");
        assert_eq!(escape_bytes("/ü".as_bytes()), "/ü");
    }
}
