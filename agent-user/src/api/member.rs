//! Who is in: one thread that belongs to a session, or is where it should.

use serde::{Deserialize, Serialize};

use super::{Word, word::vocabulary};

/// A row of `bailiff ps --tasks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Member {
    /// The session by whose grant the thread is judged; `None` where it is in none.
    pub session: Option<String>,
    /// Its process.
    pub pid: u32,
    /// The thread.
    pub tid: u32,
    /// What it calls itself, in at most 15 bytes.
    pub command: String,
    /// cgroup v2 id.
    pub cgroup: u64,
    /// The session of the cgroup that it is in.
    pub place: Option<String>,
    /// How its label and its cgroup agree.
    pub standing: Word<Standing>,
}

/// How a thread's label and its cgroup agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is in a cgroup of its session.
    Inside,
    /// It was moved elsewhere and is limited all the same.
    Moved,
    /// It is limited from the next program on that it executes, and what it starts meanwhile likewise.
    Armed,
    /// Its session has ended: it is refused everything.
    Ended,
    /// Its session was untagged, and its label is being taken away: it is free.
    Leaving,
    /// It is in a session's cgroup, and free: a fault of Bailiff's.
    Free,
    /// Its own label is not that of its process: a fault of Bailiff's.
    Torn,
}

vocabulary! { Standing:
    Inside = "inside",
    Moved = "moved",
    Armed = "armed",
    Ended = "ended",
    Leaving = "leaving",
    Free = "free",
    Torn = "torn",
}

impl Standing {
    /// Whether this must never be.
    #[must_use]
    pub fn is_fault(self) -> bool {
        matches!(self, Self::Free | Self::Torn)
    }
}
