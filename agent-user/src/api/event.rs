//! One thing that a session did, or was refused.

use agent_abi::{Reason, Right};
use agent_grant::RuleInfo;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{PathText, SCHEMA, Verdict, Word};

/// A row of `bailiff events`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Event {
    /// Version of the document.
    pub schema: u32,
    /// Grows with every event that this host recorded.
    pub id: i64,
    /// When it was done.
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
    /// Device of the object (`8:1`), where it has one.
    pub device: Option<String>,
    /// Inode of the object, where it has one.
    pub inode: Option<u64>,
    /// Who did it.
    pub process: EventProcess,
    /// How many alike this row stands for.
    pub count: u64,
}

/// Who did it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EventProcess {
    /// Its process.
    pub pid: u32,
    /// Its thread.
    pub tid: u32,
    /// The process's parent.
    pub parent: u32,
    /// Its user.
    pub uid: u32,
    /// What it calls itself, in at most 15 bytes.
    pub comm: String,
    /// cgroup v2 id.
    pub cgroup: u64,
}

/// A rule of a grant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RuleRef {
    /// Its place among the grant's rules, from 0 on.
    pub number: u16,
    /// Its name, unique within the grant.
    pub id: String,
    /// What the grant's author wrote.
    pub reason: Option<String>,
    /// Where it is written (`file:line:column`), for who has the grant; the daemon does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

impl From<&RuleInfo> for RuleRef {
    fn from(rule: &RuleInfo) -> Self {
        Self {
            number: rule.number,
            id: rule.id.clone(),
            reason: rule.reason.clone(),
            place: rule.place.clone(),
        }
    }
}

impl Event {
    /// What a row is about that says of sessions that they were removed.
    pub const SESSIONS: &str = "sessions";

    /// What says nothing of anything yet.
    #[must_use]
    pub fn blank() -> Self {
        Self {
            schema: SCHEMA,
            id: 0,
            time: Timestamp::UNIX_EPOCH,
            session: String::new(),
            verdict: Word::Other(String::new()),
            right: Word::Other(String::new()),
            reason: Word::Other(String::new()),
            rule: None,
            object: String::new(),
            path: None,
            truncated: false,
            moved: false,
            device: None,
            inode: None,
            process: EventProcess::default(),
            count: 0,
        }
    }

    /// Whether an action was refused, or would have been.
    #[must_use]
    pub fn refused(&self) -> bool {
        self.verdict.known().is_some_and(Verdict::refuses)
    }
}
