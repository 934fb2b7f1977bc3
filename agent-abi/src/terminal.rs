//! Whose a terminal is: values of the maps about pseudo-terminals.

use crate::Label;

/// Sessions that can have one terminal at the same time; those whose generations differ by a multiple of
/// this take it from each other.
pub const OWNERS: usize = 8;

/// Value of the `TERMINALS` inode storage: the sessions that a slave belongs to. That of session
/// `generation` stands at [`Owners::place`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Owners {
    pub labels: [Label; OWNERS],
}

impl Owners {
    /// Where the label of this generation stands.
    #[must_use]
    pub const fn place(generation: u32) -> usize {
        generation as usize & (OWNERS - 1)
    }
}

/// Value of the `JOBS` array, by slot: a terminal's session (as `setsid` has it) in which nobody but its
/// leader is of no session of Bailiff, and that leader waits for the command and does nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Jobs {
    /// Of the session that it is for; 0 for none.
    pub generation: u32,
    /// The terminal's session, in the initial pid namespace. The number stands for no other as long as a
    /// process is in it, and who leaves it does not come back.
    pub number: u32,
}

/// Value of the `UNLOCKED` hash, by the address of a slave's inode: who was last seen to hold its master.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Unlocked {
    pub label: Label,
    /// When the inode's status changed last, as it stood there then.
    pub seconds: u64,
    pub nanoseconds: u64,
}

const _: () = assert!(size_of::<Owners>() == 8 * OWNERS);
const _: () = assert!(size_of::<Unlocked>() == 24);
const _: () = assert!(size_of::<Jobs>() == 8);
