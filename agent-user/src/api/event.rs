//! One thing that a session did, or was refused.

use agent_abi::{Reason, Right};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{PathText, Verdict, Word};

/// A row of `bailiff events`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub schema: u32,
    /// Grows with every event that this host recorded.
    pub id: i64,
    pub time: Timestamp,
    /// Name of the session.
    pub session: String,
    /// `allow`, `deny` or `would-deny`; `lost` for a row that says how many events were dropped,
    /// `removed` for one that says how many were removed since, `ended` for one that says that a session
    /// ended without being told to.
    pub verdict: Word<Verdict>,
    /// As in a grant: `file.write`; `-` in a row that stands for no act.
    pub right: Word<Right>,
    /// Why, in a word: `rule`, `no-rule`, `refer`, …; in a row that stands for no act, in a sentence.
    pub reason: Word<Reason>,
    /// The rule that decided, if one did.
    pub rule: Option<RuleRef>,
    /// What it was done to, for people: a path, an address, a process.
    pub object: String,
    /// The object's whole path as the session sees it, where it has one.
    pub path: Option<PathText>,
    /// The path was too long and lost its beginning.
    #[serde(default)]
    pub truncated: bool,
    /// The object was renamed while it was judged: the rule may have decided about another path.
    #[serde(default)]
    pub moved: bool,
    /// Device (`8:1`) and inode of the object, where it has them.
    pub device: Option<String>,
    pub inode: Option<u64>,
    pub process: EventProcess,
    /// How many alike this row stands for.
    pub count: u64,
}

/// Who did it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventProcess {
    pub pid: u32,
    pub tid: u32,
    pub parent: u32,
    pub uid: u32,
    pub comm: String,
    /// cgroup v2 id.
    pub cgroup: u64,
}

/// A rule of the session's grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleRef {
    pub number: u16,
    pub id: String,
    /// What the grant's author wrote.
    pub reason: Option<String>,
}

impl Event {
    /// What a row is about that says of sessions that they were removed.
    pub const SESSIONS: &str = "sessions";

    /// Whether an action was refused, or would have been.
    #[must_use]
    pub fn refused(&self) -> bool {
        self.verdict.known().is_some_and(Verdict::refuses)
    }
}
