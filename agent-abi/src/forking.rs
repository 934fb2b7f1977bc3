//! Labels of processes that fork, where the kernel would free them with a child that fails to come about.

/// What is kept of a process that has forked: a value of [`names::FORKING`](crate::names::FORKING), by the address
/// of its leader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Kept {
    /// Its label when it last forked, as bits.
    pub label: u64,
    /// When its leader began: tells it from a task that has its address later. Nanoseconds since boot.
    pub started: u64,
    /// 1 while its own storage is without it.
    pub hidden: u32,
    /// Whether it was copied with its storage ([`Shared`]).
    pub shared: u32,
}

/// Whether a process's storage is a copy's as well: of other programs, or what could not be taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Shared {
    No = 0,
    /// The copy that is being made has it.
    Now = 1,
    /// A copy had it that did not come about: the kernel frees it, sooner or later. The label stays out of any
    /// storage of this process for good.
    Lost = 2,
}

/// How often labels were taken out of their storage, and how often put back, and how many processes were killed
/// since theirs could not be kept or taken out. All only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Forks {
    pub hidden: u64,
    pub shown: u64,
    pub ended: u64,
}

const _: () = assert!(size_of::<Kept>() == 24);
const _: () = assert!(size_of::<Forks>() == 24);
