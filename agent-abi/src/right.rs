//! Rights: one verb on one kind of object.
//!
//! To add a right: a variant and a row in [`Right::ALL`] here, then the hook that decides it.

/// A right, as a grant names it and an event reports it.
///
/// The file rights come first and their numbers are the bits of [`FileRights`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Right {
    /// Open a file for reading, or map it readable.
    FileRead = 0,
    /// Open for writing, append, truncate.
    FileWrite = 1,
    /// Make a file, directory, link, socket, pipe or device, or rename something to this name.
    FileCreate = 2,
    /// Unlink, rmdir, or rename away from this name.
    FileDelete = 3,
    /// Open a directory.
    FileList = 4,
    /// Execute, or map executable.
    FileExec = 5,
    /// Change mode, owner, times, extended attributes, ACLs or inode flags.
    FileAttr = 6,
    /// Device and filesystem controls.
    FileIoctl = 7,
    /// Connect or send to a Unix socket at this path.
    FileConnect = 8,

    /// Connect or send to an Internet address.
    NetConnect = 16,
    /// Create a socket of an unusual family, type or protocol.
    NetSocket = 17,
    /// Connect or send to an abstract Unix socket.
    UnixConnect = 18,
    /// Set a socket option, or send a control message, that changes where packets go or come from.
    NetOption = 19,

    /// Signal another process.
    ProcessSignal = 24,
    /// Trace, or read or write the memory of, another process.
    ProcessPtrace = 25,
    /// Change limits or scheduling of another process.
    ProcessControl = 26,
    /// Use a capability.
    ProcessCapability = 27,
    /// Make memory executable that no file stands behind.
    ProcessJit = 28,
    /// Have the kernel dump core, by whatever the host lets handle it.
    ProcessCore = 29,
    /// Use System V IPC objects of others.
    ProcessIpc = 30,

    /// Mount, unmount, move or remount a filesystem, or change the root.
    KernelMount = 32,
    /// Create a user namespace.
    KernelNamespace = 33,
    /// Use `bpf(2)`.
    KernelBpf = 34,
    /// Use `perf_event_open(2)`.
    KernelPerf = 35,
    /// Use `io_uring`.
    KernelIoUring = 36,
    /// Use `userfaultfd(2)`.
    KernelUserfaultfd = 37,
    /// Use kernel keyrings.
    KernelKeyring = 38,
    /// Load modules, firmware or a new kernel, or use what lockdown guards.
    KernelLoad = 39,
    /// Enter another cgroup at birth, or change one.
    CgroupEnter = 40,
}

impl Right {
    /// Every right with the name that grants and events use.
    pub const ALL: [(Right, &'static str); 29] = [
        (Right::FileRead, "file.read"),
        (Right::FileWrite, "file.write"),
        (Right::FileCreate, "file.create"),
        (Right::FileDelete, "file.delete"),
        (Right::FileList, "file.list"),
        (Right::FileExec, "file.exec"),
        (Right::FileAttr, "file.attr"),
        (Right::FileIoctl, "file.ioctl"),
        (Right::FileConnect, "file.connect"),
        (Right::NetConnect, "net.connect"),
        (Right::NetSocket, "net.socket"),
        (Right::UnixConnect, "unix.connect"),
        (Right::NetOption, "net.option"),
        (Right::ProcessSignal, "process.signal"),
        (Right::ProcessPtrace, "process.ptrace"),
        (Right::ProcessControl, "process.control"),
        (Right::ProcessCapability, "process.capability"),
        (Right::ProcessJit, "process.jit"),
        (Right::ProcessCore, "process.core"),
        (Right::ProcessIpc, "process.ipc"),
        (Right::KernelMount, "kernel.mount"),
        (Right::KernelNamespace, "kernel.namespace"),
        (Right::KernelBpf, "kernel.bpf"),
        (Right::KernelPerf, "kernel.perf"),
        (Right::KernelIoUring, "kernel.io_uring"),
        (Right::KernelUserfaultfd, "kernel.userfaultfd"),
        (Right::KernelKeyring, "kernel.keyring"),
        (Right::KernelLoad, "kernel.load"),
        (Right::CgroupEnter, "cgroup.enter"),
    ];

    /// The dotted name, as in `file.read`.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(right, _)| *right == self)
            .map_or("unknown", |(_, name)| name)
    }

    /// The right with this dotted name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(_, n)| *n == name)
            .map(|(right, _)| *right)
    }

    /// The right with this number, as it stands in an event.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(right, _)| *right as u8 == number)
            .map(|(right, _)| *right)
    }
}

/// How many file rights there are: bits 0 to 8 of [`FileRights`].
pub const FILE_RIGHTS: usize = 9;

/// A set of file rights, as the label of an automaton's state holds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct FileRights(pub u16);

impl FileRights {
    pub const NONE: Self = Self(0);
    pub const READ: Self = Self::of(Right::FileRead);
    pub const WRITE: Self = Self::of(Right::FileWrite);
    pub const CREATE: Self = Self::of(Right::FileCreate);
    pub const DELETE: Self = Self::of(Right::FileDelete);
    pub const LIST: Self = Self::of(Right::FileList);
    pub const EXEC: Self = Self::of(Right::FileExec);
    pub const ATTR: Self = Self::of(Right::FileAttr);
    pub const IOCTL: Self = Self::of(Right::FileIoctl);
    pub const CONNECT: Self = Self::of(Right::FileConnect);
    /// Every file right: what `all` means in a grant.
    pub const ALL: Self = Self((1 << FILE_RIGHTS) - 1);

    const fn of(right: Right) -> Self {
        Self(1 << right as u8)
    }

    /// Whether every right of `other` is in `self`.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The rights of `self` that `other` lacks.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The number (0 to 8) of the lowest right in the set; 16 for the empty set.
    #[must_use]
    pub const fn lowest(self) -> u32 {
        self.0.trailing_zeros()
    }
}
