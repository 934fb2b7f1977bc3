//! Counters that several processors add to at the same time.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

/// Adds one.
///
/// # Safety
/// `counter` is a live, aligned map value.
#[inline(always)]
pub(crate) unsafe fn increment(counter: *mut u64) {
    // SAFETY: the caller's promise.
    unsafe { add(counter, 1) };
}

/// Adds an amount.
///
/// # Safety
/// `counter` is a live, aligned map value.
#[inline(always)]
pub(crate) unsafe fn add(counter: *mut u64, amount: u64) {
    // SAFETY: the caller's promise.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter, amount) };
}
