//! The ledger: per session and rule, how often it decided.

use crate::limits::{MAX_RULES, MAX_SESSIONS};

/// Value of the `LEDGER` array. Counters only grow while a session lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Count {
    pub allowed: u64,
    /// Denied, or would have been in audit mode.
    pub refused: u64,
}

const _: () = assert!(size_of::<Count>() == 16);

/// Entries of the `LEDGER` array.
pub const LEDGER_ENTRIES: usize = MAX_SESSIONS * MAX_RULES;

/// Where a session's rule is counted. Rule [`NO_RULE`] is counted in the last place.
#[must_use]
pub const fn ledger_index(slot: u32, rule: u16) -> u32 {
    (slot & (MAX_SESSIONS as u32 - 1)) * MAX_RULES as u32 + (rule as u32 & (MAX_RULES as u32 - 1))
}

/// The rule number of a decision that no rule made. Rules are numbered from 0 to
/// `MAX_RULES - 2`, so that it has a place of its own in the ledger.
pub const NO_RULE: u16 = u16::MAX;
