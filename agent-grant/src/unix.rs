//! Names of abstract Unix sockets.

use std::ops::Range;

use crate::glob::{Atom, Component, Glob, GlobError, matches_name, parse as parse_glob};

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
    // The same language as a path of which every piece counts, read behind a slash as long as `@`.
    let globs = parse_glob(&format!("/{name}"), variable)?;
    let alternatives = globs.iter().map(flatten).collect::<Option<Vec<_>>>();
    alternatives
        .map(|alternatives| NamePattern { alternatives })
        .ok_or_else(|| {
            fail(
                0..text.len(),
                "`**` has no meaning in a name",
                "expected `*`",
            )
        })
}

fn flatten(glob: &Glob) -> Option<Vec<Atom>> {
    let mut atoms = Vec::new();
    for (index, component) in glob.components.iter().enumerate() {
        let Component::Name(name) = component else {
            return None;
        };
        if index > 0 {
            atoms.push(Atom::Byte(b'/'));
        }
        atoms.extend_from_slice(name);
    }
    Some(atoms)
}
