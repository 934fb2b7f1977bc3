//! What the daemon answers where it does not do what is asked.

use serde::{Deserialize, Serialize};

use super::{Word, word::vocabulary};

/// Why a request was not done.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Failure {
    /// Version of the document.
    pub schema: u32,
    /// What to tell cases apart by.
    pub code: Word<FailureCode>,
    /// What is wrong and what to do, as text for people.
    pub error: String,
}

/// What kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureCode {
    /// The caller may not ask for it.
    Denied,
    /// The caller runs in a session.
    Labelled,
    /// There is none of this name.
    NotFound,
    /// The grant cannot be used.
    BadGrant,
    /// The request cannot be understood, or makes no sense.
    BadRequest,
    /// Something is in the way now.
    Conflict,
    /// The daemon has no room for the request now.
    Busy,
    /// Sessions would not be limited.
    NotEnforced,
    /// Nothing can be written down.
    NotRecorded,
    /// A step failed.
    Failed,
    /// The store failed.
    Store,
    /// The kernel side failed.
    Kernel,
}

vocabulary! { FailureCode:
    Denied = "denied",
    Labelled = "labelled",
    NotFound = "not-found",
    BadGrant = "bad-grant",
    BadRequest = "bad-request",
    Conflict = "conflict",
    Busy = "busy",
    NotEnforced = "not-enforced",
    NotRecorded = "not-recorded",
    Failed = "failed",
    Store = "store",
    Kernel = "kernel",
}
