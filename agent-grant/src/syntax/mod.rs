//! From TOML text to a [`Document`]: one file, keys and types checked, nothing expanded.

pub mod capabilities;
pub mod environment;
pub mod limits;
mod reader;
mod recover;
pub mod rules;
pub mod settings;
pub mod tests_table;

use std::sync::Arc;

use agent_abi::words;
use toml::de::{DeTable, DeValue};

use reader::Reader;
pub use reader::Text;
use rules::{FILE, Kind, NET, RawRule, UNIX, read_rule};

use crate::diagnostic::{Diagnostic, Errors, Source};

words! {
    /// Whether refusals are carried out.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum Mode {
        #[default]
        Enforce => "enforce",
        /// Decide and record, refuse nothing.
        Audit => "audit",
    }
}

/// One file of a grant, as written.
#[derive(Clone, Debug)]
pub struct Document {
    pub source: Arc<Source>,
    pub name: Text,
    pub purpose: Option<Text>,
    pub mode: Option<Mode>,
    pub include: Vec<Text>,
    pub variables: Vec<(Text, Text)>,
    /// Names of variables whose values are mistakes.
    pub broken_variables: Vec<String>,
    /// It may have variables that could not be read.
    pub may_have_more_variables: bool,
    pub files: Vec<RawRule>,
    pub nets: Vec<RawRule>,
    pub unixes: Vec<RawRule>,
    pub settings: settings::RawSettings,
    pub environment: environment::RawEnvironment,
    pub limits: limits::Limits,
    pub tests: Vec<tests_table::RawTest>,
}

/// Variables that every grant has.
pub const GIVEN: [&str; 3] = ["cwd", "home", "user"];

const KEYS: &[&str] = &[
    "version",
    "name",
    "purpose",
    "mode",
    "include",
    "variables",
    "file",
    "net",
    "unix",
    "process",
    "kernel",
    "environment",
    "limits",
    "test",
];

/// Reads one grant file.
///
/// # Errors
/// Every mistake of syntax, key, word and type in it.
pub fn parse(source: &Arc<Source>) -> Result<Document, Errors> {
    let (document, errors) = parse_all(source);
    if errors.is_empty() {
        Ok(document)
    } else {
        Err(Errors(errors))
    }
}

/// What a file includes, told without reading it whole: keys of the whole document stand before its first
/// table. `None`: that it takes.
pub(crate) fn includes_of(text: &str) -> Option<Vec<String>> {
    let lines = text.split_inclusive('\n');
    let head = lines
        .take_while(|line| !line.trim_start().starts_with('['))
        .map(str::len)
        .sum();
    // Where what begins like a table is none, the head ends in the middle of something.
    let head = DeTable::parse(text.get(..head)?).ok()?;
    let Some(include) = head.get_ref().get("include") else {
        return Some(Vec::new());
    };
    let DeValue::Array(names) = include.get_ref() else {
        return None;
    };
    let names = names.iter().map(|name| match name.get_ref() {
        DeValue::String(name) => Some(name.clone().into_owned()),
        _ => None,
    });
    names.collect()
}

/// What can be read of one grant file, and every mistake in it.
pub(crate) fn parse_all(source: &Arc<Source>) -> (Document, Vec<Diagnostic>) {
    let readable = recover::readable(&source.text);
    let mut reader = Reader::new(source, &readable.mistakes);
    let root = readable.table();
    let table = &root;
    reader.check_keys(table, "a grant", KEYS);
    let top = reader.at(0..0);
    let mut name = None;
    if !readable.hides_head {
        check_version(&mut reader, table);
        name = reader
            .required_of(table, "name", KEYS, &top, "`name = \"…\"`")
            .and_then(|value| reader.text(value, "name", "a string"));
    }
    if let Some(name) = &name
        && (name.value.is_empty() || name.value.len() > 64 || name.value.contains(char::is_control))
    {
        reader.error(
            Diagnostic::error(name.location.clone(), "not a usable name")
                .label("expected 1 to 64 bytes without control characters"),
        );
    }
    let purpose = table
        .get("purpose")
        .and_then(|v| reader.text(v, "purpose", "a string"));
    let modes = Mode::ALL.map(|(mode, word)| (word, mode));
    let mode = table
        .get("mode")
        .and_then(|v| reader.word(v, "mode", &modes));
    let before = reader.errors.len();
    let include = table
        .get("include")
        .map(|v| reader.texts(v, "include"))
        .unwrap_or_default();
    let has_broken_includes = reader.errors.len() != before;
    let (variables, broken_variables) = read_variables(&mut reader, table);
    let has_no_variables = table
        .get("variables")
        .is_some_and(|v| !v.get_ref().is_table());
    let files = read_rules(&mut reader, table, FILE);
    let nets = read_rules(&mut reader, table, NET);
    let unixes = read_rules(&mut reader, table, UNIX);
    let mut settings = settings::RawSettings::default();
    if let Some(process) = table
        .get("process")
        .and_then(|v| reader.table(v, "process"))
    {
        settings::read_process(&mut reader, process, &mut settings);
    }
    if let Some(kernel) = table.get("kernel").and_then(|v| reader.table(v, "kernel")) {
        settings::read_kernel(&mut reader, kernel, &mut settings);
    }
    let environment = table
        .get("environment")
        .and_then(|v| reader.table(v, "environment"))
        .map(|t| environment::read_environment(&mut reader, t))
        .unwrap_or_default();
    let limits = table
        .get("limits")
        .and_then(|v| reader.table(v, "limits"))
        .map(|t| limits::Limits::read(&mut reader, t))
        .unwrap_or_default();
    let tests = read_tests(&mut reader, table);
    let document = Document {
        source: source.clone(),
        name: name.unwrap_or_else(|| Text {
            value: String::new(),
            location: top,
        }),
        purpose,
        mode,
        include,
        variables,
        broken_variables,
        may_have_more_variables: readable.hides_variables
            || has_broken_includes
            || has_no_variables
            || ["variables", "include"]
                .iter()
                .any(|key| reader::is_misspelt(table, key, KEYS)),
        files,
        nets,
        unixes,
        settings,
        environment,
        limits,
        tests,
    };
    (document, reader.in_order())
}

