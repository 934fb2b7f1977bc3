//! Programs that only set things up for the program that they execute next: systemd's executor. An armed
//! label stays armed when a service manager executes one of them (`starts_services()` in [`crate::hooks`]).
//!
//! The daemon marks the inode, by a descriptor of it. The mark is gone with the inode's place in memory,
//! which whoever holds the file open keeps there: the daemon, and systemd itself. Without it the label takes
//! force too early, and never too late.

use crate::{kernel::Inode, maps::LAUNCHERS};

/// Whether `program` is marked.
#[inline(always)]
pub(crate) fn is_launcher(program: *const Inode) -> bool {
    !program.is_null() && LAUNCHERS.get(program).is_some()
}
