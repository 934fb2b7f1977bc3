//! From sources to a [`Grant`]: includes, in the order in which their rules count.

use std::{collections::BTreeMap, sync::Arc};

use super::{Grant, Inputs, merge::merge};
use crate::{
    diagnostic::{Diagnostic, Errors, Source},
    syntax::{Document, includes_of, parse_all, parse_tests, tests_table::RawTest},
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
    let found = Loader::load(source, includes);
    let (grant, mistakes) = found.merge(inputs, &[]);
    found.without(grant, mistakes)
}

/// Asks for everything that a grant includes, in the order in which [`load`] does, and reads no more of it than
/// that takes. False: it has to be read whole, with its mistakes.
#[must_use]
pub fn gather(source: &Source, includes: &Includes<'_>) -> bool {
    gather_below(source, includes, &mut Vec::new(), 0)
}

fn gather_below(
    source: &Source,
    includes: &Includes<'_>,
    done: &mut Vec<String>,
    depth: usize,
) -> bool {
    let Some(names) = includes_of(&source.text).filter(|_| depth <= MAX_DEPTH) else {
        return false;
    };
    names.iter().all(|name| {
        let name = place(name, &source.name);
        if done.contains(&name) {
            return true;
        }
        done.push(name.clone());
        includes(&name).is_ok_and(|source| gather_below(&source, includes, done, depth + 1))
    })
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
    let mut found = Loader::load(source, includes);
    let mut asked = found.own_tests().to_vec();
    if let Some(tests) = tests {
        match parse_tests(&Arc::new(tests)) {
            Ok(more) => asked.extend(more),
            Err(Errors(errors)) => found.errors.extend(errors),
        }
    }
    let (grant, mistakes) = found.merge(&Inputs::for_tests(set), &asked);
    found.without(grant, mistakes)
}

/// Reads a grant for use and for its tests: what can be made of it, and every mistake in it. What
/// follows from another mistake is no mistake.
pub fn examine(
    source: Source,
    inputs: &Inputs,
    includes: &Includes<'_>,
) -> (Grant, Vec<Diagnostic>) {
    let found = Loader::load(source, includes);
    let (grant, in_use) = found.merge(inputs, &[]);
    let for_tests = Inputs::for_tests(inputs.set.clone());
    let (_, in_tests) = found.merge(&for_tests, found.own_tests());
    let mut mistakes = found.errors;
    for mistake in in_use.into_iter().chain(in_tests) {
        // What is wrong with a pattern is so for both.
        if !mistakes.iter().any(|known| known.is_at(&mistake)) {
            mistakes.push(mistake);
        }
    }
    (grant, mistakes)
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

/// A grant with all that it includes.
struct Loader<'f> {
    includes: &'f Includes<'f>,
    /// Names that were met, so that a grant included twice counts once.
    done: Vec<String>,
    /// In the order of their rules; the grant itself is the last.
    documents: Vec<Loaded>,
    /// What it includes could not be had whole.
    incomplete: bool,
    errors: Vec<Diagnostic>,
}

impl<'f> Loader<'f> {
    fn load(source: Source, includes: &'f Includes<'f>) -> Self {
        let mut loader = Self {
            includes,
            done: Vec::new(),
            documents: Vec::new(),
            incomplete: false,
            errors: Vec::new(),
        };
        loader.add(source, None, &mut Vec::new());
        loader
    }

    fn merge(&self, inputs: &Inputs, tests: &[RawTest]) -> (Grant, Vec<Diagnostic>) {
        merge(&self.documents, self.incomplete, inputs, tests)
    }

    /// Expectations of an included grant are about that grant, not about what is built on it.
    fn own_tests(&self) -> &[RawTest] {
        let own = self.documents.last();
        own.map_or(&[], |own| own.document.tests.as_slice())
    }

    /// The grant, if there is no mistake.
    fn without(mut self, grant: Grant, more: Vec<Diagnostic>) -> Result<Grant, Errors> {
        self.errors.extend(more);
        if self.errors.is_empty() {
            Ok(grant)
        } else {
            Err(Errors(self.errors))
        }
    }

    fn add(&mut self, source: Source, included_as: Option<String>, chain: &mut Vec<String>) {
        let (document, errors) = parse_all(&Arc::new(source));
        self.errors.extend(errors);
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
                self.incomplete = true;
                continue;
            }
            self.done.push(name.clone());
            match (self.includes)(name) {
                Ok(source) => {
                    chain.push(name.clone());
                    self.add(source, Some(name.clone()), chain);
                    chain.pop();
                }
                Err(IncludeError { message, known }) => {
                    let known: Vec<&str> = known.iter().map(String::as_str).collect();
                    self.errors.push(
                        error(format!("cannot include `{name}`: {message}")).maybe_help(
                            (!known.is_empty()).then(|| crate::diagnostic::suggest(name, &known)),
                        ),
                    );
                    self.incomplete = true;
                }
            }
        }
        self.documents.push(Loaded {
            document,
            included_as,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::policies::{shipped, shipped_includes, shipped_names};

    fn gathered(text: &str) -> (bool, Vec<String>) {
        let asked = RefCell::new(Vec::new());
        let includes = |name: &str| {
            asked.borrow_mut().push(name.to_owned());
            match name {
                "dir/next.toml" => Ok(Source::new(name, "include = [\"./more/a.toml\", \"base\"]")),
                "dir/more/a.toml" => Ok(Source::new(name, "[[file]]\ninclude = [\"no\"]")),
                name => shipped_includes(name),
            }
        };
        let is_whole = gather(&Source::new("dir/g.toml", text), &includes);
        (is_whole, asked.into_inner())
    }

    #[test]
    fn what_is_gathered_is_what_is_read() {
        for name in shipped_names() {
            let read = RefCell::new(Vec::new());
            let includes = |name: &str| {
                read.borrow_mut().push(name.to_owned());
                shipped_includes(name)
            };
            Loader::load(shipped(name).unwrap(), &includes);
            let (is_whole, asked) = gathered(&shipped(name).unwrap().text);
            assert!(is_whole);
            assert_eq!(asked, read.into_inner(), "{name}");
        }
        let nested =
            gathered("version = 1\ninclude = [\n  \"./next.toml\", # first\n  \"base\",\n]\n");
        let names = ["dir/next.toml", "dir/more/a.toml", "base"];
        assert_eq!(nested, (true, names.map(str::to_owned).to_vec()));
        assert_eq!(
            gathered("version = 1\n[[file]]\ninclude = [\"x\"]\n"),
            (true, Vec::new())
        );
    }

    #[test]
    fn what_a_head_does_not_tell_is_read_whole() {
        for text in [
            "include = [\"base\"\n[[file]]\n",
            "purpose = \"\"\"\n[[file]]\n\"\"\"\ninclude = [\"base\"]\n",
            "include = [\n[\"base\"],\n]\n",
            "include = \"base\"\n",
            "include = [1]\n",
            "include = [\"no-such-grant\"]\n",
        ] {
            assert!(!gathered(text).0, "{text}");
        }
    }
}
