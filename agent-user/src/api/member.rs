//! Who is in: one thread that belongs to a session, or is where it should.

use serde::{Deserialize, Serialize};

/// A row of `bailiff ps --tasks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The session by whose grant the thread is judged; `None` where it is in none.
    pub session: Option<String>,
    pub pid: u32,
    pub tid: u32,
    pub command: String,
    /// cgroup v2 id.
    pub cgroup: u64,
    /// The session of the cgroup that it is in.
    pub place: Option<String>,
    pub standing: Standing,
}

/// How a thread's label and its cgroup agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It is in a cgroup of its session.
    Inside,
    /// It was moved elsewhere and is limited all the same.
    Moved,
    /// Its session has ended: it is refused everything.
    Ended,
    /// Its session was untagged, and its label is being taken away: it is free.
    Leaving,
    /// It is in a session's cgroup, and free: a fault of Bailiff's.
    Free,
    /// Its own label is not that of its process: a fault of Bailiff's.
    Torn,
}

impl Standing {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Inside => "inside",
            Self::Moved => "moved",
            Self::Ended => "ended",
            Self::Leaving => "leaving",
            Self::Free => "FREE",
            Self::Torn => "TORN",
        }
    }

    /// Whether this must never be.
    #[must_use]
    pub fn is_fault(self) -> bool {
        matches!(self, Self::Free | Self::Torn)
    }
}
