//! From sources to a [`Grant`]: includes, in the order in which their rules count.

use std::sync::Arc;

use super::{Grant, Inputs, merge::merge};
use crate::{
    diagnostic::{Diagnostic, Errors, Source},
    syntax::{Document, parse, parse_tests},
};

/// Includes within includes.
const MAX_DEPTH: usize = 16;

/// Why an included grant could not be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct IncludeError {
    pub message: String,
    /// Names that would have worked, to suggest one.
    pub known: Vec<String>,
}

/// Gives the source of an included grant by the name in `include`.
pub type Includes<'f> = dyn Fn(&str) -> Result<Source, IncludeError> + 'f;

/// Reads a grant with everything that it includes.
///
/// # Errors
/// Every mistake found, in every file; at least one.
pub fn load(source: Source, inputs: &Inputs, includes: &Includes<'_>) -> Result<Grant, Errors> {
    load_with_tests(source, None, inputs, includes)
}

/// Reads a grant, and adds the `[[test]]` tables of a file of their own to its own.
///
/// # Errors
/// Every mistake found, in every file; at least one.
pub fn load_with_tests(
    source: Source,
    tests: Option<Source>,
    inputs: &Inputs,
    includes: &Includes<'_>,
) -> Result<Grant, Errors> {
    let mut loader = Loader {
        includes,
        done: Vec::new(),
        documents: Vec::new(),
        errors: Vec::new(),
    };
    match parse(Arc::new(source)) {
        Ok(document) => loader.add(document, None, &mut Vec::new()),
        Err(Errors(errors)) => loader.errors.extend(errors),
    }
    match tests.map(|source| parse_tests(&Arc::new(source))) {
        None => {}
        Some(Ok(tests)) => {
            if let Some(own) = loader.documents.last_mut() {
                own.document.tests.extend(tests);
            }
        }
        Some(Err(Errors(errors))) => loader.errors.extend(errors),
    }
    if !loader.errors.is_empty() {
        return Err(Errors(loader.errors));
    }
    merge(&loader.documents, inputs)
}

/// A document, and the name under which it was included (`None`: it is the grant itself).
pub(super) struct Loaded {
    pub(super) document: Document,
    pub(super) included_as: Option<String>,
}

struct Loader<'f> {
    includes: &'f Includes<'f>,
    /// Names that were met, so that a grant included twice counts once.
    done: Vec<String>,
    documents: Vec<Loaded>,
    errors: Vec<Diagnostic>,
}

impl Loader<'_> {
    fn add(&mut self, document: Document, included_as: Option<String>, chain: &mut Vec<String>) {
        for include in &document.include {
            let name = include.value.as_str();
            let error = |message: String| Diagnostic::error(include.location.clone(), message);
            if chain.iter().any(|entered| entered == name) {
                let round = chain.join("` includes `");
                self.errors.push(
                    error(format!("`{name}` includes itself"))
                        .label(format!("`{round}` includes `{name}`")),
                );
                continue;
            }
            if self.done.iter().any(|done| done == name) {
                continue;
            }
            if chain.len() >= MAX_DEPTH {
                self.errors.push(
                    error("includes nest too deeply".to_owned())
                        .label(format!("expected at most {MAX_DEPTH} levels")),
                );
                continue;
            }
            self.done.push(name.to_owned());
            match (self.includes)(name) {
                Ok(source) => match parse(Arc::new(source)) {
                    Ok(included) => {
                        chain.push(name.to_owned());
                        self.add(included, Some(name.to_owned()), chain);
                        chain.pop();
                    }
                    Err(Errors(errors)) => self.errors.extend(errors),
                },
                Err(IncludeError { message, known }) => {
                    let known: Vec<&str> = known.iter().map(String::as_str).collect();
                    self.errors.push(
                        error(format!("cannot include `{name}`: {message}")).maybe_help(
                            (!known.is_empty()).then(|| crate::diagnostic::suggest(name, &known)),
                        ),
                    );
                }
            }
        }
        self.documents.push(Loaded {
            document,
            included_as,
        });
    }
}
