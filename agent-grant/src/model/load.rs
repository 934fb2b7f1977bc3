//! From sources to a [`Grant`]: includes, in the order in which their rules count.

use std::{collections::BTreeMap, sync::Arc};

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

/// Gives the source of an included grant: by its name, or by its path, which has a slash in it and
/// begins where the including file's own name does.
pub type Includes<'f> = dyn Fn(&str) -> Result<Source, IncludeError> + 'f;

/// Reads a grant with everything that it includes. Its tests are left out: a mistake in what they
/// ask must keep nobody from using it, and they have variables of their own.
///
/// # Errors
/// Every mistake found, in every file; at least one.
pub fn load(source: Source, inputs: &Inputs, includes: &Includes<'_>) -> Result<Grant, Errors> {
    let mut documents = load_documents(source, includes)?;
    for loaded in &mut documents {
        loaded.document.tests.clear();
    }
    merge(&documents, inputs)
}

/// Reads a grant for its tests, and adds those of a file of their own. The given variables are the
/// same for everybody and everywhere, so that the outcome depends on the grant, and on what is `set`,
/// alone.
///
/// # Errors
/// Every mistake found, in every file; at least one.
pub fn load_for_tests(
    source: Source,
    tests: Option<Source>,
    set: BTreeMap<String, String>,
    includes: &Includes<'_>,
) -> Result<Grant, Errors> {
    let documents = load_documents(source, includes);
    let more = tests.map_or_else(|| Ok(Vec::new()), |tests| parse_tests(&Arc::new(tests)));
    let (mut documents, more) = match (documents, more) {
        (Ok(documents), Ok(more)) => (documents, more),
        (documents, more) => {
            let errors = [documents.err(), more.err()].into_iter().flatten();
            return Err(Errors(errors.flat_map(|Errors(errors)| errors).collect()));
        }
    };
    if let Some(own) = documents.last_mut() {
        own.document.tests.extend(more);
    }
    merge(&documents, &Inputs::for_tests(set))
}

/// The grant with all that it includes, in the order of their rules; the grant itself is the last.
fn load_documents(source: Source, includes: &Includes<'_>) -> Result<Vec<Loaded>, Errors> {
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
    if loader.errors.is_empty() {
        Ok(loader.documents)
    } else {
        Err(Errors(loader.errors))
    }
}

/// What an `include` names: another grant by its name, or a file, by a path from the directory of the
/// file that includes it. So nothing that lies beside a file is included by a bare name.
fn place(name: &str, from: &str) -> String {
    if name.starts_with('/') || !name.contains('/') {
        return name.to_owned();
    }
    let directory = from
        .rsplit_once('/')
        .map_or(".", |(directory, _)| directory);
    let mut below = name;
    while let Some(rest) = below.strip_prefix("./") {
        below = rest.trim_start_matches('/');
    }
    format!("{directory}/{below}")
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
            let name = &place(&include.value, &document.source.name);
            let error = |message: String| Diagnostic::error(include.location.clone(), message);
            if chain.contains(name) {
                let round = chain.join("` includes `");
                self.errors.push(
                    error(format!("`{name}` includes itself"))
                        .label(format!("`{round}` includes `{name}`")),
                );
                continue;
            }
            if self.done.contains(name) {
                continue;
            }
            if chain.len() >= MAX_DEPTH {
                self.errors.push(
                    error("includes nest too deeply".to_owned())
                        .label(format!("expected at most {MAX_DEPTH} levels")),
                );
                continue;
            }
            self.done.push(name.clone());
            match (self.includes)(name) {
                Ok(source) => match parse(Arc::new(source)) {
                    Ok(included) => {
                        chain.push(name.clone());
                        self.add(included, Some(name.clone()), chain);
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
