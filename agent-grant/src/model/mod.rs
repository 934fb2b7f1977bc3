//! A grant with includes merged and variables replaced: what the compiler takes.

mod load;
mod merge;
pub mod pattern;
pub mod variables;

use agent_abi::{FileRights, Surface, words};

pub use load::{IncludeError, Includes, examine, gather, load, load_for_tests};
pub use pattern::{Alternative, FilePattern, LiteralPrefix, Resolution};
pub use variables::Inputs;

pub use crate::syntax::{
    Mode,
    limits::{Budget, Bytes, Count, Limits, Refusals, Then},
    rules::{Effect, right_name, right_names, right_words},
};
use crate::{
    diagnostic::{Diagnostic, Errors, Location},
    environment::Environment,
    moves::Move,
    net::{Destination, Endpoint},
    syntax::{Text, capabilities},
};

/// A whole grant.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    pub name: String,
    pub purpose: Option<String>,
    pub mode: Mode,
    /// In order: those of included grants first. The index is the rule's number.
    pub rules: Vec<Rule>,
    /// [`Surface`] bits.
    pub surface: u32,
    /// Bit = capability number.
    pub capabilities: u64,
    /// What is handed over of the caller's environment.
    pub environment: Environment,
    pub limits: Limits,
    /// Only where it was [loaded for them](load_for_tests).
    pub tests: Vec<Test>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Unique within the grant.
    pub id: String,
    pub effect: Effect,
    pub reason: Option<String>,
    pub object: Object,
    /// Where it is written; `None` for the rules that every session has.
    pub location: Option<Location>,
}

/// What a rule is about.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    File {
        rights: FileRights,
        paths: Vec<FilePattern>,
        except: Vec<FilePattern>,
    },
    /// Connecting to Internet addresses. The texts are as written.
    Net {
        to: Vec<Destination>,
        text: Vec<Text>,
    },
    /// Connecting to abstract Unix sockets. A name begins with `@` here.
    Unix {
        names: Vec<crate::unix::NamePattern>,
        text: Vec<Text>,
    },
}

words! {
    /// What a rule is about.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum RuleKind {
        /// Files.
        File => "file",
        /// Internet addresses.
        Net => "net",
        /// Abstract Unix sockets.
        Unix => "unix",
    }
}

impl Rule {
    /// What it is about.
    #[must_use]
    pub fn kind(&self) -> RuleKind {
        match self.object {
            Object::File { .. } => RuleKind::File,
            Object::Net { .. } => RuleKind::Net,
            Object::Unix { .. } => RuleKind::Unix,
        }
    }

    /// Patterns, destinations or names as written.
    #[must_use]
    pub fn objects(&self) -> Vec<&str> {
        match &self.object {
            Object::File { paths, .. } => paths.iter().map(|p| p.text.value.as_str()).collect(),
            Object::Net { text, .. } | Object::Unix { text, .. } => {
                text.iter().map(|t| t.value.as_str()).collect()
            }
        }
    }
}

/// What a grant expects of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Test {
    pub question: Question,
    /// True: every one of the rights must be allowed. False: none may be.
    pub allow: bool,
    pub location: Location,
}

/// What a test asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Path as the kernel walks it: empty for the root.
    File {
        path: Vec<u8>,
        rights: FileRights,
    },
    Connect(Endpoint),
    /// A variable of the environment: whether the session has it.
    Environment(String),
    Move(Move),
}

impl Grant {
    /// Limits that this version parses and does not enforce yet.
    #[must_use]
    pub fn unenforced_limits(&self) -> Vec<&'static str> {
        self.limits.unenforced()
    }

    /// What the grant relies on and the kernel side does not decide yet: a session with such a
    /// grant must not start.
    #[must_use]
    pub fn unsupported(&self) -> Vec<Diagnostic> {
        let unix = self.rules.iter().filter(|rule| {
            rule.effect == Effect::Allow && matches!(rule.object, Object::Unix { .. })
        });
        unix.filter_map(|rule| {
            let message = format!("rule `{}` cannot be granted yet", rule.id);
            let diagnostic = Diagnostic::error(rule.location.clone()?, message)
                .label("abstract Unix sockets are refused whole on this version")
                .help(
                    "drop the rule, or connect to a socket that has a path: `[[file]]` `connect`",
                );
            Some(diagnostic)
        })
        .collect()
    }

    /// Names of the capabilities granted.
    #[must_use]
    pub fn capability_names(&self) -> Vec<&'static str> {
        let granted = |number: &usize| self.capabilities & (1 << number) != 0;
        (0..capabilities::NAMES.len())
            .filter(granted)
            .map(|n| capabilities::NAMES[n])
            .collect()
    }

    /// Whether a switch of `[process]` or `[kernel]` is on.
    #[must_use]
    pub fn grants(&self, surface: Surface) -> bool {
        self.surface & surface.bit() != 0
    }

    /// The number of the rule with this id.
    #[must_use]
    pub fn rule_number(&self, id: &str) -> Option<u16> {
        self.rules
            .iter()
            .position(|rule| rule.id == id)
            .and_then(|n| u16::try_from(n).ok())
    }

    /// Puts real paths in place of the literal prefixes of all file patterns, `except` included.
    ///
    /// `resolve` is asked once for each alternative of each pattern; what it answered is kept in
    /// [`Alternative::written`].
    ///
    /// # Errors
    /// One diagnostic at its pattern for each refusal of `resolve`, and for each answer that is
    /// no plain absolute path.
    pub fn resolve_prefixes(
        &mut self,
        resolve: &mut dyn FnMut(&LiteralPrefix<'_>) -> Result<Resolution, String>,
    ) -> Result<(), Errors> {
        let mut errors = Vec::new();
        for rule in &mut self.rules {
            let Object::File {
                rights,
                paths,
                except,
            } = &mut rule.object
            else {
                continue;
            };
            for (patterns, is_except) in [(paths, false), (except, true)] {
                for pattern in patterns {
                    let about = pattern::About {
                        rule: &rule.id,
                        effect: rule.effect,
                        rights: *rights,
                        except: is_except,
                    };
                    errors.extend(pattern.resolve(&about, resolve));
                }
            }
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(Errors(errors))
        }
    }
}
