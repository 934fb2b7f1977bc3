//! Which disk a filesystem is on, as the disk itself says: device numbers are given anew at every start.

use std::{
    collections::HashMap,
    fs,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
};

use nix::{
    fcntl::{OFlag, OpenHow, ResolveFlag, openat2},
    libc,
};
use serde::{Deserialize, Serialize};

use super::Mount;

/// The identifier that a filesystem got when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Uuid([u8; 16]);

impl Uuid {
    /// As `findmnt -no UUID` writes it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
        let mut bytes = [0; 16];
        if digits.len() != 32 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    #[must_use]
    pub fn bytes(&self) -> [u8; 16] {
        self.0
    }
}

impl std::fmt::Display for Uuid {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if [4, 6, 8, 10].contains(&at) {
                out.write_str("-")?;
            }
            write!(out, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl From<[u8; 16]> for Uuid {
    fn from(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

/// Types that keep one. None of them waits for another machine when it is opened.
const ON_DISKS: [&str; 7] = ["ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "bcachefs"];

/// By device, for those that can be asked. `root` is where the mounts' points are looked up.
pub(super) fn of(mounts: &[Mount], root: BorrowedFd<'_>) -> HashMap<u32, Uuid> {
    let mut known = HashMap::new();
    for mount in mounts {
        if ON_DISKS.contains(&mount.fstype.as_str())
            && !known.contains_key(&mount.dev)
            && let Some(uuid) = open(mount, root).and_then(|directory| ask(&directory))
        {
            known.insert(mount.dev, uuid);
        }
    }
    known
}

/// Looks up what the kernel has at hand, and asks nobody: above the point there may be a filesystem that a
/// session or another machine serves, and does not answer for. What a mount is on is at hand.
/// Minimum kernel: 5.12.
const RESOLVE_CACHED: ResolveFlag = ResolveFlag::from_bits_retain(0x20);

/// The directory that the mount shows, unless another mount covers it.
fn open(mount: &Mount, root: BorrowedFd<'_>) -> Option<OwnedFd> {
    use std::os::unix::ffi::OsStrExt;
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_SYMLINKS | RESOLVE_CACHED);
    let point = Path::new(std::ffi::OsStr::from_bytes(&mount.point));
    let directory = openat2(root.as_fd(), point, how).ok()?;
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", directory.as_raw_fd())).ok()?;
    let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?;
    (id.trim().parse() == Ok(mount.id)).then_some(directory)
}

/// `struct fsuuid2`
#[repr(C)]
struct Generic {
    length: u8,
    bytes: [u8; 16],
}

/// `struct fsuuid` of ext4, with room for one.
#[repr(C)]
struct OfExt4 {
    length: u32,
    flags: u32,
    bytes: [u8; 16],
}

nix::ioctl_read!(get_uuid, 0x15, 0, Generic);
// Its argument ends where the bytes begin.
nix::ioctl_readwrite_bad!(
    get_uuid_of_ext4,
    nix::request_code_read!(b'f', 44, 8),
    OfExt4
);

/// `struct btrfs_ioctl_fs_info_args`
#[repr(C)]
struct OfBtrfs {
    max_id: u64,
    devices: u64,
    bytes: [u8; 16],
    rest: [u8; 992],
}

/// `struct xfs_fsop_geom_v1`
#[repr(C)]
struct OfXfs {
    sizes: [u32; 8],
    blocks: [u64; 4],
    bytes: [u8; 16],
    rest: [u32; 7],
}

nix::ioctl_read!(get_uuid_of_btrfs, 0x94, 31, OfBtrfs);
nix::ioctl_read!(get_uuid_of_xfs, b'X', 100, OfXfs);

/// Minimum kernel: 6.9 (`FS_IOC_GETFSUUID`), 6.0 for ext4 (`EXT4_IOC_GETFSUUID`), any for btrfs and XFS.
fn ask(directory: &OwnedFd) -> Option<Uuid> {
    const LENGTH: usize = 16;
    let mut generic = Generic {
        length: 0,
        bytes: [0; LENGTH],
    };
    let fd: libc::c_int = directory.as_raw_fd();
    // SAFETY: an open descriptor, and a live local of the type that the call fills in.
    let told = unsafe { get_uuid(fd, &raw mut generic) };
    if told.is_ok() {
        return (usize::from(generic.length) == LENGTH).then_some(Uuid(generic.bytes));
    }
    let mut of_ext4 = OfExt4 {
        length: LENGTH as u32,
        flags: 0,
        bytes: [0; LENGTH],
    };
    // SAFETY: as above; `length` says how much room there is. Other filesystems do not know the call.
    let told = unsafe { get_uuid_of_ext4(fd, &raw mut of_ext4) };
    if told.is_ok() {
        return (of_ext4.length as usize == LENGTH).then_some(Uuid(of_ext4.bytes));
    }
    let mut of_btrfs = OfBtrfs {
        max_id: 0,
        devices: 0,
        bytes: [0; LENGTH],
        rest: [0; 992],
    };
    // SAFETY: as above, a live local of the size that is in the number of the call.
    if unsafe { get_uuid_of_btrfs(fd, &raw mut of_btrfs) }.is_ok() {
        return Some(Uuid(of_btrfs.bytes));
    }
    let mut of_xfs = OfXfs {
        sizes: [0; 8],
        blocks: [0; 4],
        bytes: [0; LENGTH],
        rest: [0; 7],
    };
    // SAFETY: as above.
    let told = unsafe { get_uuid_of_xfs(fd, &raw mut of_xfs) };
    told.is_ok().then_some(Uuid(of_xfs.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mounts::{MountNamespace, parse};

    #[test]
    fn one_is_read_as_it_is_written() {
        let text = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
        assert_eq!(Uuid::parse(text).unwrap().to_string(), text);
        for wrong in ["", "1234-ABCD", "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1fg"] {
            assert_eq!(Uuid::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn one_disk_has_one_and_a_filesystem_in_memory_none() {
        let mounts = parse(&fs::read("/proc/self/mountinfo").unwrap()).unwrap();
        let namespace = MountNamespace::of_process(std::process::id()).unwrap();
        let known = of(&mounts, namespace.root());
        for mount in &mounts {
            let may = ON_DISKS.contains(&mount.fstype.as_str());
            assert!(may || !known.contains_key(&mount.dev), "{mount:?}");
        }
        assert_eq!(known, of(&mounts, namespace.root()));
    }
}
