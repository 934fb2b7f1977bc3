//! Memory that was needed for a moment.

/// Gives back what the allocator keeps: programs that were loaded and grants that were compiled were in as many
/// pieces as it likes to keep.
pub(super) fn give_back() {
    // SAFETY: takes an integer, and may be called at any time.
    unsafe { libc::malloc_trim(0) };
}
