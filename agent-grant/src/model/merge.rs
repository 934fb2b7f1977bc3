//! From documents to the model: ids, patterns, settings.

use std::collections::{HashMap, HashSet};

use agent_abi::Surface;

use super::{
    Alternative, FilePattern, Grant, Inputs, Object, Question, Rule, Test, load::Loaded,
    variables::Variables,
};
use crate::{
    diagnostic::{Diagnostic, Location},
    environment::{Environment, Kept},
    glob::{self, GlobError},
    moves::Move,
    net,
    syntax::{
        Text,
        environment::RawEnvironment,
        rules::RawRule,
        tests_table::{RawQuestion, RawTest},
    },
    unix,
};

/// What can be made of `loaded`, which is in the order of their rules, and every mistake in how they
/// fit together; the last is the grant itself. `incomplete`: some could not be had.
pub(super) fn merge(
    loaded: &[Loaded],
    incomplete: bool,
    inputs: &Inputs,
    tests: &[RawTest],
) -> (Grant, Vec<Diagnostic>) {
    let documents: Vec<_> = loaded.iter().map(|loaded| &loaded.document).collect();
    let mut errors = Vec::new();
    let variables = Variables::resolve(&documents, incomplete, inputs, &mut errors);
    let own = documents.last();
    let mut merger = Merger {
        variables,
        errors,
        ids: HashMap::new(),
        told_values: HashSet::new(),
        rules: Vec::new(),
    };
    let mut grant = Grant {
        name: own.map_or_else(String::new, |own| own.name.value.clone()),
        purpose: own.and_then(|own| Some(own.purpose.as_ref()?.value.clone())),
        mode: own.and_then(|own| own.mode).unwrap_or_default(),
        rules: Vec::new(),
        surface: 0,
        capabilities: 0,
        environment: Environment::default(),
        limits: super::Limits::default(),
        tests: Vec::new(),
    };
    for Loaded {
        document,
        included_as,
    } in loaded
    {
        merger.rules(&document.files, "file", included_as.as_deref());
        merger.rules(&document.nets, "net", included_as.as_deref());
        merger.rules(&document.unixes, "unix", included_as.as_deref());
        for (switch, on) in &document.settings.surface {
            set_bit(&mut grant.surface, *switch, *on);
        }
        if let Some(granted) = &document.settings.capabilities {
            grant.capabilities = granted
                .iter()
                .fold(0, |bits, (number, _)| bits | 1 << number);
        }
        merger.environment(&document.environment, &mut grant.environment);
        grant.limits = document.limits.or(grant.limits);
    }
    grant.tests = tests.iter().filter_map(|test| merger.test(test)).collect();
    grant.rules = merger.rules;
    (grant, merger.errors)
}

fn set_bit(surface: &mut u32, switch: Surface, on: bool) {
    if on {
        *surface |= switch.bit();
    } else {
        *surface &= !switch.bit();
    }
}

struct Merger {
    variables: Variables,
    errors: Vec<Diagnostic>,
    ids: HashMap<String, Location>,
    /// Variables whose values are mistakes in patterns, and what was said of them.
    told_values: HashSet<(String, String)>,
    rules: Vec<Rule>,
}

impl Merger {
    fn rules(&mut self, rules: &[RawRule], kind: &str, included_as: Option<&str>) {
        for (index, raw) in rules.iter().enumerate() {
            let id = match (&raw.id, included_as) {
                (Some(id), _) => id.value.clone(),
                (None, None) => format!("{kind}-{}", index + 1),
                // A slash is in no written id, so defaults of two files never meet.
                (None, Some(file)) => format!("{file}/{kind}-{}", index + 1),
            };
            let place = raw
                .id
                .as_ref()
                .map_or(&raw.location, |id| &id.location)
                .clone();
            if let Some(first) = self.ids.get(&id) {
                self.errors.push(
                    Diagnostic::error(place.clone(), format!("two rules have the id `{id}`"))
                        .label(format!("the first is at {first}")),
                );
            }
            self.ids.insert(id.clone(), place);
            let object = match kind {
                "file" => Object::File {
                    rights: raw.rights,
                    paths: self.patterns(&raw.objects),
                    except: self.patterns(&raw.except),
                },
                "net" => Object::Net {
                    to: raw
                        .objects
                        .iter()
                        .filter_map(|text| self.destination(text))
                        .collect(),
                    text: raw.objects.clone(),
                },
                _ => Object::Unix {
                    names: raw
                        .objects
                        .iter()
                        .filter_map(|text| self.unix_name(text))
                        .collect(),
                    text: raw.objects.clone(),
                },
            };
            self.rules.push(Rule {
                id,
                effect: raw.effect,
                reason: raw.reason.as_ref().map(|text| text.value.clone()),
                object,
                location: Some(raw.location.clone()),
            });
        }
    }

