//! A session, and what is said about it.

use std::collections::BTreeMap;

use agent_grant::environment::Environment;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Alignment, Event, Mode, RuleRef, Word, word::vocabulary};

/// A session; a row of `bailiff ps`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Session {
    /// Version of the document.
    pub schema: u32,
    /// Grant and number: `coder-17`.
    pub name: String,
    /// Unique on this host, ever.
    pub number: u32,
    /// What it is doing.
    pub state: Word<SessionState>,
    /// Name of the grant.
    pub grant: String,
    /// Whether its grant is carried out.
    pub mode: Word<Mode>,
    /// The cgroup that its processes are in; of `exec` the one that it was started in; of an attachment the unit
    /// or pattern.
    pub cgroup: String,
    /// The cgroup's cgroup v2 id.
    pub cgroup_id: u64,
    /// What belongs to it.
    pub extent: Word<Extent>,
    /// Whether the grant's `[environment]` holds, or the processes have theirs from before.
    #[serde(default)]
    pub environment: Word<EnvironmentState>,
    /// The command that it was started with.
    pub command: Vec<String>,
    /// What the grant's variables are filled in with.
    pub variables: BTreeMap<String, String>,
    /// What its grant does not give on this host although it is written there, and why.
    #[serde(default)]
    pub remarks: Vec<String>,
    /// In the answer to a start: what `bailiff run` hands over of the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hands_over: Option<HandsOver>,
    /// Who started it.
    pub uid: u32,
    /// When it was started.
    pub started: Timestamp,
    /// When it ended, if it did.
    pub ended: Option<Timestamp>,
    /// What ended it.
    pub end_cause: Option<Word<EndCause>>,
    /// Live processes.
    pub processes: u32,
    /// Actions that the grant allowed, counted in the kernel.
    pub allowed: u64,
    /// Actions that it refused, counted in the kernel.
    pub refused: u64,
}

/// What a grant has handed over of its caller's environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HandsOver {
    /// Names that have the value that they had; a `*` is any run of characters.
    pub keep: Vec<String>,
    /// Names that have another.
    pub set: BTreeMap<String, String>,
}

impl From<&Environment> for HandsOver {
    fn from(environment: &Environment) -> Self {
        Self {
            keep: environment.keeps(),
            set: environment.set.clone(),
        }
    }
}

impl From<&HandsOver> for Environment {
    fn from(told: &HandsOver) -> Self {
        Self::new(&told.keep, told.set.clone())
    }
}

/// What a session is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// The grant is in force; no process has come yet.
    Starting,
    /// It is attached, and nothing has come into it yet.
    Waiting,
    /// Its processes run.
    Running,
    /// They are halted (`bailiff freeze`).
    Frozen,
    /// It has none any more.
    Ended,
}

vocabulary! { SessionState:
    Starting = "starting",
    Waiting = "waiting",
    Running = "running",
    Frozen = "frozen",
    Ended = "ended",
}

/// What belongs to a session, besides all that its processes start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// A cgroup that the daemon made (`bailiff run`).
    OwnCgroup,
    /// A cgroup that was there (`bailiff tag`).
    Cgroup,
    /// The same, and each of its processes from the next program on that it executes
    /// (`bailiff tag --at-exec`).
    CgroupAtExec,
    /// The cgroup of a container that its runtime made (`bailiff attach --container`), and each of its processes
    /// from the next program on that it executes.
    Container,
    /// A process, in whatever cgroup it is (`bailiff exec`).
    Process,
    /// Cgroups that appear where an attachment says (`bailiff attach`), and each of their processes from the
    /// next program on that it executes.
    Attached,
}

vocabulary! { Extent:
    OwnCgroup = "own-cgroup",
    Cgroup = "cgroup",
    CgroupAtExec = "cgroup-at-exec",
    Container = "container",
    Process = "process",
    Attached = "attached",
}

impl Extent {
    /// Whether Bailiff started its first process, and so chose what that is handed over.
    #[must_use]
    pub fn is_launched(self) -> bool {
        matches!(self, Self::OwnCgroup | Self::Process)
    }

    /// Whether it has a cgroup that others made.
    #[must_use]
    pub fn is_tagged(self) -> bool {
        matches!(self, Self::Cgroup | Self::CgroupAtExec | Self::Container)
    }
}

/// Where the environment of a session's processes comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EnvironmentState {
    /// `bailiff run` or `exec` handed over what the grant keeps.
    Granted,
    /// They ran before: nothing was taken from it.
    #[default]
    AsItWas,
}

vocabulary! { EnvironmentState:
    Granted = "granted",
    AsItWas = "as-it-was",
}

/// What ended a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndCause {
    /// Its last process ended.
    Finished,
    /// `bailiff stop`.
    Stopped,
    /// `bailiff untag`.
    Untagged,
    /// The cgroup was removed.
    CgroupRemoved,
    /// Nobody enrolled.
    NeverStarted,
    /// The host was restarted.
    Reboot,
    /// The kernel side no longer had it when a daemon came back.
    Vanished,
}

vocabulary! { EndCause:
    Finished = "finished",
    Stopped = "stopped",
    Untagged = "untagged",
    CgroupRemoved = "cgroup-removed",
    NeverStarted = "never-started",
    Reboot = "reboot",
    Vanished = "vanished",
}

/// What `bailiff run` says at the end.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Summary {
    /// Version of the document.
    pub schema: u32,
    /// The session.
    pub session: Session,
    /// The first refusals, oldest first.
    pub refusals: Vec<Event>,
    /// How many different ones were recorded.
    pub recorded: u64,
    /// What they were, by right and rule, in the order in which they were first met.
    #[serde(default)]
    pub kinds: Vec<RefusalKind>,
    /// Processes that outlived the command.
    pub survivors: Vec<String>,
}

/// Refusals of one right by one rule, or by none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RefusalKind {
    /// The first of them.
    pub first: Event,
    /// How many objects they were about.
    pub different: u64,
    /// How many they were.
    pub times: u64,
}

/// How often one rule decided.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RuleCount {
    /// `None` counts what no rule decided.
    pub rule: Option<RuleRef>,
    /// How often it allowed.
    pub allowed: u64,
    /// How often it refused.
    pub refused: u64,
}

/// `bailiff report`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SessionReport {
    /// Version of the document.
    pub schema: u32,
    /// The session.
    pub session: Session,
    /// How often each rule of its grant decided.
    pub rules: Vec<RuleCount>,
    /// Its refusals of which no event is stored, because there was no room.
    pub lost: u64,
    /// Its refusals whose events wait to be stored.
    #[serde(default)]
    pub unrecorded: u64,
    /// Its events that were stored, and removed since because of their age or number.
    #[serde(default)]
    pub removed: u64,
    /// Hooks of this kernel that are not attached.
    pub missing_hooks: Vec<String>,
    /// How what it did compares with what it was granted.
    pub alignment: Word<Alignment>,
    /// Why.
    pub because: String,
}

/// `bailiff why`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Why {
    /// Version of the document.
    pub schema: u32,
    /// The refusal.
    pub event: Event,
    /// The refusal in a sentence.
    pub what: String,
    /// The rule or the reason.
    pub because: String,
    /// Whether the same act can succeed if tried again under this grant.
    pub retry_helps: bool,
    /// The same in a sentence.
    pub retry: String,
    /// What to ask the operator for; `None` where nobody can grant it.
    pub ask: Option<String>,
    /// Of a crash: what was refused before it, which may be why there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<Why>>,
}
