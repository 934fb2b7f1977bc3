//! `[[file]]`, `[[net]]` and `[[unix]]` tables.

use agent_abi::{FileRights, Right};
use toml::de::DeTable;

use super::reader::{Reader, Text, Value, is_misspelt};
use crate::diagnostic::{Diagnostic, Location};

pub use crate::effect::Effect;

/// A rule as written: strings are not looked into yet, rights are.
#[derive(Clone, Debug)]
pub struct RawRule {
    pub id: Option<Text>,
    pub reason: Option<Text>,
    pub effect: Effect,
    /// Only of `[[file]]`.
    pub rights: FileRights,
    /// `path`, `to` or `name`.
    pub objects: Vec<Text>,
    /// Only of `[[file]]`.
    pub except: Vec<Text>,
    /// The table's head.
    pub location: Location,
}

/// What stands for every file right.
const ALL: &str = "all";

/// The file rights with the names that grants use, in the order of their bits; then `all`.
pub fn file_right_names() -> impl Iterator<Item = (&'static str, FileRights)> {
    let single = Right::FILE.map(|right| (right_name(right), FileRights::only(right)));
    single.into_iter().chain([(ALL, FileRights::ALL)])
}

/// What the words of a rule stand for: `create` is for symbolic links too.
fn in_rules() -> Vec<(&'static str, FileRights)> {
    let meant = |rights: FileRights| match rights {
        FileRights::CREATE => rights.union(FileRights::SYMLINK),
        other => other,
    };
    let words = file_right_names();
    words.map(|(word, rights)| (word, meant(rights))).collect()
}

/// Names of the rights in a set, in the order of their bits.
#[must_use]
pub fn right_names(rights: FileRights) -> Vec<&'static str> {
    rights.iter().map(right_name).collect()
}

/// The rights in a set as a rule says them, where `create` is for symbolic links too.
#[must_use]
pub fn right_words(rights: FileRights) -> Vec<&'static str> {
    let said = FileRights::CREATE.union(FileRights::SYMLINK);
    right_names(if rights.contains(said) {
        rights.without(FileRights::SYMLINK)
    } else {
        rights
    })
}

/// The name of a file right as grants write it: `read` for [`Right::FileRead`].
#[must_use]
pub fn right_name(right: Right) -> &'static str {
    let name = right.name();
    name.rsplit_once('.').map_or(name, |(_, word)| word)
}

/// Which kind of table is read.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) table: &'static str,
    pub(crate) object_key: &'static str,
    pub(crate) object_words: &'static str,
    pub(crate) keys: &'static [&'static str],
    /// The words that stand for rights, with what they stand for.
    pub(crate) rights: fn() -> Vec<(&'static str, FileRights)>,
}

pub(crate) const FILE: Kind = Kind {
    table: "file",
    object_key: "path",
    object_words: "an array of absolute path patterns",
    keys: &["id", "allow", "deny", "path", "except", "reason"],
    rights: in_rules,
};

/// What may be done with a destination or a socket: one thing.
fn connect_only() -> Vec<(&'static str, FileRights)> {
    let connect = right_name(Right::FileConnect);
    vec![(connect, FileRights::CONNECT), (ALL, FileRights::CONNECT)]
}

pub(crate) const NET: Kind = Kind {
    table: "net",
    object_key: "to",
    object_words: "an array of destinations such as \"10.0.0.0/8:443/tcp\"",
    keys: &["id", "allow", "deny", "to", "reason"],
    rights: connect_only,
};

pub(crate) const UNIX: Kind = Kind {
    table: "unix",
    object_key: "name",
    object_words: "an array of abstract socket names such as \"@dbus-*\"",
    keys: &["id", "allow", "deny", "name", "reason"],
    rights: connect_only,
};

/// What can be read of a rule; its mistakes are the reader's.
pub(crate) fn read_rule(
    reader: &mut Reader,
    kind: Kind,
    table: &DeTable<'_>,
    location: Location,
) -> RawRule {
    let Kind {
        table: name,
        object_key,
        ..
    } = kind;
    reader.check_keys(table, &format!("`[[{name}]]`"), kind.keys);
    let id = table
        .get("id")
        .and_then(|v| reader.text(v, "id", "a string"));
    if let Some(id) = &id {
        check_id(reader, id);
    }
    let reason = table
        .get("reason")
        .and_then(|v| reader.text(v, "reason", "a string"));
    let (effect, list) = match (table.get("allow"), table.get("deny")) {
        (Some(list), None) => (Effect::Allow, Some(list)),
        (None, Some(list)) => (Effect::Deny, Some(list)),
        (Some(list), Some(deny)) => {
            let at = reader.at(deny.span());
            reader.error(
                Diagnostic::error(at, "a rule has `allow` or `deny`, not both")
                    .label("`allow` was given above or below")
                    .help("write two rules; `deny` beats `allow` wherever both match"),
            );
            (Effect::Allow, Some(list))
        }
        // Said already.
        (None, None)
            if ["allow", "deny"]
                .iter()
                .any(|key| is_misspelt(table, key, kind.keys)) =>
        {
            (Effect::Deny, None)
        }
        (None, None) => {
            reader.error(
                Diagnostic::error(location.clone(), "the rule neither allows nor denies")
                    .label("expected `allow = […]` or `deny = […]` in this table"),
            );
            (Effect::Deny, None)
        }
    };
    let mut rights = FileRights::NONE;
    if let Some(list) = list {
        let words = reader.texts(list, effect.name());
        if words.is_empty() && is_empty(list) {
            let at = reader.at(list.span());
            reader.error(
                Diagnostic::error(at, format!("`{}` names no right", effect.name()))
                    .label("expected at least one right"),
            );
        }
        let known = (kind.rights)();
        let valid: Vec<_> = known.iter().map(|(word, _)| *word).collect();
        for word in &words {
            match known.iter().find(|(known, _)| *known == word.value) {
                Some((_, right)) => rights = rights.union(*right),
                None => reader.unknown_word(word, &format!("right of `[[{name}]]`"), &valid),
            }
        }
    }
    let objects = reader
        .required_of(table, object_key, kind.keys, &location, kind.object_words)
        .map(|value| (value, reader.texts(value, object_key)));
    if let Some((value, objects)) = &objects
        && objects.is_empty()
        && is_empty(value)
    {
        let at = reader.at(value.span());
        reader.error(
            Diagnostic::error(at, format!("`{object_key}` is empty"))
                .label(format!("expected {}", kind.object_words)),
        );
    }
    let except = table
        .get("except")
        .map(|value| reader.texts(value, "except"))
        .unwrap_or_default();
    RawRule {
        id,
        reason,
        effect,
        rights,
        objects: objects.map(|(_, objects)| objects).unwrap_or_default(),
        except,
        location,
    }
}

fn is_empty(list: &Value<'_>) -> bool {
    list.get_ref()
        .as_array()
        .is_some_and(|items| items.is_empty())
}

fn check_id(reader: &mut Reader, id: &Text) {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if id.value.starts_with("bailiff:") {
        reader.error(
            Diagnostic::error(
                id.location.clone(),
                "ids that begin with `bailiff:` are reserved",
            )
            .label("these are the rules that every session has"),
        );
    } else if id.value.is_empty() || id.value.len() > 64 || !id.value.chars().all(allowed) {
        reader.error(
            Diagnostic::error(
                id.location.clone(),
                format!("`{}` is no valid id", id.value),
            )
            .label("expected 1 to 64 letters, digits, `-`, `_` or `.`"),
        );
    }
}
