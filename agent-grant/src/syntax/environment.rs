//! The `[environment]` table: what a session is handed over of its caller's environment.

use toml::de::DeTable;

use super::reader::{Reader, Text};
use crate::diagnostic::Diagnostic;

/// `[environment]` as written; nothing is expanded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawEnvironment {
    /// Whether what programs need is kept; `None` is not given.
    pub default: Option<bool>,
    /// Patterns of names.
    pub keep: Vec<Text>,
    /// Names and values.
    pub set: Vec<(Text, Text)>,
    /// Whether the session has a directory of its own for temporary files; `None` is not given.
    pub private_tmp: Option<bool>,
}

/// The words of `tmp`, and whether they mean a directory of the session's own.
const TMP: [(&str, bool); 2] = [("shared", false), ("private", true)];

/// What `bailiff run` gives to every session, whatever the grant says.
pub const GIVEN: &str = "BAILIFF_SESSION";

pub(crate) fn read_environment(reader: &mut Reader, table: &DeTable<'_>) -> RawEnvironment {
    reader.check_keys(table, "`[environment]`", &["default", "keep", "set", "tmp"]);
    let mut raw = RawEnvironment {
        default: table
            .get("default")
            .and_then(|value| reader.boolean(value, "default")),
        private_tmp: table
            .get("tmp")
            .and_then(|value| reader.word(value, "tmp", &TMP)),
        ..RawEnvironment::default()
    };
    if let Some(value) = table.get("keep") {
        raw.keep = reader.texts(value, "keep");
        for name in &raw.keep {
            check_name(reader, name, true);
        }
    }
    let set = table.get("set").and_then(|value| {
        reader
            .table(value, "environment.set")
            .map(|table| table.iter())
    });
    for (key, value) in set.into_iter().flatten() {
        let name = Text {
            value: key.get_ref().as_ref().to_owned(),
            location: reader.at(key.span()),
        };
        check_name(reader, &name, false);
        if let Some(text) = reader.text(value, &name.value, "a string") {
            raw.set.push((name, text));
        }
    }
    raw
}

fn check_name(reader: &mut Reader, name: &Text, pattern: bool) {
    let valid = |c: char| c.is_ascii_alphanumeric() || "_-.%".contains(c) || (pattern && c == '*');
    if name.value == GIVEN {
        reader.error(
            Diagnostic::error(name.location.clone(), format!("`{GIVEN}` is given"))
                .label("every session has its own name in it"),
        );
    } else if name.value.is_empty() || !name.value.chars().all(valid) {
        let also = if pattern { ", `*` for any" } else { "" };
        reader.error(
            Diagnostic::error(
                name.location.clone(),
                format!("`{}` is no name of a variable", name.value.escape_debug()),
            )
            .label(format!("expected letters, digits and `_`{also}")),
        );
    }
}
