//! `bailiff grant test`

use agent_abi::Right;
use agent_grant::{Effect, TestAnswer, TestOutcome};
use serde::{Deserialize, Serialize};

use super::MoveJudgement;
use crate::api::{RuleRef, Word};

/// `bailiff grant test`: what came of a grant's tests.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GrantTests {
    /// Version of the document.
    pub schema: u32,
    /// The grant, as it was named on the command line.
    pub grant: String,
    /// Whether every test passed.
    pub ok: bool,
    /// How many passed.
    pub passed: usize,
    /// How many did not.
    pub failed: usize,
    /// Every test, in order.
    pub tests: Vec<TestResult>,
}

/// One test, and what the grant decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TestResult {
    /// Whether the grant decided as was expected.
    pub passed: bool,
    /// Where it is written: `file:line:column`.
    pub place: String,
    /// What it asks, as text for people: `file.read /w/.env`.
    pub question: String,
    /// What it expects.
    pub expected: Word<Effect>,
    /// What the grant decided.
    pub decided: Word<Effect>,
    /// The rights that were decided otherwise than expected; of a move `moved` tells.
    pub wrong: Vec<Word<Right>>,
    /// The rule that decided; none where no rule allows it.
    pub rule: Option<RuleRef>,
    /// Of a move: the whole answer.
    pub moved: Option<MoveJudgement>,
}

impl From<&TestOutcome> for TestResult {
    fn from(outcome: &TestOutcome) -> Self {
        let (wrong, rule, moved) = match &outcome.answer {
            TestAnswer::Rights { wrong, rule } => (&wrong[..], rule.as_ref(), None),
            TestAnswer::Move(found) => (&[][..], None, Some(found.into())),
            TestAnswer::Environment(_) => (&[][..], None, None),
        };
        Self {
            passed: outcome.passed,
            place: outcome.location.to_string(),
            question: outcome.question.clone(),
            expected: outcome.expected().into(),
            decided: outcome.decided().into(),
            wrong: wrong.iter().copied().map(Word::from).collect(),
            rule: rule.map(RuleRef::from),
            moved,
        }
    }
}
