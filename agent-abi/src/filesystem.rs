//! Filesystems of the kernel's own: each has one name, wherever and how often it is mounted.
//!
//! Device numbers cannot name them: procfs has a superblock for each pid namespace and each mount of
//! it, mqueue one for each IPC namespace, and a session may see them in places that the daemon does not.
//! So they are told by their superblock's `s_magic`, and what an image says of a kind holds for all of
//! them: the state of the automaton after the path where everybody expects it.

/// Calls `$callback!` with rows `Name = "type", magic, "path";`: the type as mountinfo has it, the
/// magic number, and the usual path.
#[macro_export]
macro_rules! for_each_kernel_filesystem {
    ($callback:ident) => {
        $callback! {
            Proc = "proc", 0x9fa0, "/proc";
            Sysfs = "sysfs", 0x6265_6572, "/sys";
            Cgroup2 = "cgroup2", 0x6367_7270, "/sys/fs/cgroup";
            Cgroup = "cgroup", 0x0027_e0eb, "/sys/fs/cgroup";
            Devpts = "devpts", 0x1cd1, "/dev/pts";
            Mqueue = "mqueue", 0x1980_0202, "/dev/mqueue";
            Binder = "binder", 0x6c6f_6f70, "/dev/binderfs";
            Bpf = "bpf", 0xcafe_4a11, "/sys/fs/bpf";
            Tracefs = "tracefs", 0x7472_6163, "/sys/kernel/tracing";
            Debugfs = "debugfs", 0x6462_6720, "/sys/kernel/debug";
            Securityfs = "securityfs", 0x7363_6673, "/sys/kernel/security";
            Configfs = "configfs", 0x6265_6570, "/sys/kernel/config";
            BinfmtMisc = "binfmt_misc", 0x4249_4e4d, "/proc/sys/fs/binfmt_misc";
            Nfsd = "nfsd", 0x6e66_7364, "/proc/fs/nfsd";
            Xenfs = "xenfs", 0xabba_1974, "/proc/xen";
            Efivarfs = "efivarfs", 0xde5e_81e4, "/sys/firmware/efi/efivars";
            Fusectl = "fusectl", 0x6573_5543, "/sys/fs/fuse/connections";
            Pstore = "pstore", 0x6165_676c, "/sys/fs/pstore";
            Resctrl = "resctrl", 0x0765_5821, "/sys/fs/resctrl";
            Selinuxfs = "selinuxfs", 0xf97c_ff8c, "/sys/fs/selinux";
            Smackfs = "smackfs", 0x4341_5d53, "/sys/fs/smackfs";
        }
    };
}

/// Room for kinds in an image, [`NO_KIND`] included. A power of two, as the kernel side bounds the
/// index with a mask.
pub const KINDS: usize = 32;

/// The kind of what is no filesystem of the kernel's own.
pub const NO_KIND: u32 = 0;

/// The kind of a filesystem that a session mounted for itself and that holds nothing from elsewhere
/// ([`names::OWN`](crate::names::OWN)).
pub const OWN_KIND: u32 = KINDS as u32 - 1;

macro_rules! declare {
    ($($name:ident = $kind:literal, $magic:literal, $path:literal;)*) => {
        /// A kind of filesystem; its number is the index into [`Image::kinds`](crate::Image::kinds).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u32)]
        pub enum KernelFilesystem {
            $(
                #[doc = $kind]
                $name = Number::$name as u32
            ),*
        }

        /// Numbers, from 1.
        #[repr(u32)]
        enum Number {
            #[allow(dead_code, reason = "keeps its number from the others")]
            None = NO_KIND,
            $($name),*
        }

        impl KernelFilesystem {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The kind that mountinfo calls so.
            #[must_use]
            pub fn of_type(name: &[u8]) -> Option<Self> {
                $( if name == $kind.as_bytes() { return Some(Self::$name); } )*
                None
            }

            /// The kind with this `s_magic`, as a number.
            #[must_use]
            #[inline(always)]
            pub fn of_magic(magic: u32) -> u32 {
                match magic {
                    $($magic => Self::$name as u32,)*
                    _ => NO_KIND,
                }
            }

            /// The one path by which grants know it.
            #[must_use]
            pub fn path(self) -> &'static [u8] {
                match self {
                    $(Self::$name => $path.as_bytes(),)*
                }
            }
        }

        const COUNT: usize = [$(KernelFilesystem::$name),*].len();
    };
}

for_each_kernel_filesystem!(declare);

const _: () = assert!(KINDS.is_power_of_two() && COUNT < OWN_KIND as usize);
