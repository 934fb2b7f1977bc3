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

/// Minimum kernel: 6.9 (`FS_IOC_GETFSUUID`), 6.0 for ext4 (`EXT4_IOC_GETFSUUID`).
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
    (told.is_ok() && of_ext4.length as usize == LENGTH).then_some(Uuid(of_ext4.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mounts::{MountNamespace, parse};

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
