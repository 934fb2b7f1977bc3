//! What daemon and command line say to each other, and what `--json` prints: one schema.
//!
//! Names, paths and what a session chose are as they are, also within sentences: who shows them to people
//! escapes them. Errors and remarks are messages of this program, and name things as people are shown them.

#![warn(missing_docs)]

mod attachment;
pub mod doctor;
mod event;
mod failure;
pub mod grant;
mod member;
mod path;
mod requests;
pub mod routes;
#[cfg(test)]
mod schema;
mod session;
mod status;
mod word;

pub use attachment::{Attached, AttachedState};
pub use event::{Event, EventProcess, RuleRef};
pub use failure::{Failure, FailureCode};
pub use member::{Member, Standing};
pub use path::PathText;
pub use requests::{
    Distrust, Enrol, EventFilter, GrantSource, Inputs, SessionsQuery, Sought, SourceFile,
    StartSession, Target, Trust, Trusted, Untag, WhyQuery,
};
pub use session::{
    EndCause, EnvironmentState, Extent, HandsOver, RefusalKind, RuleCount, Session, SessionReport,
    SessionState, Summary, Why,
};
pub use status::{Enforcement, EnforcementState, Status, StoreStatus};
pub use word::{Alignment, Mode, Verdict, Vocabulary, Word};

use serde::{Deserialize, Serialize};

/// Version of every JSON document. Fields are added under the same number; a field that changes
/// its meaning or goes away raises it.
pub const SCHEMA: u32 = 1;

/// Where the daemon listens.
pub const DEFAULT_SOCKET: &str = "/run/bailiff/bailiff.sock";

/// A list of things.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "PageOf{T}"))]
pub struct Page<T> {
    /// Version of the document.
    pub schema: u32,
    /// The things.
    pub items: Vec<T>,
}

impl<T> Page<T> {
    /// Of these.
    #[must_use]
    pub fn new(items: Vec<T>) -> Self {
        Self {
            schema: SCHEMA,
            items,
        }
    }
}
