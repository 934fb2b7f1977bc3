//! The daemon's own state.

use serde::{Deserialize, Serialize};

use super::{Word, word::vocabulary};

/// `bailiff status` without a session, and a part of `bailiff doctor`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Status {
    /// Version of the document.
    pub schema: u32,
    /// Of the daemon.
    pub version: String,
    /// The daemon's process.
    pub pid: u32,
    /// The kernel's release.
    pub kernel: String,
    /// When the daemon was started.
    pub started: jiff::Timestamp,
    /// How many sessions there are.
    pub sessions: u32,
    /// How many hooks a program is attached to.
    pub hooks_attached: u32,
    /// How many hooks this version has programs for.
    pub hooks_known: u32,
    /// Hooks of this kernel that should be attached and are not.
    pub missing_hooks: Vec<String>,
    /// Whether what sessions are limited by is attached and will last.
    pub enforcement: Enforcement,
    /// Bytes of events that wait in the kernel's buffer.
    pub waiting_in_kernel: u64,
    /// How recording goes.
    pub store: StoreStatus,
}

/// Whether what sessions are limited by is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Enforcement {
    /// In one word.
    pub state: Word<EnforcementState>,
    /// Why it is not as it should be, as text for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// Whether sessions are limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnforcementState {
    /// Attached, and pinned: it outlasts the daemon.
    InForce,
    /// Attached, and gone with this daemon.
    NotLasting,
    /// Sessions are not limited, or not wholly.
    Off,
}

vocabulary! { EnforcementState:
    InForce = "in-force",
    NotLasting = "not-lasting",
    Off = "off",
}

/// How recording goes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StoreStatus {
    /// Its file.
    pub path: String,
    /// Events in it.
    pub recorded: u64,
    /// Events that rows say were lost.
    #[serde(default)]
    pub lost: u64,
    /// Waiting to be written.
    pub queued: u64,
    /// Dropped because the queue was full.
    pub dropped: u64,
    /// The last write failed like this, and is being tried again.
    pub error: Option<String>,
    /// Bytes that its filesystem has left.
    #[serde(default)]
    pub room: Option<u64>,
}
