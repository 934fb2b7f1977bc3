//! Questions to a compiled grant.

use agent_abi::{
    Right,
    net::{NetEntries, NetKey},
};

use super::{Compiled, RuleInfo};
use crate::{
    algebra,
    diagnostic::Location,
    model::{Question, Test, right_name},
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
    /// The rights that came out otherwise.
    pub wrong: Vec<Right>,
    /// The rule that decided the first of those, or of all if none did; `None` where no rule did.
    pub rule: Option<RuleInfo>,
    pub location: Location,
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

    /// Runs the grant's `[[test]]` tables.
    #[must_use]
    pub fn run_tests(&self) -> Vec<TestOutcome> {
        self.tests.iter().map(|test| self.run_test(test)).collect()
    }

    fn run_test(&self, test: &Test) -> TestOutcome {
        let (object, answers) = self.answer(&test.question);
        let names: Vec<_> = answers
            .iter()
            .map(|(right, _)| right_name(*right))
            .collect();
        let kind = if matches!(test.question, Question::Connect(_)) {
            "net"
        } else {
            "file"
        };
        let wrong: Vec<_> = answers
            .iter()
            .filter(|(_, (allowed, _))| *allowed != test.allow)
            .collect();
        let first = wrong.first().copied().or(answers.first());
        TestOutcome {
            passed: wrong.is_empty(),
            question: format!("{kind}.{} {object}", names.join("+")),
            expected_allow: test.allow,
            wrong: wrong.iter().map(|(right, _)| *right).collect(),
            rule: first.and_then(|(_, (_, rule))| self.rule(*rule)).cloned(),
            location: test.location.clone(),
        }
    }

    /// What is asked about, and what each right asked for comes out as.
    fn answer(&self, question: &Question) -> (String, Vec<Answer>) {
        match question {
            Question::File { path, rights } => {
                let shown = if path.is_empty() { &b"/"[..] } else { path };
                let answers = algebra::rights(*rights)
                    .map(|right| (right, self.decide(path, right)))
                    .collect();
                (String::from_utf8_lossy(shown).into_owned(), answers)
            }
            Question::Connect(to) => (
                to.to_string(),
                vec![(Right::NetConnect, self.decide_net(*to))],
            ),
        }
    }
}

/// A right, whether it is allowed, and the rule that decides.
type Answer = (Right, (bool, u16));
