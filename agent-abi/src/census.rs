//! The census: one look at every task of the host, by the iterator `iter/task`.
//!
//! The daemon writes what is to be done into the one entry of the `CENSUS` map, then reads the
//! iterator to its end.

use crate::label::Label;

/// What the iterator does to each task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Act {
    /// Gives the label of its cgroup to every process that has none and is in a tagged one; gives
    /// every thread the label of its process.
    Settle = 1,
    /// Takes [`Census::label`] from every thread that has it.
    Clear = 2,
    /// Writes a [`Member`] for every thread that has a label or should have one.
    List = 3,
    /// Makes the process that reads the iterator the daemon.
    Claim = 4,
}

/// Value of the `CENSUS` map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Census {
    /// [`Act`]
    pub act: u32,
    pub reserved: u32,
    /// Whose label is taken away.
    pub label: Label,
    /// Counted by the iterator: labels that were given or taken.
    pub changed: u64,
    /// Counted by the iterator: labels for which there was no memory.
    pub failed: u64,
}

/// One thread, as [`Act::List`] writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Member {
    /// The thread's own label.
    pub own: Label,
    /// That of its process: the label by which it is judged.
    pub process: Label,
    /// What its cgroup gives.
    pub place: Label,
    /// Id of its cgroup.
    pub cgroup: u64,
    /// Process and thread, in the initial pid namespace.
    pub pid: u32,
    pub tid: u32,
}

/// Value of the `SETTLING` map: whether a task may lack a label that its cgroup gives. While all is
/// zero, a process without a label is known to be in no tagged cgroup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Settling {
    /// While a cgroup is being tagged, the generation of its label: its tag is in force, and not all its tasks
    /// are labelled. Else 0.
    pub tagging: u32,
    /// How often the kernel side could not give a label that it should have given.
    pub failed: u32,
}

const _: () = assert!(size_of::<Census>() == 32);
const _: () = assert!(size_of::<Member>() == 40);
const _: () = assert!(size_of::<Settling>() == 8);
