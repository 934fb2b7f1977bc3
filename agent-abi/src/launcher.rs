//! Programs that set up what they execute next.

/// Entry of the `RUNTIMES` array: a container's runtime that executes itself, or a copy of itself, before it sets
/// anything up (runc). Zeroes: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Runtime {
    /// Number of its file's inode.
    pub inode: u64,
    /// Kernel `s_dev` of its file.
    pub device: u32,
    /// Number of the mount namespace in which it does so: the host's.
    pub namespace: u32,
}

/// Entries of the array.
pub const MAX_RUNTIMES: usize = 8;

const _: () = assert!(size_of::<Runtime>() == 16);
