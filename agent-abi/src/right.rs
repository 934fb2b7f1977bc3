//! Rights: one verb on one kind of object.
//!
//! To add a right: a row here, then the hook that decides it.

/// Calls `$callback!` with every right: what it is, its number, and the name that grants and events use.
///
/// The numbers of the file rights are the bits of [`FileRights`], from 0 on without a gap.
macro_rules! for_each_right {
    ($callback:ident) => {
        $callback! {
            file {
                /// Open a file for reading, or map it readable.
                FileRead = 0, "file.read";
                /// Open for writing, append, truncate.
                FileWrite = 1, "file.write";
                /// Make a file, directory, link, socket, pipe or device, or rename something to this name.
                FileCreate = 2, "file.create";
                /// Unlink, rmdir, or rename away from this name.
                FileDelete = 3, "file.delete";
                /// Open a directory.
                FileList = 4, "file.list";
                /// Execute, or map executable.
                FileExec = 5, "file.exec";
                /// Change mode, owner, times, extended attributes, ACLs or inode flags.
                FileAttr = 6, "file.attr";
                /// Device and filesystem controls.
                FileIoctl = 7, "file.ioctl";
                /// Connect or send to a Unix socket at this path.
                FileConnect = 8, "file.connect";
                /// Make a symbolic link, or give one this name.
                FileSymlink = 9, "file.symlink";
            }
            other {
                /// Connect or send to an Internet address.
                NetConnect = 16, "net.connect";
                /// Create a socket of an unusual family, type or protocol.
                NetSocket = 17, "net.socket";
                /// Connect or send to an abstract Unix socket.
                UnixConnect = 18, "unix.connect";
                /// Set a socket option, or send a control message, that changes where packets go or come from.
                NetOption = 19, "net.option";
                /// Signal another process.
                ProcessSignal = 24, "process.signal";
                /// Trace, or read or write the memory of, another process.
                ProcessPtrace = 25, "process.ptrace";
                /// Change limits or scheduling of another process.
                ProcessControl = 26, "process.control";
                /// Use a capability.
                ProcessCapability = 27, "process.capability";
                /// Make memory executable that no file stands behind.
                ProcessJit = 28, "process.jit";
                /// Have the kernel dump core, by whatever the host lets handle it.
                ProcessCore = 29, "process.core";
                /// Use System V IPC objects of others.
                ProcessIpc = 30, "process.ipc";
                /// Mount, unmount, move or remount a filesystem, or change the root.
                KernelMount = 32, "kernel.mount";
                /// Create a user namespace.
                KernelNamespace = 33, "kernel.namespace";
                /// Use `bpf(2)`.
                KernelBpf = 34, "kernel.bpf";
                /// Use `perf_event_open(2)`.
                KernelPerf = 35, "kernel.perf";
                /// Use `io_uring`.
                KernelIoUring = 36, "kernel.io_uring";
                /// Use `userfaultfd(2)`.
                KernelUserfaultfd = 37, "kernel.userfaultfd";
                /// Use kernel keyrings.
                KernelKeyring = 38, "kernel.keyring";
                /// Load modules, firmware or a new kernel, or use what lockdown guards.
                KernelLoad = 39, "kernel.load";
                /// Enter another cgroup at birth, or change one.
                CgroupEnter = 40, "cgroup.enter";
            }
        }
    };
}

macro_rules! define {
    (
        file { $($(#[$file_doc:meta])* $file:ident = $bit:literal, $file_name:literal;)* }
        other { $($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal;)* }
    ) => {
        /// A right, as a grant names it and an event reports it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Right {
            $($(#[$file_doc])* $file = $bit,)*
            $($(#[$doc])* $variant = $number,)*
        }

        impl Right {
            /// Every right with the name that grants and events use.
            pub const ALL: [(Right, &'static str); RIGHTS] =
                [$((Right::$file, $file_name),)* $((Right::$variant, $name),)*];

            /// The file rights; the place of each is its bit in [`FileRights`].
            pub const FILE: [Right; FILE_RIGHTS] = [$(Right::$file,)*];

            /// The dotted name, as in `file.read`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Right::$file => $file_name,)*
                    $(Right::$variant => $name,)*
                }
            }

            /// The right with this number, as it stands in an event.
            #[must_use]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($bit => Some(Right::$file),)*
                    $($number => Some(Right::$variant),)*
                    _ => None,
                }
            }

            /// The file right with this bit in [`FileRights`].
            #[must_use]
            #[inline(always)]
            pub const fn of_bit(bit: u32) -> Option<Self> {
                match bit {
                    $($bit => Some(Right::$file),)*
                    _ => None,
                }
            }
        }

        /// How many file rights there are: the bits of [`FileRights`].
        pub const FILE_RIGHTS: usize = [$($bit,)*].len();

        /// How many rights there are.
        pub const RIGHTS: usize = FILE_RIGHTS + [$($number,)*].len();
    };
}

for_each_right!(define);

impl Right {
    /// The right with this dotted name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|(_, n)| *n == name).map(|(right, _)| right)
    }
}

const _: () = {
    assert!(
        FILE_RIGHTS < 16,
        "the rules of a label are found by four bits"
    );
    let mut bit = 0;
    while bit < FILE_RIGHTS {
        assert!(
            Right::FILE[bit] as usize == bit,
            "the number of a file right is its bit"
        );
        bit += 1;
    }
};

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
    pub const SYMLINK: Self = Self::of(Right::FileSymlink);
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

    /// The bit of the lowest right in the set; 16 for the empty set.
    #[must_use]
    #[inline(always)]
    pub const fn lowest(self) -> u32 {
        self.0.trailing_zeros()
    }

    /// The lowest right in the set.
    #[must_use]
    #[inline(always)]
    pub const fn first(self) -> Option<Right> {
        Right::of_bit(self.lowest())
    }

    /// The rights in the set, in the order of their bits.
    pub fn iter(self) -> impl Iterator<Item = Right> {
        let all = Right::FILE.into_iter();
        all.filter(move |right| self.contains(Self::only(*right)))
    }

    /// The set with this file right alone; empty for a right that is not about files.
    #[must_use]
    pub const fn only(right: Right) -> Self {
        if (right as usize) < FILE_RIGHTS {
            Self(1 << right as u16)
        } else {
            Self::NONE
        }
    }
}
