//! Questions to a compiled grant.

use agent_abi::{
    Right,
    net::{NetEntries, NetKey},
};

use super::{Compiled, RuleInfo};
use crate::{
    algebra,
    diagnostic::Location,
    environment::Fate,
    model::{Question, Test, right_name},
    moves::{MoveExplanation, explain_move},
    net::Endpoint,
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

impl Compiled {
    /// Every rule by number, those that every session has included.
    #[must_use]
    pub fn rules(&self) -> &[RuleInfo] {
        &self.info
    }

    /// The rule with a number, as it stands in events.
    #[must_use]
    pub fn rule(&self, number: u16) -> Option<&RuleInfo> {
        self.info.get(usize::from(number))
    }

    /// Whether a file right is allowed on a path, and the rule that decides
    /// ([`NO_RULE`](agent_abi::ledger::NO_RULE) where none does). The root is the empty path.
    #[must_use]
    pub fn decide(&self, path: &[u8], right: Right) -> (bool, u16) {
        self.dfa
            .label(self.dfa.run(self.dfa.start, path))
            .decide(right)
    }

    /// The same for a network destination.
    #[must_use]
    pub fn decide_net(&self, to: Endpoint) -> (bool, u16) {
        self.net.decide(to)
    }

    /// Whether an object at path `old` may get the path `new`, as far as its rights are concerned.
    #[must_use]
    pub fn may_move(&self, new: &[u8], old: &[u8]) -> bool {
        let state = |path| self.dfa.run(self.dfa.start, path);
        self.refer.may_move(state(new), state(old))
    }

    /// Entries of the `NET` map: key length in bits (policy included), key, value.
    #[must_use]
    pub fn net_entries(&self, policy: u32) -> Vec<(u32, NetKey, NetEntries)> {
        self.net.kernel_entries(policy)
    }

    /// Runs the `[[test]]` tables of a grant that was [loaded for them](crate::load_for_tests).
    #[must_use]
    pub fn run_tests(&self) -> Vec<TestOutcome> {
        self.tests.iter().map(|test| self.run_test(test)).collect()
    }

    fn run_test(&self, test: &Test) -> TestOutcome {
        let (question, passed, answer) = match &test.question {
            Question::File { path, rights } => {
                let verdicts: Vec<_> = algebra::rights(*rights)
                    .map(|right| (right, self.decide(path, right)))
                    .collect();
                self.about_rights("file", &shown(path), &verdicts, test.allow)
            }
            Question::Connect(to) => {
                let verdict = (Right::NetConnect, self.decide_net(*to));
                self.about_rights("net", &to.to_string(), &[verdict], test.allow)
            }
            Question::Environment(name) => {
                let fate = self.environment.fate(name.as_bytes());
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
                let explanation = explain_move(self, wanted);
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
        &self,
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
            rule: first.and_then(|(_, (_, rule))| self.rule(*rule)).cloned(),
        };
        (question, wrong.is_empty(), answer)
    }
}

fn shown(path: &[u8]) -> String {
    let path = if path.is_empty() { &b"/"[..] } else { path };
    String::from_utf8_lossy(path).into_owned()
}

/// A right, whether it is allowed, and the rule that decides.
type Verdict = (Right, (bool, u16));
