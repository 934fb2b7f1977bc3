//! In which files a filesystem is: an image by way of loop devices, and devices that are made of those.

use std::{
    ffi::OsString,
    fmt::Display,
    fs::{self, File},
    os::{
        fd::AsRawFd,
        unix::{
            ffi::OsStringExt,
            fs::{FileTypeExt, MetadataExt},
        },
    },
    path::{Path, PathBuf},
};

use nix::libc;

/// A file behind a filesystem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behind {
    /// As whoever set it up knew it: another file may have that name here.
    pub path: PathBuf,
    /// Which file it is, by `st_dev` and `st_ino`; `None`: that cannot be told.
    pub identity: Option<(u64, u64)>,
}

impl Behind {
    fn untold(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            identity: None,
        }
    }

    /// The number of the block device that it is.
    fn as_device(&self) -> Option<(u32, u32)> {
        let found = fs::metadata(&self.path).ok()?;
        let is_it = self.identity == Some((found.dev(), found.ino()));
        (is_it && found.file_type().is_block_device())
            .then(|| (libc::major(found.rdev()), libc::minor(found.rdev())))
    }
}

/// Devices on devices.
const DEEPEST: usize = 8;

/// Of the filesystem of this device and type, mounted from `source`: none for one on disks.
#[must_use]
pub fn behind(dev: u32, fstype: &str, source: &str) -> Vec<Behind> {
    let mut files = Vec::new();
    if dev >> 20 != 0 {
        device(&by_number(dev >> 20, dev & 0xf_ffff), &mut files, 0);
        return files;
    }
    // Without a number of its own: btrfs, EROFS in a file. ZFS names no device.
    if fstype == "zfs" {
        return files;
    }
    match fs::metadata(source) {
        Ok(found) if found.file_type().is_block_device() => {
            let (major, minor) = (libc::major(found.rdev()), libc::minor(found.rdev()));
            device(&by_number(major, minor), &mut files, 0);
        }
        // What has that name now need not be what was mounted, and nothing tells that (EROFS in a file).
        _ => files.push(Behind::untold(source)),
    }
    files
}

fn by_number(major: impl Display, minor: impl Display) -> PathBuf {
    PathBuf::from(format!("/sys/dev/block/{major}:{minor}"))
}

/// The files behind a block device: of a loop device, of the whole that it is a part of, and of what it is
/// made of.
fn device(directory: &Path, files: &mut Vec<Behind>, depth: usize) {
    let Ok(directory) = fs::canonicalize(directory) else {
        return;
    };
    if depth > DEEPEST {
        files.push(Behind::untold(directory));
        return;
    }
    if let Ok(name) = fs::read(directory.join("loop/backing_file")) {
        let name = name.strip_suffix(b"\n").unwrap_or(&name);
        let file = Behind {
            path: OsString::from_vec(name.into()).into(),
            identity: of_loop(&directory),
        };
        match file.as_device() {
            Some((major, minor)) => device(&by_number(major, minor), files, depth + 1),
            None => files.push(file),
        }
    }
    if is_served(&directory) {
        files.push(Behind::untold(&directory));
    }
    if directory.join("partition").exists()
        && let Some(whole) = directory.parent()
    {
        device(whole, files, depth + 1);
    }
    let below = fs::read_dir(directory.join("slaves"));
    for below in below.into_iter().flatten().flatten() {
        device(&below.path(), files, depth + 1);
    }
}

/// A process says what is on it (`nbd`, `ublk`), from whatever file.
fn is_served(directory: &Path) -> bool {
    let name = directory.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with("nbd") || name.starts_with("ublkb"))
}

/// `struct loop_info64`
#[repr(C)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rest: [u64; 27],
}

/// `LOOP_GET_STATUS64`
const GET_STATUS: libc::c_ulong = 0x4c05;

nix::ioctl_read_bad!(loop_status, GET_STATUS, LoopInfo);

/// The file of the loop device that sysfs has there.
fn of_loop(directory: &Path) -> Option<(u64, u64)> {
    let node = File::open(Path::new("/dev").join(directory.file_name()?)).ok()?;
    let found = node.metadata().ok()?;
    let number = format!(
        "{}:{}",
        libc::major(found.rdev()),
        libc::minor(found.rdev())
    );
    let is_it = fs::read_to_string(directory.join("dev")).ok()?.trim() == number;
    if !found.file_type().is_block_device() || !is_it {
        return None;
    }
    let mut info = LoopInfo {
        device: 0,
        inode: 0,
        rest: [0; 27],
    };
    // SAFETY: an open loop device, and a live local of the size that the call fills in (232 bytes).
    unsafe { loop_status(node.as_raw_fd(), &raw mut info) }.ok()?;
    Some((info.device, info.inode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_in_no_file() {
        assert_eq!(behind(8 << 20 | 0xf_0000, "ext4", "/dev/sda1"), []);
        assert_eq!(behind(40, "zfs", "tank/home"), []);
    }

    #[test]
    fn a_file_that_has_the_name_of_what_was_mounted_need_not_be_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        assert_eq!(behind(40, "erofs", path), [Behind::untold(path)]);
    }

    #[test]
    fn what_a_process_serves_as_a_disk_is_any_file() {
        for (name, served) in [
            ("nbd0", true),
            ("ublkb3", true),
            ("sda", false),
            ("loop0", false),
        ] {
            let directory = Path::new("/sys/devices/virtual/block").join(name);
            assert_eq!(is_served(&directory), served, "{name}");
        }
    }

    #[test]
    fn a_device_that_is_not_found_is_any_file() {
        let found = behind(40, "btrfs", "/no/such/device");
        assert_eq!(found, [Behind::untold("/no/such/device")]);
    }

    #[test]
    fn what_is_said_of_a_loop_device_has_the_kernels_size() {
        assert_eq!(size_of::<LoopInfo>(), 232);
    }
}
