//! A session, and what is said about it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Alignment, Event, Mode, RuleRef, Word};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub schema: u32,
    /// Grant and number: `coder-17`.
    pub name: String,
    /// Unique on this host, ever.
    pub number: u32,
    pub state: SessionState,
    /// Name of the grant.
    pub grant: String,
    /// `enforce` or `audit`.
    pub mode: Word<Mode>,
    pub cgroup: String,
    pub cgroup_id: u64,
    /// Whether the daemon made the cgroup (`run`) or found it (`tag`).
    pub own_cgroup: bool,
    /// Whether the grant's `[environment]` holds, or the processes have theirs from before.
    #[serde(default)]
    pub environment: EnvironmentState,
    pub command: Vec<String>,
    pub variables: BTreeMap<String, String>,
    /// What its grant does not give on this host although it is written there, and why.
    #[serde(default)]
    pub remarks: Vec<String>,
    /// Who started it.
    pub uid: u32,
    pub started: Timestamp,
    pub ended: Option<Timestamp>,
    pub end_cause: Option<EndCause>,
    /// Live processes.
    pub processes: u32,
    /// Actions that the grant allowed and refused, counted in the kernel.
    pub allowed: u64,
    pub refused: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionState {
    /// The grant is in force; no process has come yet.
    Starting,
    Running,
    Frozen,
    Ended,
}

impl SessionState {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Frozen => "frozen",
            Self::Ended => "ended",
        }
    }
}

/// Where the environment of a session's processes comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnvironmentState {
    /// `bailiff run` handed over what the grant keeps.
    Granted,
    /// They ran before: nothing was taken from it.
    #[default]
    AsItWas,
}

/// What ended a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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

impl EndCause {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Stopped => "stopped",
            Self::Untagged => "untagged",
            Self::CgroupRemoved => "cgroup-removed",
            Self::NeverStarted => "never-started",
            Self::Reboot => "reboot",
            Self::Vanished => "vanished",
        }
    }
}

/// What `bailiff run` says at the end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    pub schema: u32,
    pub session: Session,
    /// The first refusals, oldest first.
    pub refusals: Vec<Event>,
    /// How many different ones were recorded.
    pub recorded: u64,
    /// Processes that outlived the command.
    pub survivors: Vec<String>,
}

/// How often one rule decided.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RuleCount {
    /// `None` counts what no rule decided.
    pub rule: Option<RuleRef>,
    pub allowed: u64,
    pub refused: u64,
}

/// `bailiff report`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SessionReport {
    pub schema: u32,
    pub session: Session,
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
    /// `aligned`, `not aligned` or `unknown`.
    pub alignment: Word<Alignment>,
    /// Why.
    pub because: String,
}

/// `bailiff why`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Why {
    pub schema: u32,
    pub event: Event,
    /// The refusal in a sentence.
    pub what: String,
    /// The rule or the reason.
    pub because: String,
    /// Whether the same act can succeed if tried again under this grant.
    pub retry_helps: bool,
    pub retry: String,
    /// What to ask the operator for; `None` where nobody can grant it.
    pub ask: Option<String>,
    /// Of a crash: what was refused before it, which may be why there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<Why>>,
}
