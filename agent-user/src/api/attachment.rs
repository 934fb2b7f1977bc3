//! An attachment, and how it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Word, word::vocabulary};

/// A row of `bailiff attachments`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Attached {
    /// Its file in `/etc/bailiff/attach.d`, without `.toml`.
    pub name: String,
    /// The unit, the pattern of cgroups, or of containers, images or annotations; empty where its file cannot be read.
    pub subject: String,
    /// The grant as the file names it.
    pub grant: String,
    /// What fills in the grant's variables.
    pub variables: BTreeMap<String, String>,
    /// Whether it holds.
    pub state: Word<AttachedState>,
    /// Why it does not, or not as its file says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The session that the next cgroup will be in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Processes that ran before it held, and are not limited before they execute a program.
    pub early: u32,
}

/// Whether an attachment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachedState {
    /// What appears comes under its grant.
    InForce,
    /// Its grant cannot be put in force: nothing of what appears may execute anything.
    Refusing,
    /// It is for what holds the daemon or the host's first process, and nothing of it is limited.
    Rejected,
    /// Its file cannot be read: what it is for is not known, and nothing of it is limited.
    Unreadable,
}

vocabulary! { AttachedState:
    InForce = "in-force",
    Refusing = "refusing",
    Rejected = "rejected",
    Unreadable = "unreadable",
}
