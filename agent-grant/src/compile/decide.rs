//! Questions to a compiled grant.

use agent_abi::{
    Right,
    net::{NetEntries, NetKey},
};

use super::{Compiled, RuleInfo};
use crate::{
    diagnostic::Location,
    model::{Question, right_name},
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
    /// Rule that decided, if one did.
    pub rule: Option<String>,
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
        self.tests
            .iter()
            .map(|test| {
                let (question, answers): (String, Vec<(bool, u16)>) = match &test.question {
                    Question::File { path, rights } => {
                        let asked = Right::ALL.iter().map(|(right, _)| *right).filter(|right| {
                            (*right as usize) < agent_abi::right::FILE_RIGHTS
                                && rights.0 & (1 << *right as usize) != 0
                        });
                        let names: Vec<_> = asked.clone().map(right_name).collect();
                        let shown = if path.is_empty() { &b"/"[..] } else { path };
                        let question = format!(
                            "file.{} {}",
                            names.join("+"),
                            String::from_utf8_lossy(shown)
                        );
                        (
                            question,
                            asked.map(|right| self.decide(path, right)).collect(),
                        )
                    }
                    Question::Connect(to) => {
                        (format!("net.connect {to}"), vec![self.decide_net(*to)])
                    }
                };
                let wrong = answers.iter().find(|(allowed, _)| *allowed != test.allow);
                let rule = wrong
                    .or(answers.first())
                    .and_then(|(_, rule)| self.rule(*rule));
                TestOutcome {
                    passed: wrong.is_none(),
                    question,
                    expected_allow: test.allow,
                    rule: rule.map(|rule| rule.id.clone()),
                    location: test.location.clone(),
                }
            })
            .collect()
    }
}
