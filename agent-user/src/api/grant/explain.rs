//! `bailiff grant explain`

use agent_abi::Right;
use agent_grant::{Effect, explain::Match};
use serde::{Deserialize, Serialize};

use super::MoveJudgement;
use crate::api::{PathText, RuleRef, Word};

/// `bailiff grant explain`: what a grant says of a path or destination.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GrantExplanation {
    /// Version of the document.
    pub schema: u32,
    /// What was judged: the real path, or the destination.
    pub object: PathText,
    /// Every right that was asked for.
    pub rights: Vec<RightExplanation>,
}

/// `bailiff grant explain --to`: what a grant says of a move.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MoveExplanation {
    /// Version of the document.
    pub schema: u32,
    /// The move, and the answer.
    #[serde(flatten)]
    pub judgement: MoveJudgement,
}

/// What a grant says of one right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RightExplanation {
    /// As in an event: `file.read`.
    pub right: Word<Right>,
    /// Whether the grant allows it.
    pub allowed: bool,
    /// The rule that decided; none where no rule allows it.
    pub rule: Option<RuleRef>,
    /// The pattern or destination by which that rule matches.
    pub pattern: Option<String>,
    /// Every rule that matches, in order.
    pub matches: Vec<RuleMatch>,
    /// What would have to change for the opposite, as text for people.
    pub change: String,
}

/// A rule that matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RuleMatch {
    /// Which one.
    pub rule: RuleRef,
    /// Whether it allows or denies.
    pub effect: Word<Effect>,
    /// The pattern or destination by which it matches, as written.
    pub pattern: String,
    /// What the pattern stands for here: variables, braces and real paths put in.
    pub glob: String,
    /// The pattern of `except` that takes this object out of the rule.
    pub except: Option<String>,
    /// Whether it decided.
    pub decides: bool,
}

impl From<&Match> for RuleMatch {
    fn from(found: &Match) -> Self {
        Self {
            rule: (&found.rule).into(),
            effect: found.rule.effect.into(),
            pattern: found.pattern.clone(),
            glob: found.glob.clone(),
            except: found.except.clone(),
            decides: found.decides,
        }
    }
}
