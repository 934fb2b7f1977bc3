//! Variables: given ones, `[variables]` defaults, overrides.

use std::{cell::RefCell, collections::BTreeMap};

use crate::{
    diagnostic::{Diagnostic, nearest},
    syntax::{Document, Text},
};

/// Variables that every grant has.
pub const GIVEN: [&str; 3] = ["cwd", "home", "user"];

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
#[derive(Clone, Debug)]
pub(crate) struct Variables {
    values: BTreeMap<String, Result<String, String>>,
}

impl Variables {
    /// `documents` in the order of their rules: a later default replaces an earlier one.
    pub(crate) fn resolve(
        documents: &[Document],
        inputs: &Inputs,
        errors: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut defaults: BTreeMap<&str, &Text> = BTreeMap::new();
        for (name, value) in documents.iter().flat_map(|d| &d.variables) {
            defaults.insert(&name.value, value);
        }
        let mut values = BTreeMap::new();
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
                values.insert(name.clone(), Err("it was set to nothing".to_owned()));
                continue;
            }
            if defaults.contains_key(name.as_str()) || GIVEN.contains(&name.as_str()) {
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
        for name in defaults.keys() {
            // A failure is kept in `values`.
            let _ = value_of(name, &defaults, &mut values, &mut Vec::new(), errors);
        }
        Self { values }
    }

    /// The value of `${name}`.
    pub(crate) fn get(&self, name: &str) -> Result<String, String> {
        self.values
            .get(name)
            .cloned()
            .unwrap_or_else(|| Err(unknown(name, self.values.keys())))
    }

    /// A text with its variables replaced, and `~/` at its start.
    pub(crate) fn expand(&self, text: &str) -> Result<String, String> {
        expand(text, &|name| self.get(name))
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
fn given_value(name: &str, value: Option<&str>) -> Result<String, String> {
    match value.map(plain) {
        None => Err("it is not known here".to_owned()),
        Some(value) if name == "cwd" && value.is_empty() => Err(
            "the current directory is `/`, and the grant would reach everything; change to the \
             directory that it is meant for"
                .to_owned(),
        ),
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

fn value_of(
    name: &str,
    defaults: &BTreeMap<&str, &Text>,
    values: &mut BTreeMap<String, Result<String, String>>,
    stack: &mut Vec<String>,
    errors: &mut Vec<Diagnostic>,
) -> Result<String, String> {
    if let Some(done) = values.get(name) {
        return done.clone();
    }
    let Some(text) = defaults.get(name) else {
        let known: Vec<String> = values
            .keys()
            .cloned()
            .chain(defaults.keys().map(|k| (*k).to_owned()))
            .collect();
        return Err(unknown(name, known.iter()));
    };
    if stack.iter().any(|entered| entered == name) {
        return Err(format!(
            "its value depends on itself ({} -> {name})",
            stack.join(" -> ")
        ));
    }
    if stack.len() >= MAX_NESTING {
        return Err("variables nest too deeply".to_owned());
    }
    stack.push(name.to_owned());
    let cell = RefCell::new((values, stack, errors));
    let value = expand(&text.value, &|inner| {
        let (values, stack, errors) = &mut *cell.borrow_mut();
        value_of(inner, defaults, values, stack, errors)
            .map_err(|why| format!("variable `{inner}`: {why}"))
    });
    let (values, stack, errors) = cell.into_inner();
    stack.pop();
    // Not known yet is only a mistake where the variable is used.
    let value = match value {
        Ok(value) if value.contains('\0') || value.is_empty() => {
            Err("its value is empty or holds a NUL byte".to_owned())
        }
        Ok(value) => Ok(plain(&value)),
        Err(why) => Err(why),
    };
    if let Err(why) = &value
        && !why.contains("not known here")
        && stack.is_empty()
    {
        let message = format!("variable `{name}`: {why}");
        errors.push(
            Diagnostic::error(text.location.clone(), message)
                .help(format!("or give it a value: `--set {name}=VALUE`")),
        );
    }
    values.insert(name.to_owned(), value.clone());
    value
}

fn expand(text: &str, get: &dyn Fn(&str) -> Result<String, String>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    if rest == "~" || rest.starts_with("~/") {
        out.push_str(&get("home")?);
        rest = &rest[1..];
    }
    while let Some(at) = rest.find("${") {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 2..];
        let end = tail.find('}').ok_or("`${` is not closed")?;
        out.push_str(&get(&tail[..end])?);
        rest = &tail[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}
