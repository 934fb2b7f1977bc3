//! Variables: given ones, `[variables]` defaults, overrides.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
};

use crate::{
    diagnostic::{Diagnostic, nearest},
    syntax::{Document, GIVEN, Text},
};

/// Variables whose values name one another.
const MAX_NESTING: usize = 32;

/// What the caller knows of the session to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// `${cwd}`, absolute.
    pub cwd: Option<String>,
    /// `${home}`, absolute; also `~/`.
    pub home: Option<String>,
    /// `${user}`
    pub user: Option<String>,
    /// `--set name=value`, for the given ones too.
    pub set: BTreeMap<String, String>,
}

impl Inputs {
    /// What a grant's own tests are run with: the same for everybody and everywhere, so that their
    /// outcome depends on the grant alone. The directory is one within the home directory.
    pub(super) fn for_tests(set: BTreeMap<String, String>) -> Self {
        let text = |value: &str| Some(value.to_owned());
        Self {
            cwd: text("/home/agent/project"),
            home: text("/home/agent"),
            user: text("agent"),
            set,
        }
    }
}

/// Every variable's value, literal text; absolute values without a slash at their end.
#[derive(Debug)]
pub(crate) struct Variables {
    values: Values,
    /// There may be others, which could not be read.
    more: bool,
    /// Given variables of which was said that they have no value.
    told: RefCell<BTreeSet<&'static str>>,
}

type Values = BTreeMap<String, Result<String, Missing>>;

/// Why a variable has no value.
#[derive(Clone, Debug)]
pub(crate) enum Missing {
    /// A mistake that is to be told where the variable is used.
    Mistake(String),
    /// It was told already.
    Told,
    /// It comes down to a given one that has none: one mistake, however often it is used.
    Given(&'static str, String),
    /// The same of one that is not known yet: no mistake unless it is used.
    Unknown(&'static str, String),
}

impl Missing {
    /// The same about a variable that is made of it.
    fn within(self, name: &str) -> Self {
        let of = |why| format!("variable `{name}`: {why}");
        match self {
            Self::Mistake(why) => Self::Mistake(of(why)),
            Self::Given(given, why) => Self::Given(given, of(why)),
            Self::Unknown(given, why) => Self::Unknown(given, of(why)),
            Self::Told => Self::Told,
        }
    }
}

impl Variables {
    /// `documents` in the order of their rules: a later default replaces an earlier one.
    /// `incomplete`: some are missing.
    pub(crate) fn resolve(
        documents: &[&Document],
        incomplete: bool,
        inputs: &Inputs,
        errors: &mut Vec<Diagnostic>,
    ) -> Self {
        let more = incomplete || documents.iter().any(|d| d.may_have_more_variables);
        let mut defaults: BTreeMap<&str, &Text> = BTreeMap::new();
        let mut values = Values::new();
        for document in documents {
            for (name, value) in &document.variables {
                defaults.insert(&name.value, value);
            }
            for name in &document.broken_variables {
                values.insert(name.clone(), Err(Missing::Told));
            }
        }
        let given = [
            ("cwd", &inputs.cwd),
            ("home", &inputs.home),
            ("user", &inputs.user),
        ];
        for (name, value) in given {
            values.insert(name.to_owned(), given_value(name, value.as_deref()));
        }
        for (name, value) in &inputs.set {
            if value.is_empty() || value.contains('\0') {
                errors.push(unusable_value(name));
                values.insert(name.clone(), Err(Missing::Told));
                continue;
            }
            if more || defaults.contains_key(name.as_str()) || values.contains_key(name.as_str()) {
                values.insert(name.clone(), Ok(plain(value)));
                continue;
            }
            let near = nearest(name, defaults.keys().copied().chain(GIVEN));
            errors.push(Diagnostic {
                severity: crate::diagnostic::Severity::Error,
                message: format!("`{name}` is set, but the grant has no such variable"),
                location: None,
                label: String::new(),
                help: near.map(|near| format!("did you mean `{near}`?")),
            });
        }
        let mut reader = Defaults {
            defaults: &defaults,
            values,
            more,
            stack: Vec::new(),
            told: BTreeSet::new(),
            errors,
        };
        for name in defaults.keys() {
            // A failure is kept in the values.
            let _ = reader.value_of(name);
        }
        Self {
            values: reader.values,
            more,
            told: RefCell::new(reader.told),
        }
    }

    /// The value of `${name}`.
    fn get(&self, name: &str) -> Result<String, Missing> {
        let missing = match self.values.get(name) {
            Some(Ok(value)) => return Ok(value.clone()),
            Some(Err(missing)) => missing.clone(),
            None if self.more => Missing::Told,
            None => Missing::Mistake(unknown(name, self.values.keys())),
        };
        Err(match missing {
            Missing::Given(given, _) | Missing::Unknown(given, _)
                if !self.told.borrow_mut().insert(given) =>
            {
                Missing::Told
            }
            missing => missing,
        })
    }

    /// Whether `${name}` has a value.
    pub(crate) fn has(&self, name: &str) -> bool {
        matches!(self.values.get(name), Some(Ok(_)))
    }

    /// Does what needs values; `Err(None)` where it fails for a reason that was told already.
    pub(crate) fn with<T, E>(
        &self,
        read: impl FnOnce(&dyn Fn(&str) -> Result<String, String>) -> Result<T, E>,
    ) -> Result<T, Option<E>> {
        let told = Cell::new(false);
        let result = read(&|name| {
            self.get(name).map_err(|missing| match missing {
                Missing::Mistake(why) | Missing::Given(_, why) | Missing::Unknown(_, why) => why,
                Missing::Told => {
                    told.set(true);
                    String::new()
                }
            })
        });
        result.map_err(|error| (!told.get()).then_some(error))
    }

    /// A text with its variables replaced, and `~/` at its start; `Err(None)` where it has none for a
    /// reason that was told already.
    pub(crate) fn expand(&self, text: &str) -> Result<String, Option<String>> {
        self.with(|get| expand(text, get, str::to_owned))
    }
}

/// An empty value would turn `${name}/**` into everything.
fn unusable_value(name: &str) -> Diagnostic {
    Diagnostic {
        severity: crate::diagnostic::Severity::Error,
        message: format!("`{name}` is set to nothing, or to a text with a NUL byte"),
        location: None,
        label: String::new(),
        help: Some(format!("give it a value: `--set {name}=VALUE`")),
    }
}

/// The root as the place to work in is more likely a mistake than a wish, and a costly one: a
/// pattern such as `${cwd}/**` would then be everything.
fn given_value(name: &'static str, value: Option<&str>) -> Result<String, Missing> {
    match value.map(plain) {
        None if name == "cwd" => Err(Missing::Unknown(
            name,
            "it is not known here: the current directory was removed, cannot be reached, or has a \
             name that is no UTF-8; change to the directory that the grant is meant for, or name it \
             by `--set cwd=DIRECTORY`"
                .to_owned(),
        )),
        None => Err(Missing::Unknown(name, "it is not known here".to_owned())),
        Some(value) if name == "cwd" && value.is_empty() => Err(Missing::Given(
            name,
            "the current directory is `/`, and the grant would reach everything; change to the \
             directory that it is meant for"
                .to_owned(),
        )),
        Some(value) => Ok(value),
    }
}

fn unknown<'n>(name: &str, known: impl Iterator<Item = &'n String>) -> String {
    let known: Vec<&str> = known.map(String::as_str).collect();
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("there is none of this name; did you mean `{near}`?"),
        None => format!("there is none of this name; there are {}", known.join(", ")),
    }
}