    /// What is kept adds up; the rest of an included grant is replaced, key by key.
    fn environment(&mut self, raw: &RawEnvironment, whole: &mut Environment) {
        for part in &mut whole.parts {
            part.default = raw.default.unwrap_or(part.default);
            part.keep.extend(raw.keep.iter().cloned().map(Kept::new));
        }
        whole.private_tmp = raw.private_tmp.unwrap_or(whole.private_tmp);
        for (name, text) in &raw.set {
            match self.variables.expand(&text.value) {
                Ok(value) if value.contains('\0') => self.errors.push(
                    Diagnostic::error(text.location.clone(), "the value holds a NUL byte")
                        .label("no variable of the environment can hold one"),
                ),
                Ok(value) => {
                    whole.set.insert(name.value.clone(), value);
                }
                Err(Some(why)) => self.errors.push(
                    Diagnostic::error(text.location.clone(), format!("no value: {why}"))
                        .label("expected text, with `${NAME}` for the grant's variables"),
                ),
                Err(None) => {}
            }
        }
    }

    fn patterns(&mut self, texts: &[Text]) -> Vec<FilePattern> {
        let mut patterns = Vec::with_capacity(texts.len());
        for text in texts {
            match self.variables.with(|get| glob::parse(&text.value, get)) {
                Ok(globs) => {
                    let alternatives = globs
                        .into_iter()
                        .map(|glob| Alternative {
                            glob,
                            written: None,
                        })
                        .collect();
                    patterns.push(FilePattern {
                        text: text.clone(),
                        alternatives,
                    });
                }
                Err(error) => self.wrong_pattern(text, error),
            }
        }
        patterns
    }

    /// Says what is wrong with a pattern; what is wrong with a variable's value once, wherever it is.
    fn wrong_pattern(&mut self, text: &Text, error: Option<GlobError>) {
        let Some(error) = error else {
            return;
        };
        let part = text.value.get(error.span.clone()).unwrap_or_default();
        let name = part.strip_prefix("${").and_then(|p| p.strip_suffix('}'));
        let name = if part == "~" { Some("home") } else { name };
        if let Some(name) = name.filter(|name| self.variables.has(name))
            && !self
                .told_values
                .insert((name.to_owned(), error.message.clone()))
        {
            return;
        }
        self.errors.push(
            at_part(text, error.span, error.message)
                .label(error.label)
                .maybe_help(error.help),
        );
    }

    fn destination(&mut self, text: &Text) -> Option<net::Destination> {
        match net::parse_destination(&text.value) {
            Ok(destination) => Some(destination),
            Err(error) => {
                self.errors.push(
                    at_part(text, error.span, error.message)
                        .label(error.label)
                        .maybe_help(error.help),
                );
                None
            }
        }
    }

    fn unix_name(&mut self, text: &Text) -> Option<unix::NamePattern> {
        match self.variables.with(|get| unix::parse(&text.value, get)) {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                self.wrong_pattern(text, error);
                None
            }
        }
    }

    fn test(&mut self, test: &RawTest) -> Option<Test> {
        let question = match &test.question {
            RawQuestion::File { path, rights } => Question::File {
                path: self.path(path)?,
                rights: *rights,
            },
            RawQuestion::Move {
                old,
                new,
                is_directory,
                manner,
            } => {
                let paths = (self.path(old), self.path(new));
                match Move::new(paths.0?, paths.1?, *is_directory, *manner) {
                    Ok(wanted) => Question::Move(wanted),
                    Err(why) => {
                        self.errors.push(
                            Diagnostic::error(new.location.clone(), format!("no move: {why}"))
                                .label(format!("the other path is `{}`", old.value)),
                        );
                        return None;
                    }
                }
            }
            RawQuestion::Environment(name) => Question::Environment(name.value.clone()),
            RawQuestion::Connect(to) => match net::parse_endpoint(&to.value) {
                Ok(endpoint) => Question::Connect(endpoint),
                Err(error) => {
                    self.errors.push(
                        at_part(to, error.span, error.message)
                            .label(error.label)
                            .maybe_help(error.help),
                    );
                    return None;
                }
            },
        };
        Some(Test {
            question,
            allow: test.allow,
            location: test.location.clone(),
        })
    }

    /// A path of a test, as the kernel walks it.
    fn path(&mut self, text: &Text) -> Option<Vec<u8>> {
        let expanded = self.variables.expand(&text.value).and_then(|path| {
            let bytes = path.into_bytes();
            glob::literal_components(&bytes).map_err(Some)?;
            Ok(if bytes == b"/" { Vec::new() } else { bytes })
        });
        match expanded {
            Ok(path) => Some(path),
            Err(why) => {
                self.errors.extend(why.map(|why| {
                    Diagnostic::error(text.location.clone(), format!("no path: {why}"))
                        .label("expected an absolute path; a test has no patterns")
                }));
                None
            }
        }
    }
}

fn at_part(text: &Text, span: std::ops::Range<usize>, message: String) -> Diagnostic {
    Diagnostic::error(text.part(span), message)
}
