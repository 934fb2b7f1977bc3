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
    fn ordinary_text_is_left_alone() {
        assert!(matches!(escape("/home/ü/日本 file.txt"), Cow::Borrowed(_)));
    }

    #[test]
    fn bytes_that_are_not_text_are_shown_as_such() {
        assert_eq!(escape_bytes(b"/w/\xff\xfe\x1b"), "/w/\\xff\\xfe\\u{1b}");
        assert_eq!(escape_bytes("/ü".as_bytes()), "/ü");
    }
}
