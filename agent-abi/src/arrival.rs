//! Mount namespaces that a process comes to with an armed label, and who waits there until the daemon has
//! found names for what is mounted.

use crate::label::Label;

/// Key of the `VIEWED` map: a mount namespace in which a session's filesystems have names, or get none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(C)]
pub struct Viewed {
    pub generation: u32,
    /// [`BY_SEQUENCE`] or [`BY_NUMBER`]
    pub by: u32,
    pub id: u64,
}

/// `id` is the namespace's sequence, which no other gets while the host is up.
pub const BY_SEQUENCE: u32 = 0;

/// `id` is the namespace's inode, which another gets when it is gone. For that in which the session began:
/// whoever comes to a later one of this number does not wait, and is refused what has no name.
pub const BY_NUMBER: u32 = 1;

/// Value of the `WAITING` map: a process that stopped in `execve`. The key is the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Waiting {
    /// In force: as it will be.
    pub label: Label,
    /// The sequence of its mount namespace.
    pub sequence: u64,
    /// The inode of its mount namespace.
    pub number: u32,
    /// [`STOPPING`] and what comes after that.
    pub stopped: u32,
}

/// It has not been told to stop yet: nobody can let it go on.
pub const STOPPING: u32 = 0;

/// It was told to stop.
pub const STOPPED: u32 = 1;

/// It goes on, and executes what it was about to with its label armed: it sets up what will be limited.
pub const PASSES: u32 = 2;

/// The same if it executes a copy in memory to which nobody can write any more.
pub const PASSES_WITH_COPY: u32 = 3;

/// It has done so, but for the interpreter of what it executes.
pub const PASSED: u32 = 4;

/// Place in the `ATTENDED` map of when the daemon last said that it is there.
pub const ATTENDED_AT: u32 = 0;

/// Place there of its process's address, which the kernel side writes and reads.
pub const ATTENDED_BY: u32 = 1;

/// How long after the daemon last said that it is there somebody waits for it, in nanoseconds. It says so
/// every [`BEAT`].
pub const PATIENCE: u64 = 15_000_000_000;

/// How often the daemon says that it is there, in nanoseconds.
pub const BEAT: u64 = 2_000_000_000;

const _: () = assert!(size_of::<Viewed>() == 16);
const _: () = assert!(size_of::<Waiting>() == 24);
