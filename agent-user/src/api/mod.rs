//! What daemon and command line say to each other, and what `--json` prints: one schema.
//!
//! Names, paths and what a session chose are as they are, also within sentences: who shows them to people
//! escapes them. Errors and remarks are messages of this program, and name things as people are shown them.

mod event;
mod member;
mod path;
mod requests;
pub mod routes;
mod session;
mod status;
mod word;

pub use event::{Event, EventProcess, RuleRef};
pub use member::{Member, Standing};
pub use path::PathText;
pub use requests::{
    Enrol, EventFilter, GrantSource, Inputs, SessionsQuery, SourceFile, StartSession, Target,
    Untag, WhyQuery,
};
pub use session::{
    EndCause, EnvironmentState, RuleCount, Session, SessionReport, SessionState, Summary, Why,
};
pub use status::{Status, StoreStatus};
pub use word::{Alignment, Mode, Verdict, Vocabulary, Word};

use serde::{Deserialize, Serialize};

/// Version of every JSON document. Fields are added under the same number; a field that changes
/// its meaning or goes away raises it.
pub const SCHEMA: u32 = 1;

/// Where the daemon listens.
pub const DEFAULT_SOCKET: &str = "/run/bailiff/bailiff.sock";

/// A list of things.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Page<T> {
    pub schema: u32,
    pub items: Vec<T>,
}

impl<T> Page<T> {
    #[must_use]
    pub fn new(items: Vec<T>) -> Self {
        Self {
            schema: SCHEMA,
            items,
        }
    }
}

/// Why a request was not done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failure {
    pub schema: u32,
    /// One word to tell cases apart by: `denied`, `not-found`, `bad-grant`, …
    pub code: String,
    /// What is wrong and what to do.
    pub error: String,
}
