//! From TOML text to a [`Document`]: one file, keys and types checked, nothing expanded.

pub mod capabilities;
pub mod environment;
pub mod limits;
mod reader;
pub mod rules;
pub mod settings;
pub mod tests_table;

use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use reader::Reader;
pub use reader::Text;
use rules::{FILE, Kind, NET, RawRule, UNIX, read_rule};

use crate::diagnostic::{Diagnostic, Errors, Source};

/// Whether refusals are carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Enforce,
    /// Decide and record, refuse nothing.
    Audit,
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
    pub files: Vec<RawRule>,
    pub nets: Vec<RawRule>,
    pub unixes: Vec<RawRule>,
    pub settings: settings::RawSettings,
    pub environment: environment::RawEnvironment,
    pub limits: limits::Limits,
    pub tests: Vec<tests_table::RawTest>,
}

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
pub fn parse(source: Arc<Source>) -> Result<Document, Errors> {
    let (root, mut reader) = read_toml(&source)?;
    let table = &root;
    reader.check_keys(table, "a grant", KEYS);
    let top = reader.at(0..0);
    check_version(&mut reader, table);
    let name = reader
        .required(table, "name", &top, "`name = \"…\"`")
        .and_then(|value| reader.text(value, "name", "a string"));
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
    let modes = [("enforce", Mode::Enforce), ("audit", Mode::Audit)];
    let mode = table
        .get("mode")
        .and_then(|v| reader.word(v, "mode", &modes));
    let include = table
        .get("include")
        .map(|v| reader.texts(v, "include"))
        .unwrap_or_default();
    let variables = read_variables(&mut reader, table);
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
        .map(|t| limits::read_limits(&mut reader, t))
        .unwrap_or_default();
    let tests = read_tests(&mut reader, table);
    match name {
        Some(name) if reader.errors.is_empty() => Ok(Document {
            source,
            name,
            purpose,
            mode,
            include,
            variables,
            files,
            nets,
            unixes,
            settings,
            environment,
            limits,
            tests,
        }),
        _ => {
            reader
                .errors
                .sort_by_key(|e| e.location.as_ref().map_or(0, |l| l.span.start));
            Err(Errors(reader.errors))
        }
    }
}

/// Reads a file that holds `[[test]]` tables and nothing else.
///
/// # Errors
/// Every mistake of syntax, key, word and type in it.
pub fn parse_tests(source: &Arc<Source>) -> Result<Vec<tests_table::RawTest>, Errors> {
    let (root, mut reader) = read_toml(source)?;
    reader.check_keys(&root, "a file of tests", &["test"]);
    let tests = read_tests(&mut reader, &root);
    if reader.errors.is_empty() {
        Ok(tests)
    } else {
        Err(Errors(reader.errors))
    }
}

fn read_toml(source: &Arc<Source>) -> Result<(DeTable<'_>, Reader), Errors> {
    let (root, toml_errors) = DeTable::parse_recoverable(&source.text);
    let mut reader = Reader {
        source: source.clone(),
        errors: Vec::new(),
    };
    for error in &toml_errors {
        let at = reader.at(error.span().unwrap_or(0..0));
        reader.error(Diagnostic::error(
            at,
            format!("not TOML: {}", error.message()),
        ));
    }
    if toml_errors.is_empty() {
        Ok((root.into_inner(), reader))
    } else {
        // What was recovered is guesswork; complaints about it would mislead.
        Err(Errors(reader.errors))
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
    let Some(value) = reader.required(table, "version", &top, "`version = 1`") else {
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
        rules.extend(read_rule(reader, kind, table, location));
    }
    rules
}

fn read_variables(reader: &mut Reader, table: &DeTable<'_>) -> Vec<(Text, Text)> {
    let Some(value) = table.get("variables") else {
        return Vec::new();
    };
    let Some(table) = reader.table(value, "variables") else {
        return Vec::new();
    };
    let mut variables = Vec::new();
    for (key, value) in table {
        let location = reader.at(key.span());
        let name = key.get_ref().as_ref();
        let valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(valid) {
            reader.error(
                Diagnostic::error(location, format!("`{name}` is no valid name of a variable"))
                    .label("expected letters, digits and `_`"),
            );
        } else if crate::model::variables::GIVEN.contains(&name) {
            reader.error(
                Diagnostic::error(
                    location,
                    format!("`{name}` is given and cannot be set here"),
                )
                .label("choose another name"),
            );
        } else if let Some(text) = reader.text(value, name, "a string") {
            variables.push((
                Text {
                    value: name.to_owned(),
                    location,
                },
                text,
            ));
        }
    }
    variables
}
