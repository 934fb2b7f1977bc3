//! Mounts: what process 1 itself needs, the switch to a disk, and what every command finds.

use crate::devices;
use anyhow::{Context, Result, bail};
use nix::mount::{MsFlags, mount};
use nix::unistd::{chdir, chroot};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const NO_SUID: MsFlags = MsFlags::MS_NOSUID;
const PLAIN: MsFlags = MsFlags::MS_NOSUID
    .union(MsFlags::MS_NODEV)
    .union(MsFlags::MS_NOEXEC);

/// (target, type, flags, options), in the order in which they go on top of each other.
const EARLY: &[(&str, &str, MsFlags, &str)] = &[
    ("/proc", "proc", PLAIN, ""),
    ("/sys", "sysfs", PLAIN, ""),
    ("/dev", "devtmpfs", NO_SUID, "mode=755"),
];

const LATE: &[(&str, &str, MsFlags, &str)] = &[
    ("/dev/pts", "devpts", NO_SUID, "gid=5,mode=620,ptmxmode=666"),
    ("/dev/shm", "tmpfs", NO_SUID, "mode=1777"),
    ("/dev/mqueue", "mqueue", PLAIN, ""),
    ("/run", "tmpfs", NO_SUID, "mode=755"),
    ("/tmp", "tmpfs", NO_SUID, "mode=1777"),
    ("/sys/fs/cgroup", "cgroup2", PLAIN, "nsdelegate"),
    ("/sys/fs/bpf", "bpf", PLAIN, "mode=700"),
    ("/sys/kernel/tracing", "tracefs", PLAIN, ""),
    ("/sys/kernel/debug", "debugfs", PLAIN, ""),
    ("/sys/kernel/security", "securityfs", PLAIN, ""),
];

const DEVICE_LINKS: &[(&str, &str)] = &[
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
];

pub(crate) fn mount_early() -> Result<()> {
    mount_table(EARLY)
}

/// Makes the file system on the disk the root, keeping the mounts of [`mount_early`].
pub(crate) fn switch_to(disk: &OsStr) -> Result<()> {
    let new = Path::new("/newroot");
    fs::create_dir_all(new)?;
    mount_disk(disk, new, MsFlags::MS_NOATIME)?;
    for (target, ..) in EARLY {
        let below = new.join(&target[1..]);
        fs::create_dir_all(&below)?;
        mount(
            Some(*target),
            &below,
            None::<&str>,
            MsFlags::MS_MOVE,
            None::<&str>,
        )
        .with_context(|| format!("move {target} to the new root"))?;
    }
    chdir(new)?;
    mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>)
        .context("move the new root to /")?;
    chroot(".")?;
    chdir("/")?;
    Ok(())
}

pub(crate) fn mount_all(modules: Option<&OsStr>) -> Result<()> {
    mount_table(LATE)?;
    for (target, link) in DEVICE_LINKS {
        if fs::symlink_metadata(link).is_err() {
            symlink(target, link).with_context(|| format!("link {link}"))?;
        }
    }
    if let Some(disk) = modules {
        let target = Path::new("/usr/lib/modules");
        fs::create_dir_all(target)?;
        mount_disk(disk, target, MsFlags::MS_RDONLY)?;
        devices::make()?;
    }
    Ok(())
}

fn mount_table(table: &[(&str, &str, MsFlags, &str)]) -> Result<()> {
    for (target, kind, flags, options) in table {
        // Directories of sysfs are there already, and cannot be made where they are not.
        let _ = fs::create_dir_all(target);
        mount(Some(*kind), *target, Some(*kind), *flags, Some(*options))
            .with_context(|| format!("mount {kind} at {target}"))?;
    }
    Ok(())
}

fn mount_disk(serial: &OsStr, target: &Path, flags: MsFlags) -> Result<()> {
    let device = wait_for_disk(serial)?;
    mount(Some(&device), target, Some("ext4"), flags, None::<&str>)
        .with_context(|| format!("mount {} at {}", device.display(), target.display()))
}

/// Disks are probed in the background: they appear late, and in any order, so that only the serial
/// number tells which is which.
fn wait_for_disk(serial: &OsStr) -> Result<PathBuf> {
    let until = Instant::now() + Duration::from_secs(20);
    while Instant::now() < until {
        for disk in fs::read_dir("/sys/block")?.flatten() {
            let device = Path::new("/dev").join(disk.file_name());
            let found = fs::read_to_string(disk.path().join("device/serial"));
            if found.is_ok_and(|found| found.trim() == serial) && device.exists() {
                return Ok(device);
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    bail!("no disk with the serial number {}", serial.display())
}
