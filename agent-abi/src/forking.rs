//! Labels of processes that fork, where the kernel would free them with a child that fails to come about.

/// What is kept of a process that has forked: a value of [`names::FORKING`](crate::names::FORKING), by the address
/// of its leader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Kept {
    /// Its label when it last forked, as bits.
    pub label: u64,
    /// 1 while its own storage is without it.
    pub hidden: u32,
    /// 1 where its storage has values of other programs, and cannot be done without.
    pub shared: u32,
}

/// How often labels were taken out of their storage, and how often put back. Both only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Forks {
    pub hidden: u64,
    pub shown: u64,
}

const _: () = assert!(size_of::<Kept>() == 16);
const _: () = assert!(size_of::<Forks>() == 16);
