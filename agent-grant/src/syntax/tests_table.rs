//! `[[test]]`: what a grant expects of itself.

use toml::de::DeTable;

use super::{
    reader::{Reader, Text},
    rules::FILE_RIGHT_NAMES,
};
use crate::diagnostic::{Diagnostic, Location};
use agent_abi::FileRights;

/// What a test asks, not yet expanded.
#[derive(Clone, Debug)]
pub enum RawQuestion {
    /// These rights on this path.
    File { path: Text, rights: FileRights },
    /// Connecting there: "1.2.3.4:443/tcp".
    Connect(Text),
}

/// A `[[test]]` table.
#[derive(Clone, Debug)]
pub struct RawTest {
    pub question: RawQuestion,
    /// True: must be allowed.
    pub allow: bool,
    pub location: Location,
}

pub(crate) fn read_test(
    reader: &mut Reader,
    table: &DeTable<'_>,
    location: Location,
) -> Option<RawTest> {
    let errors = reader.errors.len();
    reader.check_keys(table, "`[[test]]`", &["path", "right", "connect", "expect"]);
    let expect = reader.required(
        table,
        "expect",
        &location,
        "`expect = \"allow\"` or \"deny\"",
    );
    let allow = expect.and_then(|v| reader.word(v, "expect", &[("allow", true), ("deny", false)]));
    let question = match (table.get("path"), table.get("connect")) {
        (Some(path), None) => {
            let path = reader.text(path, "path", "a path");
            let right = reader.required(table, "right", &location, "`right = \"read\"`");
            let words = right
                .map(|value| reader.texts(value, "right"))
                .unwrap_or_default();
            let valid: Vec<_> = FILE_RIGHT_NAMES.iter().map(|(name, _)| *name).collect();
            let mut rights = FileRights::NONE;
            for word in &words {
                match FILE_RIGHT_NAMES
                    .iter()
                    .find(|(name, _)| *name == word.value)
                {
                    Some((_, right)) => rights = rights.union(*right),
                    None => reader.unknown_word(word, "right of `[[file]]`", &valid),
                }
            }
            path.map(|path| RawQuestion::File { path, rights })
        }
        (None, Some(to)) => {
            if let Some(right) = table.get("right") {
                let at = reader.at(right.span());
                reader.error(Diagnostic::error(at, "a `connect` test has no `right`"));
            }
            reader
                .text(to, "connect", "a destination")
                .map(RawQuestion::Connect)
        }
        _ => {
            reader.error(
                Diagnostic::error(location.clone(), "a test asks one question")
                    .label("expected either `path` and `right`, or `connect`"),
            );
            None
        }
    };
    if reader.errors.len() != errors {
        return None;
    }
    Some(RawTest {
        question: question?,
        allow: allow?,
        location,
    })
}
