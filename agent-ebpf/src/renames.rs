//! Whether something was renamed meanwhile, anywhere on the host.

use core::ffi::c_void;

use crate::kernel::{number_at, rename_lock};

/// The sequence of `rename_lock`: its first 32 bits. Zero where it cannot be read, which the daemon's
/// self-check at start rules out.
#[inline(always)]
pub(crate) fn rename_sequence() -> u32 {
    number_at(rename_lock() as *const c_void) as u32
}

/// Whether a rename is under way at this value of the sequence.
#[inline(always)]
pub(crate) fn is_renaming(sequence: u32) -> bool {
    sequence & 1 != 0
}
