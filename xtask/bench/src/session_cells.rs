//! What sessions cost who starts them.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What is measured of a daemon, its clients and their commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionFigure {
    /// The daemon's start where nothing is loaded, until it answers.
    FirstStart,
    /// The same build's start where its programs are.
    Restart,
    /// `bailiff run` of `true` by a grant that the daemon has not seen at that place.
    NewGrant,
    /// The same again.
    KnownGrant,
    /// And again, while many sessions run.
    KnownGrantAmongMany,
    /// Of the daemon at rest, after a first start.
    MemoryAfterFirstStart,
    /// The same after a restart.
    MemoryAfterRestart,
    /// What each of many sessions by one grant at one place adds.
    MemoryOfOneMore,
    /// What each of several adds that have a place of their own.
    MemoryOfAnotherPlace,
    /// Of the daemon at rest, once all of these have ended.
    MemoryAfterAll,
}

impl SessionFigure {
    pub const ALL: [Self; 10] = [
        Self::FirstStart,
        Self::Restart,
        Self::NewGrant,
        Self::KnownGrant,
        Self::KnownGrantAmongMany,
        Self::MemoryAfterFirstStart,
        Self::MemoryAfterRestart,
        Self::MemoryOfOneMore,
        Self::MemoryOfAnotherPlace,
        Self::MemoryAfterAll,
    ];

    #[must_use]
    pub fn is_memory(self) -> bool {
        matches!(
            self,
            Self::MemoryAfterFirstStart
                | Self::MemoryAfterRestart
                | Self::MemoryOfOneMore
                | Self::MemoryOfAnotherPlace
                | Self::MemoryAfterAll
        )
    }

    /// What its value counts.
    #[must_use]
    pub fn unit(self) -> &'static str {
        if self.is_memory() {
            "KiB"
        } else {
            "instructions"
        }
    }

    /// By how much figures differ from run to run.
    #[must_use]
    pub fn noise(self) -> u64 {
        match self {
            Self::FirstStart | Self::Restart => 10_000_000,
            Self::NewGrant | Self::KnownGrant | Self::KnownGrantAmongMany => 1_000_000,
            Self::MemoryAfterFirstStart | Self::MemoryAfterRestart => 1024,
            // What the allocator gives back is chance.
            Self::MemoryAfterAll => 16_384,
            Self::MemoryOfOneMore => 256,
            Self::MemoryOfAnotherPlace => 4096,
        }
    }
}

impl fmt::Display for SessionFigure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::FirstStart => "daemon's first start",
            Self::Restart => "daemon's restart",
            Self::NewGrant => "run true, new grant",
            Self::KnownGrant => "run true, known grant",
            Self::KnownGrantAmongMany => "the same among many",
            Self::MemoryAfterFirstStart => "daemon, first started",
            Self::MemoryAfterRestart => "daemon, restarted",
            Self::MemoryOfOneMore => "one more session",
            Self::MemoryOfAnotherPlace => "one more, other place",
            Self::MemoryAfterAll => "daemon after sessions",
        })
    }
}

/// One figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionCell {
    pub figure: SessionFigure,
    /// In the figure's unit.
    pub value: u64,
}
