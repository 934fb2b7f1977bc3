//! User namespaces that sessions make.

/// Who made a user namespace: a value of [`names::MADE`](crate::names::MADE).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Made {
    /// What tells this namespace from another that has its address later: a number that none gets again, or
    /// before 6.18 the address of the one above it.
    pub id: u64,
    /// The session's generation.
    pub generation: u32,
    pub unused: u32,
}

const _: () = assert!(size_of::<Made>() == 16);
