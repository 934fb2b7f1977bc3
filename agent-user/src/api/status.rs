//! The daemon's own state.

use serde::{Deserialize, Serialize};

use crate::kernel::Enforcement;

/// `bailiff status` without a session, and a part of `bailiff doctor`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    pub schema: u32,
    pub version: String,
    pub pid: u32,
    pub kernel: String,
    pub started: jiff::Timestamp,
    pub sessions: u32,
    /// Hooks attached and known.
    pub hooks_attached: u32,
    pub hooks_known: u32,
    pub missing_hooks: Vec<String>,
    /// Whether what sessions are limited by is attached and will last.
    pub enforcement: Enforcement,
    /// Bytes of events that wait in the kernel's buffer.
    pub waiting_in_kernel: u64,
    pub store: StoreStatus,
}

/// How recording goes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StoreStatus {
    pub path: String,
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