/// An absolute value without its closing slashes.
fn plain(value: &str) -> String {
    if value.starts_with('/') {
        value.trim_end_matches('/').to_owned()
    } else {
        value.to_owned()
    }
}

/// Finds the values of defaults that name one another.
struct Defaults<'d> {
    defaults: &'d BTreeMap<&'d str, &'d Text>,
    values: Values,
    more: bool,
    /// Those whose values are being found.
    stack: Vec<String>,
    /// Given variables of which was said that they have no value.
    told: BTreeSet<&'static str>,
    errors: &'d mut Vec<Diagnostic>,
}

impl Defaults<'_> {
    fn value_of(&mut self, name: &str) -> Result<String, Missing> {
        if let Some(done) = self.values.get(name) {
            return done.clone();
        }
        let Some(text) = self.defaults.get(name) else {
            if self.more {
                return Err(Missing::Told);
            }
            let defaults = self.defaults.keys().map(|key| (*key).to_owned());
            let known: BTreeSet<String> = self.values.keys().cloned().chain(defaults).collect();
            return Err(Missing::Mistake(unknown(name, known.iter())));
        };
        if self.stack.iter().any(|entered| entered == name) {
            return Err(Missing::Mistake(format!(
                "its value depends on itself ({} -> {name})",
                self.stack.join(" -> ")
            )));
        }
        if self.stack.len() >= MAX_NESTING {
            return Err(Missing::Mistake("variables nest too deeply".to_owned()));
        }
        self.stack.push(name.to_owned());
        let cell = RefCell::new(&mut *self);
        let value = expand(
            &text.value,
            &|inner| {
                let value = cell.borrow_mut().value_of(inner);
                value.map_err(|missing| missing.within(inner))
            },
            |why| Missing::Mistake(why.to_owned()),
        );
        self.stack.pop();
        let value = match value {
            Ok(value) if value.contains('\0') || value.is_empty() => Err(Missing::Mistake(
                "its value is empty or holds a NUL byte".to_owned(),
            )),
            Ok(value) => Ok(plain(&value)),
            Err(missing) => Err(missing),
        };
        let value = value.map_err(|missing| match missing {
            Missing::Given(given, _) if !self.told.insert(given) => Missing::Told,
            Missing::Mistake(why) | Missing::Given(_, why) => {
                let message = format!("variable `{name}`: {why}");
                self.errors.push(
                    Diagnostic::error(text.location.clone(), message)
                        .help(format!("or give it a value: `--set {name}=VALUE`")),
                );
                Missing::Told
            }
            missing => missing,
        });
        self.values.insert(name.to_owned(), value.clone());
        value
    }
}

/// Replaces variables; `mistake` makes an error of one in the text itself.
fn expand<E>(
    text: &str,
    get: &dyn Fn(&str) -> Result<String, E>,
    mistake: impl Fn(&str) -> E,
) -> Result<String, E> {
    let mut out = String::new();
    let mut rest = text;
    if rest == "~" || rest.starts_with("~/") {
        out.push_str(&get("home")?);
        rest = &rest[1..];
    }
    while let Some(at) = rest.find("${") {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 2..];
        let end = tail
            .find('}')
            .ok_or_else(|| mistake("`${` is not closed"))?;
        out.push_str(&get(&tail[..end])?);
        rest = &tail[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}
