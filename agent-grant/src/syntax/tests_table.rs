//! `[[test]]`: what a grant expects of itself.

use agent_abi::FileRights;
use toml::de::DeTable;

use super::{
    reader::{Reader, Text},
    rules::file_right_names,
};
use crate::{
    diagnostic::{Diagnostic, Location, list},
    moves::Manner,
};

/// What a test asks, not yet expanded.
#[derive(Clone, Debug)]
pub enum RawQuestion {
    /// These rights on this path.
    File { path: Text, rights: FileRights },
    /// Connecting there: "1.2.3.4:443/tcp".
    Connect(Text),
    /// The session has this variable in its environment.
    Environment(Text),
    /// Giving what is at one path another.
    Move {
        old: Text,
        new: Text,
        is_directory: bool,
        manner: Manner,
    },
}

/// A `[[test]]` table.
#[derive(Clone, Debug)]
pub struct RawTest {
    pub question: RawQuestion,
    /// True: must be allowed.
    pub allow: bool,
    pub location: Location,
}

/// The key that asks a question, and those that go with it.
struct Form {
    key: &'static str,
    others: &'static [&'static str],
    read: fn(&mut Reader, &DeTable<'_>, &Location) -> Option<RawQuestion>,
}

const FORMS: [Form; 6] = [
    Form {
        key: "path",
        others: &["right"],
        read: read_rights,
    },
    Form {
        key: "connect",
        others: &[],
        read: read_connect,
    },
    Form {
        key: "environment",
        others: &[],
        read: read_variable,
    },
    Form {
        key: "rename",
        others: &["to", "directory", "replaces"],
        read: read_rename,
    },
    Form {
        key: "link",
        others: &["to"],
        read: read_link,
    },
    Form {
        key: "exchange",
        others: &["to", "directory", "to_directory"],
        read: read_exchange,
    },
];

const ONE_QUESTION: &str = "a test asks one question";

const KEYS: &[&str] = &[
    "path",
    "right",
    "connect",
    "environment",
    "rename",
    "link",
    "exchange",
    "to",
    "directory",
    "replaces",
    "to_directory",
    "expect",
];

/// What can be read of a test; its mistakes are the reader's.
pub(crate) fn read_test(
    reader: &mut Reader,
    table: &DeTable<'_>,
    location: Location,
) -> Option<RawTest> {
    reader.check_keys(table, "`[[test]]`", KEYS);
    let expect = reader.required_of(
        table,
        "expect",
        KEYS,
        &location,
        "`expect = \"allow\"` or \"deny\"",
    );
    let allow = expect.and_then(|v| reader.word(v, "expect", &[("allow", true), ("deny", false)]));
    let form = form(reader, table, &location)?;
    check_others(reader, table, form);
    let question = (form.read)(reader, table, &location)?;
    Some(RawTest {
        question,
        // With a mistake no test is run.
        allow: allow.unwrap_or(false),
        location,
    })
}

