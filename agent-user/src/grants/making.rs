//! What a grant's rules let its sessions make and write.

use std::sync::Arc;

use agent_abi::FileRights;
use agent_grant::{
    Effect, Grant, Mode,
    glob::{self, Component, Glob},
    model::{FilePattern, Object},
};
use serde::{Deserialize, Serialize};

use crate::api::PathText;

/// What every session may write to.
const KEEPS_NOTHING: &[&str] = &[
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
    "/dev/ptmx",
    "/dev/pts/ptmx",
    "/dev/pts/[0-9]*",
    "/proc/*/comm",
    "/proc/*/task/*/comm",
];

/// What a grant's rules let its sessions make and write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Making(Arc<[Rule]>);

impl Making {
    /// Of a grant whose prefixes are resolved.
    #[must_use]
    pub fn of(grant: &Grant) -> Self {
        let making = FileRights::CREATE.union(FileRights::WRITE);
        if grant.mode == Mode::Audit {
            // Nothing is refused then.
            return Self(Arc::new([Rule {
                deny: false,
                rights: making.0,
                paths: vec![Pattern::everything()],
                except: Vec::new(),
            }]));
        }
        let rules = grant.rules.iter().filter_map(|rule| match &rule.object {
            Object::File {
                rights,
                paths,
                except,
            } if rights.0 & making.0 != 0 => {
                let deny = rule.effect == Effect::Deny;
                Some(Rule {
                    deny,
                    rights: rights.0 & making.0,
                    paths: kept(paths, !deny),
                    except: kept(except, deny),
                })
            }
            _ => None,
        });
        Self(rules.collect())
    }

    /// Whether it is anything at all that keeps what is written.
    pub(super) fn is_anywhere(&self) -> bool {
        let keeps = |pattern: &Pattern| !KEEPS_NOTHING.contains(&pattern.0.to_string().as_str());
        let mut allowing = self.0.iter().filter(|rule| !rule.deny);
        allowing.any(|rule| rule.rights & FileRights::CREATE.0 != 0 || rule.paths.iter().any(keeps))
    }

    /// Whether a rule lets them do one of these at this path.
    pub(super) fn could_at(&self, rights: FileRights, path: &[u8]) -> bool {
        let any = |deny: bool, right: u16| {
            self.0.iter().any(|rule| {
                let matches = |patterns: &[Pattern]| patterns.iter().any(|p| p.0.matches(path));
                rule.deny == deny
                    && rule.rights & right != 0
                    && matches(&rule.paths)
                    && !matches(&rule.except)
            })
        };
        let bits = (0..16)
            .map(|bit| 1 << bit)
            .filter(|bit| rights.0 & bit != 0);
        bits.into_iter()
            .any(|bit| any(false, bit) && !any(true, bit))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Rule {
    deny: bool,
    rights: u16,
    paths: Vec<Pattern>,
    except: Vec<Pattern>,
}

/// A pattern, written as it is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "PathText", into = "PathText")]
struct Pattern(Glob);

impl Pattern {
    /// `/**`
    fn everything() -> Self {
        Self(Glob::new(&[Component::Any]))
    }
}

impl TryFrom<PathText> for Pattern {
    type Error = String;

    fn try_from(text: PathText) -> Result<Self, String> {
        let globs = glob::parse(&text.text, &|name| Err(format!("no variable `{name}`")));
        let globs = globs.map_err(|error| error.message)?;
        match <[Glob; 1]>::try_from(globs) {
            Ok([glob]) => Ok(Self(glob)),
            Err(_) => Err("not one pattern".into()),
        }
    }
}

impl From<Pattern> for PathText {
    fn from(pattern: Pattern) -> Self {
        Self::new(pattern.0.to_string().as_bytes())
    }
}

/// Patterns as they can be written down. One that cannot, since a link led it to a name that is no
/// UTF-8, becomes everything where it widens a reach, and nothing where it narrows it.
fn kept(patterns: &[FilePattern], widening: bool) -> Vec<Pattern> {
    let globs = patterns.iter().flat_map(FilePattern::globs);
    globs
        .filter_map(|glob| {
            let pattern = Pattern(glob.clone());
            if glob.is_plain() {
                return Some(pattern);
            }
            let again = Pattern::try_from(PathText::from(pattern.clone()));
            if again.as_ref() == Ok(&pattern) {
                Some(pattern)
            } else {
                widening.then(Pattern::everything)
            }
        })
        .collect()
}