/// Reads a file that holds `[[test]]` tables and nothing else.
///
/// # Errors
/// Every mistake of syntax, key, word and type in it.
pub fn parse_tests(source: &Arc<Source>) -> Result<Vec<tests_table::RawTest>, Errors> {
    let readable = recover::readable(&source.text);
    let mut reader = Reader::new(source, &readable.mistakes);
    let root = readable.table();
    reader.check_keys(&root, "a file of tests", &["test"]);
    let tests = read_tests(&mut reader, &root);
    if reader.errors.is_empty() {
        Ok(tests)
    } else {
        Err(Errors(reader.in_order()))
    }
}

fn read_tests(reader: &mut Reader, table: &DeTable<'_>) -> Vec<tests_table::RawTest> {
    let mut tests = Vec::new();
    if let Some(value) = table.get("test") {
        for (location, table) in reader.tables(value, "test") {
            tests.extend(tests_table::read_test(reader, table, location));
        }
    }
    tests
}

fn check_version(reader: &mut Reader, table: &DeTable<'_>) {
    let top = reader.at(0..0);
    let Some(value) = reader.required_of(table, "version", KEYS, &top, "`version = 1`") else {
        return;
    };
    match value.get_ref() {
        DeValue::Integer(integer) if integer.as_str() == "1" => {}
        DeValue::Integer(_) => {
            let at = reader.at(value.span());
            reader.error(
                Diagnostic::error(at, "unknown version of the grant language")
                    .label("expected `1`, the only one there is"),
            );
        }
        _ => reader.wrong_type(value, "version", "the number 1"),
    }
}

fn read_rules(reader: &mut Reader, table: &DeTable<'_>, kind: Kind) -> Vec<RawRule> {
    let Some(value) = table.get(kind.table) else {
        return Vec::new();
    };
    let mut rules = Vec::new();
    for (location, table) in reader.tables(value, kind.table) {
        rules.push(read_rule(reader, kind, table, location));
    }
    rules
}

/// Variables, and the names of those that are mistakes.
fn read_variables(reader: &mut Reader, table: &DeTable<'_>) -> (Vec<(Text, Text)>, Vec<String>) {
    let mut variables = Vec::new();
    let mut broken = Vec::new();
    let Some(table) = table
        .get("variables")
        .and_then(|value| reader.table(value, "variables"))
    else {
        return (variables, broken);
    };
    for (key, value) in table {
        let location = reader.at(key.span());
        let name = key.get_ref().as_ref();
        let valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if GIVEN.contains(&name) {
            reader.error(
                Diagnostic::error(
                    location,
                    format!("`{name}` is given and cannot be set here"),
                )
                .label("choose another name"),
            );
            continue;
        }
        let before = reader.errors.len();
        if name.is_empty() || !name.chars().all(valid) {
            reader.error(
                Diagnostic::error(
                    location.clone(),
                    format!("`{name}` is no valid name of a variable"),
                )
                .label("expected letters, digits and `_`"),
            );
        }
        let text = reader.text(value, name, "a string");
        if reader.errors.len() != before {
            broken.push(name.to_owned());
        } else if let Some(text) = text {
            let name = Text {
                value: name.to_owned(),
                location,
            };
            variables.push((name, text));
        }
    }
    (variables, broken)
}
