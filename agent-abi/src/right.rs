//! Rights: one verb on one kind of object.
//!
//! To add a right: a row here, then the hook that decides it. What follows from the row: the names of grants and
//! events, the bit in images, what moves keep and what sessions never have, and what `bailiff why` proposes.

use crate::Surface;

/// Calls `$callback!` with every right: what it is, its number, and the name that grants and events use; of a
/// file right also its constant and its [`Trait`]s, of another the switch that a grant opens it by, if one does.
///
/// The numbers of the file rights are the bits of [`FileRights`], from 0 on without a gap.
macro_rules! for_each_right {
    ($callback:ident) => {
        $callback! {
            file {
                /// Open a file for reading, or map it readable.
                FileRead = 0, READ, "file.read", [];
                /// Open for writing, append, truncate.
                FileWrite = 1, WRITE, "file.write", [Making, Changing];
                /// Make a file, directory, link, socket, pipe or device, or rename something to this name.
                FileCreate = 2, CREATE, "file.create", [Making, Changing];
                /// Unlink, rmdir, or rename away from this name.
                FileDelete = 3, DELETE, "file.delete", [Changing];
                /// Open a directory.
                FileList = 4, LIST, "file.list", [];
                /// Execute, or map executable.
                FileExec = 5, EXEC, "file.exec", [];
                /// Change mode, owner, times, extended attributes, ACLs or inode flags.
                FileAttr = 6, ATTR, "file.attr", [Making, Changing];
                /// Device and filesystem controls.
                FileIoctl = 7, IOCTL, "file.ioctl", [];
                /// Connect or send to a Unix socket at this path.
                FileConnect = 8, CONNECT, "file.connect", [];
                /// Make a symbolic link, or give one this name.
                FileSymlink = 9, SYMLINK, "file.symlink", [Making, Changing];
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
                ProcessSignal = 24, "process.signal", opened by SignalAny;
                /// Trace, or read or write the memory of, another process.
                ProcessPtrace = 25, "process.ptrace", opened by PtraceSession;
                /// Change limits or scheduling of another process.
                ProcessControl = 26, "process.control", opened by ControlAny;
                /// Use a capability.
                ProcessCapability = 27, "process.capability";
                /// Make memory executable that no file stands behind.
                ProcessJit = 28, "process.jit", opened by Jit;
                /// Have the kernel dump core, by whatever the host lets handle it.
                ProcessCore = 29, "process.core", opened by Core;
                /// Use System V IPC objects of others.
                ProcessIpc = 30, "process.ipc", opened by IpcAny;
                /// Mount, unmount, move or remount a filesystem, or change the root.
                KernelMount = 32, "kernel.mount", opened by Mount;
                /// Create a user namespace.
                KernelNamespace = 33, "kernel.namespace", opened by Namespaces;
                /// Use `bpf(2)`.
                KernelBpf = 34, "kernel.bpf", opened by Bpf;
                /// Use `perf_event_open(2)`.
                KernelPerf = 35, "kernel.perf", opened by Perf;
                /// Use `io_uring`.
                KernelIoUring = 36, "kernel.io_uring", opened by IoUring;
                /// Use `userfaultfd(2)`.
                KernelUserfaultfd = 37, "kernel.userfaultfd", opened by Userfaultfd;
                /// Use kernel keyrings.
                KernelKeyring = 38, "kernel.keyring", opened by Keyrings;
                /// Load modules, firmware or a new kernel, or use what lockdown guards.
                KernelLoad = 39, "kernel.load", opened by Load;
                /// Enter another cgroup at birth, or change one.
                CgroupEnter = 40, "cgroup.enter";
            }
        }
    };
}

macro_rules! define {
    (
        file {
            $($(#[$file_doc:meta])*
            $file:ident = $bit:literal, $constant:ident, $file_name:literal, [$($trait:ident),*];)*
        }
        other {
            $($(#[$doc:meta])*
            $variant:ident = $number:literal, $name:literal $(, opened by $switch:ident)?;)*
        }
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

            /// The switch of `[process]` or `[kernel]` that opens it; `None` where rules or a
            /// capability do, or nothing.
            #[must_use]
            pub const fn switch(self) -> Option<Surface> {
                match self {
                    $($(Right::$variant => Some(Surface::$switch),)?)*
                    _ => None,
                }
            }
        }

        impl FileRights {
            $($(#[$file_doc])* pub const $constant: Self = Self::only(Right::$file);)*

            const fn with(wanted: Trait) -> Self {
                let of_rights: [&[Trait]; FILE_RIGHTS] = [$(&[$(Trait::$trait),*]),*];
                let mut found = Self::NONE;
                let mut bit = 0;
                while bit < FILE_RIGHTS {
                    let mut number = 0;
                    while number < of_rights[bit].len() {
                        if of_rights[bit][number] as u8 == wanted as u8 {
                            found = found.union(Self(1 << bit));
                        }
                        number += 1;
                    }
                    bit += 1;
                }
                found
            }
        }

        /// How many file rights there are: the bits of [`FileRights`].
        pub const FILE_RIGHTS: usize = [$($bit,)*].len();

        /// How many rights there are.
        pub const RIGHTS: usize = FILE_RIGHTS + [$($number,)*].len();
    };
}

/// What else than acts depends on a file right.
#[derive(Clone, Copy)]
enum Trait {
    /// An object becomes what it is by it.
    Making,
    /// What is there does not stay as it is.
    Changing,
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
    /// By which an object becomes what it is: a move must keep them as they are.
    pub const MAKING: Self = Self::with(Trait::Making);
    /// By which what is there changes: no session has them on what limits it.
    pub const CHANGING: Self = Self::with(Trait::Changing);
    /// Every file right: what `all` means in a grant.
    pub const ALL: Self = Self((1 << FILE_RIGHTS) - 1);

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
