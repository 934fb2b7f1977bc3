//! Attachments: which cgroups get a label by their paths when they appear.
//!
//! The paths of all attachments are one automaton, run from its start over the bytes of a new cgroup's path
//! (`/system.slice/agent.service`). It stands in the kernel, so it holds without a daemon.

use crate::label::Label;

/// Attachments that can be in force at once.
pub const MAX_ATTACHMENTS: usize = 64;

/// States of the automaton. A power of two, because the kernel side bounds every index with a mask.
pub const MAX_ATTACHMENT_STATES: usize = 1 << 14;

/// Words of its rows. A power of two, as above.
pub const ATTACHMENT_WORDS: usize = 1 << 18;

/// Bytes of a cgroup's path that are looked at, its end included (`TRACE_CGROUP_PATH_LEN`): a longer one is of
/// no attachment.
pub const MAX_CGROUP_PATH: usize = 1024;

/// Value of the inner map of `ATTACHMENTS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Attachments {
    /// What each attachment gives.
    pub labels: [Label; MAX_ATTACHMENTS],
    /// Words of a row.
    pub columns: u32,
    /// The state of the empty path.
    pub start: u32,
    /// Byte to column.
    pub classes: [u8; 256],
    /// State to the attachment whose path ends there, plus one; 0: none.
    pub found: [u8; MAX_ATTACHMENT_STATES],
    /// Where each state leads, `columns` words for each.
    pub rows: [u16; ATTACHMENT_WORDS],
}

impl Attachments {
    /// Where a byte leads.
    #[must_use]
    pub const fn step(&self, state: u32, byte: u8) -> u32 {
        let column = self.classes[byte as usize] as u32;
        let word = state.wrapping_mul(self.columns).wrapping_add(column) as usize;
        self.rows[word & (ATTACHMENT_WORDS - 1)] as u32
    }

    /// The label of the attachment whose path ends in this state.
    #[must_use]
    pub const fn label(&self, state: u32) -> Label {
        match self.found[state as usize & (MAX_ATTACHMENT_STATES - 1)] {
            0 => Label::NONE,
            number => self.labels[(number as usize - 1) & (MAX_ATTACHMENTS - 1)],
        }
    }

    /// Whether any path is of this attachment, counted from 0: it is of none where those before it have all.
    #[must_use]
    pub fn is_reached(&self, number: usize) -> bool {
        self.found
            .iter()
            .any(|found| usize::from(*found) == number + 1)
    }
}

const _: () = assert!(ATTACHMENT_WORDS.is_power_of_two());
const _: () = assert!(MAX_ATTACHMENT_STATES.is_power_of_two());
const _: () = assert!(MAX_ATTACHMENTS.is_power_of_two() && MAX_ATTACHMENTS < u8::MAX as usize);
const _: () = assert!(size_of::<Attachments>() == 8 + 256 + (1 << 14) + 64 * 8 + (1 << 19));
