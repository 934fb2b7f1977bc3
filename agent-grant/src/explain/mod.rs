//! Why something is allowed or refused, and what would have to change.

mod file;
mod moves;
mod net;

pub use file::{Explanation, Near, denying_rule, explain};
pub use moves::{Bar, MoveExplanation, Need, Transfer, explain_move};
pub use net::{NetExplanation, explain_net};

use crate::compile::RuleInfo;

/// A rule that matches a path and speaks of the right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    pub rule: RuleInfo,
    /// The pattern as written.
    pub pattern: String,
    /// The glob that matched: one way through the pattern's braces, variables and real paths put
    /// in.
    pub glob: String,
    /// The pattern of `except` that takes the path out of the rule again.
    pub except: Option<String>,
    /// Whether this rule decided.
    pub decides: bool,
}

/// A path for people: what is no UTF-8 is replaced, and the root is `/`.
pub(crate) fn shown(path: &[u8]) -> String {
    let path = if path.is_empty() { &b"/"[..] } else { path };
    String::from_utf8_lossy(path).into_owned()
}
