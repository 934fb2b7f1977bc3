//! Shares of the ring buffer: what a session's own refusals may fill, and what it lost.
//!
//! A session may have no more bytes waiting than are free. So one that floods gets half of the buffer,
//! `n` get the `n + 1`th part each, and as much is left for all others: nobody crowds anybody out, and
//! what finds no room is lost to the session that caused it.

use crate::limits::MAX_SESSIONS;

/// Bytes of the `EVENTS` ring buffer.
pub const EVENTS_BYTES: usize = 4 << 20;
/// Bytes of the `NOTICES` ring buffer: some 9,000.
pub const NOTICES_BYTES: usize = 1 << 20;

/// Accounts: one for each slot, and nobody's.
pub const ACCOUNTS: usize = MAX_SESSIONS + 1;

/// Nobody's account: what processes of ended sessions still try. Not that of slot 0, which the daemon's
/// check at start needs whatever they do.
pub const NOBODYS_ACCOUNT: u32 = MAX_SESSIONS as u32;

/// Value of the `SHARES` array, by account. The kernel side counts; nothing else writes while a session
/// has the slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Share {
    /// Bytes put into the ring buffer, ever.
    pub bytes: u64,
    /// Events that found no room.
    pub lost: u64,
}

const _: () = assert!(size_of::<Share>() == 16);

/// Bytes that a record of `length` takes up in the ring buffer (kernel/bpf/ringbuf.c).
#[must_use]
#[inline(always)]
pub const fn record_bytes(length: u64) -> u64 {
    const HEADER: u64 = 8;
    HEADER + length.div_ceil(8) * 8
}
