//! Typed access to a TOML table that remembers places and collects every mistake.

use std::{ops::Range, sync::Arc};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::recover::Mistake;
use crate::diagnostic::{Diagnostic, Location, Source, nearest, suggest};

/// A string and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    pub value: String,
    /// The whole value, quotes included.
    pub location: Location,
}

impl Text {
    /// The place of a part of the value. The whole value where its spelling holds escapes, since
    /// offsets then differ.
    #[must_use]
    pub fn part(&self, span: Range<usize>) -> Location {
        let mut location = self.location.clone();
        let written = self.location.text();
        let quote = ["\"\"\"", "'''", "\"", "'"]
            .iter()
            .find(|q| written.starts_with(**q));
        if let Some(quote) = quote {
            let inner = written.get(quote.len()..written.len().saturating_sub(quote.len()));
            if inner == Some(self.value.as_str()) && span.end <= self.value.len() {
                let start = location.span.start + quote.len();
                location.span = start + span.start..start + span.end.max(span.start);
            }
        }
        location
    }
}

/// Collects mistakes while the document is read.
pub(crate) struct Reader {
    pub(crate) source: Arc<Source>,
    pub(crate) errors: Vec<Diagnostic>,
}

pub(crate) type Value<'t> = Spanned<DeValue<'t>>;

impl Reader {
    /// Of a source with these mistakes of TOML.
    pub(super) fn new(source: &Arc<Source>, mistakes: &[Mistake]) -> Self {
        let mut reader = Self {
            source: source.clone(),
            errors: Vec::new(),
        };
        for Mistake { span, message } in mistakes {
            let at = reader.at(span.clone());
            reader.error(Diagnostic::error(at, format!("not TOML: {message}")));
        }
        reader
    }

    /// All mistakes, as they stand in the text.
    pub(super) fn in_order(mut self) -> Vec<Diagnostic> {
        self.errors
            .sort_by_key(|e| e.location.as_ref().map_or(0, |l| l.span.start));
        self.errors
    }

    pub(crate) fn at(&self, span: Range<usize>) -> Location {
        Location {
            source: self.source.clone(),
            span,
        }
    }

    pub(crate) fn error(&mut self, diagnostic: Diagnostic) {
        self.errors.push(diagnostic);
    }

    pub(crate) fn wrong_type(&mut self, value: &Value<'_>, key: &str, expected: &str) {
        let found = match value.get_ref() {
            DeValue::Boolean(_) => "a boolean",
            other => other.type_str(),
        };
        let at = self.at(value.span());
        self.error(
            Diagnostic::error(at, format!("`{key}` has the wrong type"))
                .label(format!("expected {expected}, found {found}")),
        );
    }

    pub(crate) fn text(&mut self, value: &Value<'_>, key: &str, expected: &str) -> Option<Text> {
        if let Some(text) = value.get_ref().as_str() {
            let location = self.at(value.span());
            return Some(Text {
                value: text.to_owned(),
                location,
            });
        }
        self.wrong_type(value, key, expected);
        None
    }

    pub(crate) fn boolean(&mut self, value: &Value<'_>, key: &str) -> Option<bool> {
        let found = value.get_ref().as_bool();
        if found.is_none() {
            self.wrong_type(value, key, "`true` or `false`");
        }
        found
    }

    /// An array of strings; a lone string counts as an array of one.
    pub(crate) fn texts(&mut self, value: &Value<'_>, key: &str) -> Vec<Text> {
        const EXPECTED: &str = "an array of strings";
        match value.get_ref() {
            DeValue::Array(items) => items
                .iter()
                .filter_map(|item| self.text(item, key, "a string"))
                .collect(),
            DeValue::String(_) => self.text(value, key, EXPECTED).into_iter().collect(),
            _ => {
                self.wrong_type(value, key, EXPECTED);
                Vec::new()
            }
        }
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(
        &mut self,
        value: &Value<'_>,
        key: &str,
        words: &[(&str, T)],
    ) -> Option<T> {
        let valid: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        let text = self.text(value, key, &crate::diagnostic::list(&valid))?;
        let found = words
            .iter()
            .find(|(word, _)| *word == text.value)
            .map(|(_, value)| *value);
        if found.is_none() {
            self.unknown_word(&text, &format!("value of `{key}`"), &valid);
        }
        found
    }

    pub(crate) fn unknown_word(&mut self, text: &Text, what: &str, valid: &[&str]) {
        self.error(
            Diagnostic::error(
                text.location.clone(),
                format!("`{}` is no {what}", text.value),
            )
            .label(if valid.len() > 16 {
                format!("expected a {what}")
            } else {
                format!("expected {}", crate::diagnostic::list(valid))
            })
            .maybe_help(
                crate::diagnostic::nearest(&text.value, valid.iter().copied())
                    .map(|near| format!("did you mean `{near}`?")),
            ),
        );
    }

    pub(crate) fn table<'t, 'v>(
        &mut self,
        value: &'v Value<'t>,
        key: &str,
    ) -> Option<&'v DeTable<'t>> {
        let found = value.get_ref().as_table();
        if found.is_none() {
            self.wrong_type(value, key, &format!("a table `[{key}]`"));
        }
        found
    }

    /// The tables of `[[key]]`.
    pub(crate) fn tables<'t, 'v>(
        &mut self,
        value: &'v Value<'t>,
        key: &str,
    ) -> Vec<(Location, &'v DeTable<'t>)> {
        let expected = format!("tables, each written `[[{key}]]`");
        let Some(items) = value.get_ref().as_array() else {
            self.wrong_type(value, key, &expected);
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in items {
            match item.get_ref().as_table() {
                Some(table) => tables.push((self.at(item.span()), table)),
                None => self.wrong_type(item, key, &expected),
            }
        }
        tables
    }

    /// Complains of every key that is not in `valid`.
    pub(crate) fn check_keys(&mut self, table: &DeTable<'_>, what: &str, valid: &[&str]) {
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            if !valid.contains(&name) {
                let at = self.at(key.span());
                self.error(
                    Diagnostic::error(at, format!("unknown key `{name}` in {what}"))
                        .label("not a key of this table")
                        .help(suggest(name, valid)),
                );
            }
        }
    }

    /// The value of a key that must be there.
    pub(crate) fn required<'t, 'v>(
        &mut self,
        table: &'v DeTable<'t>,
        key: &str,
        place: &Location,
        expected: &str,
    ) -> Option<&'v Value<'t>> {
        let found = table.get(key);
        if found.is_none() {
            self.error(
                Diagnostic::error(place.clone(), format!("`{key}` is missing"))
                    .label(format!("expected {expected} here")),
            );
        }
        found
    }

    /// The value of a key that must be there, of those that are valid. One that is there by a
    /// mistyped name was complained of already.
    pub(crate) fn required_of<'t, 'v>(
        &mut self,
        table: &'v DeTable<'t>,
        key: &str,
        valid: &[&str],
        place: &Location,
        expected: &str,
    ) -> Option<&'v Value<'t>> {
        if table.get(key).is_none() && is_misspelt(table, key, valid) {
            return None;
        }
        self.required(table, key, place, expected)
    }
}

/// Whether a key that is not valid stands there, and is most like this one.
pub(super) fn is_misspelt(table: &DeTable<'_>, key: &str, valid: &[&str]) -> bool {
    let mut names = table.keys().map(|key| key.get_ref().as_ref());
    names.any(|name| !valid.contains(&name) && nearest(name, valid.iter().copied()) == Some(key))
}
