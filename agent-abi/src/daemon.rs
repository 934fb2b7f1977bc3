//! Which process is the daemon.

/// Value of the one entry of the `DAEMON` map. Both numbers together are no other process's in this boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct DaemonProcess {
    /// When it was forked, in nanoseconds since the boot; 0: there was no daemon yet.
    pub started: u64,
    /// In the initial pid namespace.
    pub pid: u32,
    /// Kernel device of the filesystem on which its program is.
    pub program_dev: u32,
    /// Inode of its program, by which the next daemon is known before it has said so; 0: unknown.
    pub program_inode: u64,
}

const _: () = assert!(size_of::<DaemonProcess>() == 24);