/// Which question is asked; one and no more must be.
fn form(reader: &mut Reader, table: &DeTable<'_>, location: &Location) -> Option<&'static Form> {
    let mut asked: Vec<_> = FORMS
        .iter()
        .filter_map(|form| Some((key_at(reader, table, form.key)?, form)))
        .collect();
    asked.sort_by_key(|(at, _)| at.span.start);
    match asked.as_slice() {
        [(_, form)] => return Some(form),
        [(_, first), (second, _), ..] => reader.error(
            Diagnostic::error(second.clone(), ONE_QUESTION)
                .label(format!("`{}` asks one already", first.key))
                .help("write a `[[test]]` for each"),
        ),
        // A mistyped question is complained of already.
        [] if table
            .keys()
            .any(|key| !KEYS.contains(&key.get_ref().as_ref())) => {}
        [] => reader.error(
            Diagnostic::error(location.clone(), ONE_QUESTION).label(format!(
                "expected one of {} in this table",
                list(&FORMS.map(|form| form.key))
            )),
        ),
    }
    None
}

/// Keys of other questions mean nothing here.
fn check_others(reader: &mut Reader, table: &DeTable<'_>, form: &Form) {
    for key in table.keys() {
        let name = key.get_ref().as_ref();
        let with: Vec<_> = FORMS
            .iter()
            .filter(|form| form.others.contains(&name))
            .map(|form| form.key)
            .collect();
        if !with.is_empty() && !with.contains(&form.key) {
            let at = reader.at(key.span());
            let message = format!("a test with `{}` has no `{name}`", form.key);
            reader.error(
                Diagnostic::error(at, message).label(format!("this goes with {}", list(&with))),
            );
        }
    }
}

/// Where a key stands, if it is there.
fn key_at(reader: &Reader, table: &DeTable<'_>, key: &str) -> Option<Location> {
    let mut keys = table.keys();
    let found = keys.find(|known| known.get_ref().as_ref() == key)?;
    Some(reader.at(found.span()))
}

fn read_rights(
    reader: &mut Reader,
    table: &DeTable<'_>,
    location: &Location,
) -> Option<RawQuestion> {
    let path = path(reader, table, "path", location);
    let right = reader.required_of(table, "right", KEYS, location, "`right = \"read\"`");
    let words = right
        .map(|value| reader.texts(value, "right"))
        .unwrap_or_default();
    let valid: Vec<_> = file_right_names().map(|(name, _)| name).collect();
    let mut rights = FileRights::NONE;
    for word in &words {
        match file_right_names().find(|(name, _)| *name == word.value) {
            Some((_, right)) => rights = rights.union(right),
            None => reader.unknown_word(word, "right of `[[file]]`", &valid),
        }
    }
    Some(RawQuestion::File {
        path: path?,
        rights,
    })
}

fn read_connect(reader: &mut Reader, table: &DeTable<'_>, _: &Location) -> Option<RawQuestion> {
    let to = reader.text(table.get("connect")?, "connect", "a destination")?;
    Some(RawQuestion::Connect(to))
}

fn read_variable(reader: &mut Reader, table: &DeTable<'_>, _: &Location) -> Option<RawQuestion> {
    let name = reader.text(
        table.get("environment")?,
        "environment",
        "a variable's name",
    )?;
    Some(RawQuestion::Environment(name))
}

fn read_rename(
    reader: &mut Reader,
    table: &DeTable<'_>,
    location: &Location,
) -> Option<RawQuestion> {
    let replaces = flag(reader, table, "replaces").unwrap_or(false);
    read_move(reader, table, location, "rename", |_| Manner::Rename {
        replaces,
    })
}

fn read_link(reader: &mut Reader, table: &DeTable<'_>, location: &Location) -> Option<RawQuestion> {
    read_move(reader, table, location, "link", |_| Manner::Link)
}

fn read_exchange(
    reader: &mut Reader,
    table: &DeTable<'_>,
    location: &Location,
) -> Option<RawQuestion> {
    let other = flag(reader, table, "to_directory");
    read_move(reader, table, location, "exchange", |is_directory| {
        Manner::Exchange {
            other_is_directory: other.unwrap_or(is_directory),
        }
    })
}

/// `manner` is told whether a directory is moved.
fn read_move(
    reader: &mut Reader,
    table: &DeTable<'_>,
    location: &Location,
    key: &str,
    manner: impl Fn(bool) -> Manner,
) -> Option<RawQuestion> {
    let old = path(reader, table, key, location);
    let new = path(reader, table, "to", location);
    let is_directory = flag(reader, table, "directory").unwrap_or(false);
    Some(RawQuestion::Move {
        old: old?,
        new: new?,
        is_directory,
        manner: manner(is_directory),
    })
}

fn path(reader: &mut Reader, table: &DeTable<'_>, key: &str, location: &Location) -> Option<Text> {
    let value = reader.required_of(
        table,
        key,
        KEYS,
        location,
        &format!("`{key} = \"/a/path\"`"),
    )?;
    reader.text(value, key, "a path")
}

fn flag(reader: &mut Reader, table: &DeTable<'_>, key: &str) -> Option<bool> {
    reader.boolean(table.get(key)?, key)
}
