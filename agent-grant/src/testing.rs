//! Running the `[[test]]`s by which a grant says what it expects of itself.

use agent_abi::Right;

use crate::{
    compile::{Compiled, RuleInfo},
    diagnostic::Location,
    environment::Fate,
    explain::{MoveExplanation, explain_move, shown},
    model::{Effect, Question, Test, right_name},
};

/// How one of a grant's own tests came out.
#[derive(Clone, Debug)]
pub struct TestOutcome {
    pub passed: bool,
    /// "file.read /w/.env"
    pub question: String,
    /// True: the grant should allow it.
    pub expected_allow: bool,
    pub answer: TestAnswer,
    pub location: Location,
}

impl TestOutcome {
    /// What the test expects.
    #[must_use]
    pub fn expected(&self) -> Effect {
        effect(self.expected_allow)
    }

    /// What the grant decided.
    #[must_use]
    pub fn decided(&self) -> Effect {
        effect(self.expected_allow == self.passed)
    }
}

fn effect(allows: bool) -> Effect {
    if allows { Effect::Allow } else { Effect::Deny }
}

/// What the grant says to a test's question.
#[derive(Clone, Debug)]
pub enum TestAnswer {
    Rights {
        /// The rights that came out otherwise than expected.
        wrong: Vec<Right>,
        /// The rule that decided the first of those, or of all if none did; `None` where no rule
        /// did.
        rule: Option<RuleInfo>,
    },
    Move(MoveExplanation),
    /// What becomes of a variable: "kept", "dropped", or its value.
    Environment(String),
}

/// A right, whether it is allowed, and the rule that decides.
type Verdict = (Right, (bool, u16));

/// Runs the `[[test]]` tables of a grant that was [loaded for them](crate::load_for_tests).
#[must_use]
pub fn run_tests(grant: &Compiled) -> Vec<TestOutcome> {
    grant.tests.iter().map(|test| run(grant, test)).collect()
}

fn run(grant: &Compiled, test: &Test) -> TestOutcome {
    let (question, passed, answer) = match &test.question {
        Question::File { path, rights } => {
            let verdicts: Vec<_> = rights
                .iter()
                .map(|right| (right, grant.decide(path, right)))
                .collect();
            about_rights(grant, "file", &shown(path), &verdicts, test.allow)
        }
        Question::Connect(to) => {
            let verdict = (Right::NetConnect, grant.decide_net(*to));
            about_rights(grant, "net", &to.to_string(), &[verdict], test.allow)
        }
        Question::Environment(name) => {
            let fate = grant.environment.fate(name.as_bytes());
            let passed = (fate != Fate::Dropped) == test.allow;
            let answer = match fate {
                Fate::Dropped => "it is dropped".to_owned(),
                Fate::Set(value) => format!("it is set to \"{}\"", value.escape_debug()),
                Fate::Kept => "it is kept".to_owned(),
            };
            let question = format!("environment {name}");
            (question, passed, TestAnswer::Environment(answer))
        }
        Question::Move(wanted) => {
            let explanation = explain_move(grant, wanted);
            let passed = explanation.allowed == test.allow;
            (wanted.to_string(), passed, TestAnswer::Move(explanation))
        }
    };
    TestOutcome {
        passed,
        question,
        expected_allow: test.allow,
        answer,
        location: test.location.clone(),
    }
}

/// The question in words, whether every right came out as expected, and which did not.
fn about_rights(
    grant: &Compiled,
    kind: &str,
    object: &str,
    verdicts: &[Verdict],
    expected_allow: bool,
) -> (String, bool, TestAnswer) {
    let names: Vec<_> = verdicts
        .iter()
        .map(|(right, _)| right_name(*right))
        .collect();
    let question = format!("{kind}.{} {object}", names.join("+"));
    let wrong: Vec<_> = verdicts
        .iter()
        .filter(|(_, (allowed, _))| *allowed != expected_allow)
        .collect();
    let first = wrong.first().copied().or(verdicts.first());
    let answer = TestAnswer::Rights {
        wrong: wrong.iter().map(|(right, _)| *right).collect(),
        rule: first.and_then(|(_, (_, rule))| grant.rule(*rule)).cloned(),
    };
    (question, wrong.is_empty(), answer)
}
