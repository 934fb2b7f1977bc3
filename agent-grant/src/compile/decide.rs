//! Questions to a compiled grant.

use std::{fmt, sync::OnceLock};

use agent_abi::{
    FileRights, Image, Reason, Right,
    ledger::NO_RULE,
    net::{NetEntries, NetKey},
};
use agent_decide::{New, Old};

use super::{Compiled, ImageParams, MountView, RuleInfo, SuperblockView};
use crate::{
    algebra,
    diagnostic::Location,
    environment::Fate,
    interpret::Interpreter,
    model::{Effect, Question, Test, right_name},
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
    /// ([`NO_RULE`] where none does). The root is the empty path.
    #[must_use]
    pub fn decide(&self, path: &[u8], right: Right) -> (bool, u16) {
        self.asked.of(self).map_or((false, NO_RULE), |image| {
            image.decide(image.walk(image.root(WHOLE), path), right)
        })
    }

    /// The rights on a path. The root is the empty path.
    #[must_use]
    pub fn rights(&self, path: &[u8]) -> FileRights {
        self.asked.of(self).map_or(FileRights::NONE, |image| {
            image.rights(image.walk(image.root(WHOLE), path))
        })
    }

    /// Why nothing is decided about a path, whatever the rules say: it is too deep.
    #[must_use]
    pub fn unresolvable(&self, path: &[u8]) -> Option<Reason> {
        let image = self.asked.of(self)?;
        image.resolve(image.root(WHOLE), path).err()
    }

    /// The same for a network destination.
    #[must_use]
    pub fn decide_net(&self, to: Endpoint) -> (bool, u16) {
        self.net.decide(to)
    }

    /// Whether an object may get the path `new` for the path `old`, as far as its rights are concerned.
    #[must_use]
    pub fn may_move(&self, is_directory: bool, old: Old<&[u8]>, new: New<&[u8]>) -> bool {
        self.asked.of(self).is_some_and(|image| {
            let state = |path| image.walk(image.root(WHOLE), path);
            image.may_move(is_directory, Old(state(old.0)), New(state(new.0)))
        })
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

/// The grant's image where one filesystem is the whole tree, made when it is asked first.
///
/// There is none for a grant that no session could begin under, which allows nothing; what
/// [`compile`](super::compile()) and [`intersect`](crate::intersect) return has one.
#[derive(Default)]
pub(crate) struct Asked(OnceLock<Option<Box<Image>>>);

/// A copy of the grant makes its own when it is asked.
impl Clone for Asked {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// The only filesystem.
const WHOLE: u32 = 0;

impl Asked {
    fn of(&self, grant: &Compiled) -> Option<Interpreter<'_>> {
        let image = self.0.get_or_init(|| {
            let whole = SuperblockView {
                number: WHOLE,
                mounts: vec![MountView {
                    root: Vec::new(),
                    at: Vec::new(),
                }],
            };
            let params = ImageParams {
                generation: 0,
                policy: 0,
                epoch: 0,
                mount_owner: 0,
                superblocks: &[whole],
            };
            grant.image(&params).ok()
        });
        Interpreter::new(image.as_ref()?)
    }
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asked")
    }
}

/// A path for people: what is no UTF-8 is replaced, and the root is `/`.
pub(crate) fn shown(path: &[u8]) -> String {
    let path = if path.is_empty() { &b"/"[..] } else { path };
    String::from_utf8_lossy(path).into_owned()
}

/// A right, whether it is allowed, and the rule that decides.
type Verdict = (Right, (bool, u16));
