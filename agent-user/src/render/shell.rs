//! Commands that are shown so that they can be copied.

use super::{escape, escape::is_harmless};

/// `word` as a shell takes it, safe to show. What a terminal would act on stays an escape.
#[must_use]
pub fn word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:=@%,".contains(c);
    // A shell takes a backslash between quotes as it is: two would be another word.
    let shown = if is_harmless(word) {
        word.into()
    } else {
        escape(word)
    };
    if !shown.is_empty() && shown.chars().all(plain) {
        shown.into_owned()
    } else {
        format!("'{}'", shown.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::word;

    #[test]
    fn only_what_a_shell_would_act_on_is_quoted() {
        assert_eq!(word("/w/a-b.c"), "/w/a-b.c");
        assert_eq!(word("cwd=/my dir"), "'cwd=/my dir'");
        assert_eq!(word("it's"), "'it'\\''s'");
        assert_eq!(word("$(x)"), "'$(x)'");
        assert_eq!(word("a\x1b[2J"), "'a\\u{1b}[2J'");
        assert_eq!(word(r"a\b"), r"'a\b'");
        assert_eq!(word(""), "''");
    }
}
