//! The grants that ship.

use crate::{diagnostic::Source, model::IncludeError};

const SHIPPED: [(&str, &str); 11] = [
    ("base", include_str!("../../policies/base.toml")),
    ("claude", include_str!("../../policies/claude.toml")),
    ("coder", include_str!("../../policies/coder.toml")),
    ("codex", include_str!("../../policies/codex.toml")),
    (
        "delayed-code",
        include_str!("../../policies/delayed-code.toml"),
    ),
    ("gemini", include_str!("../../policies/gemini.toml")),
    (
        "mcp-filesystem",
        include_str!("../../policies/mcp-filesystem.toml"),
    ),
    ("offline", include_str!("../../policies/offline.toml")),
    ("reviewer", include_str!("../../policies/reviewer.toml")),
    ("secrets", include_str!("../../policies/secrets.toml")),
    (
        "tool-server",
        include_str!("../../policies/tool-server.toml"),
    ),
];

/// Names of the grants that ship.
#[must_use]
pub fn shipped_names() -> Vec<&'static str> {
    SHIPPED.iter().map(|(name, _)| *name).collect()
}

/// A grant that ships.
#[must_use]
pub fn shipped(name: &str) -> Option<Source> {
    let (name, text) = SHIPPED.iter().find(|(known, _)| *known == name)?;
    Some(Source::new(format!("{name}.toml (shipped)"), *text))
}

/// An include function that knows the grants that ship and nothing else.
///
/// # Errors
/// Names what there is.
pub fn shipped_includes(name: &str) -> Result<Source, IncludeError> {
    shipped(name).ok_or_else(|| IncludeError {
        message: "no such grant".to_owned(),
        known: shipped_names().into_iter().map(str::to_owned).collect(),
    })
}
