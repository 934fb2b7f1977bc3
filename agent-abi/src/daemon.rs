//! Which process is the daemon.

/// Value of the one entry of the `DAEMON` map. Both numbers together are no other process's in this boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct DaemonProcess {
    /// When it was forked, in nanoseconds since the boot; 0: there was no daemon yet.
    pub started: u64,
    /// In the initial pid namespace.
    pub pid: u32,
    pub reserved: u32,
}

const _: () = assert!(size_of::<DaemonProcess>() == 16);
