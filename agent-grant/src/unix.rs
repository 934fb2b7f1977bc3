//! Names of abstract Unix sockets.

use std::ops::Range;

use crate::{
    effect::Effect,
    glob::{Atom, GlobError, matches_name, parse_names},
};

/// A pattern for abstract names, written `@name` with `*`, `?`, classes and braces. Here `*` and
/// `?` match slashes too, since these names are not paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern {
    /// One list of atoms for each way through the braces, without the `@`.
    alternatives: Vec<Vec<Atom>>,
}

impl NamePattern {
    /// Whether an abstract name (without its leading NUL) matches.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        self.alternatives
            .iter()
            .any(|atoms| matches_name(atoms, name))
    }
}

/// A rule about abstract names.
#[derive(Clone, Debug)]
pub(crate) struct NameRule {
    pub(crate) number: u16,
    pub(crate) effect: Effect,
    /// Every way through its patterns' braces.
    pub(crate) ways: Vec<Vec<Atom>>,
}

impl NameRule {
    /// `number` is the rule's place in its grant.
    pub(crate) fn new(number: u16, effect: Effect, names: &[NamePattern]) -> Self {
        let ways = names.iter().flat_map(|name| name.alternatives.clone());
        Self {
            number,
            effect,
            ways: ways.collect(),
        }
    }
}

/// What is decided about abstract names.
#[derive(Clone, Debug)]
pub(crate) struct NameTable {
    /// A name is allowed if every part allows it. A grant is one part, an intersection several: its
    /// rules do not add up to the rules of one grant.
    pub(crate) parts: Vec<Vec<NameRule>>,
}

impl NameTable {
    /// What both allow, the other's rules numbered anew.
    pub(crate) fn intersect(&self, other: &Self, renumber: impl Fn(u16) -> u16) -> Self {
        let mut parts = self.parts.clone();
        parts.extend(other.parts.iter().cloned().map(|mut part| {
            for rule in &mut part {
                rule.number = renumber(rule.number);
            }
            part
        }));
        Self { parts }
    }
}

/// Reads a pattern such as "@dbus-*".
///
/// # Errors
/// The first mistake.
pub(crate) fn parse(
    text: &str,
    variable: &dyn Fn(&str) -> Result<String, String>,
) -> Result<NamePattern, GlobError> {
    let fail = |span: Range<usize>, message: &str, label: &str| GlobError {
        span,
        message: message.to_owned(),
        label: label.to_owned(),
        help: None,
    };
    let Some(name) = text.strip_prefix('@') else {
        return Err(fail(
            0..text.len(),
            "an abstract name begins with `@`",
            "a socket that has a path belongs into `[[file]]` with `connect`",
        ));
    };
    if name.is_empty() {
        return Err(fail(
            0..text.len(),
            "the name is empty",
            "expected `@` and a name",
        ));
    }
    // The same language as a path's, read behind a slash, which is as long as `@`.
    let alternatives = parse_names(&format!("/{name}"), variable)?;
    Ok(NamePattern { alternatives })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        let pattern = parse(pattern, &|_| Err(String::new())).unwrap();
        pattern.matches(name.as_bytes())
    }

    #[test]
    fn slashes_and_dots_are_bytes_like_others() {
        assert!(matches("@/tmp/.X11-unix/*", "/tmp/.X11-unix/X0"));
        assert!(!matches("@/tmp/.X11-unix/*", "/tmp/.ICE-unix/1"));
        assert!(matches("@a//b/", "a//b/") && !matches("@a//b/", "a/b/"));
        assert!(matches("@./{x,../y}", "./../y"));
        assert!(matches("@*d?us*", "/run/dbus/1"));
    }

    #[test]
    fn two_stars_mean_nothing() {
        let error = parse("@a/**", &|_| Err(String::new())).unwrap_err();
        assert_eq!(error.message, "`**` has no meaning in a name");
    }
}
