//! A filesystem for the temporary files of one session: in memory, with a device of its own, by which the kernel
//! side tells whose it is.
//!
//! It is made out of everybody's sight, so that it can be made the session's before anybody finds it. It is seen in
//! the daemon's mount namespace, and taken away when the session ends: with its mount point, by which the kernel
//! unmounts it wherever else a namespace was copied meanwhile (`__detach_mounts()`, fs/namespace.c).

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

use agent_abi::superblock::kernel_device;
use rustix::{
    fs::CWD,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
        fsconfig_set_string, fsmount, fsopen, move_mount, unmount,
    },
};

/// The most that one holds, as the kernel reads it: of the host's memory.
const SIZE: &str = "25%";

/// Where they are mounted, each by its session's number.
#[derive(Clone, Debug)]
pub struct PrivateTmps(PathBuf);

/// One that nobody sees yet.
pub struct Unseen {
    mount: OwnedFd,
    dev: u32,
}

impl Unseen {
    /// A new one, for a user alone. Nothing in it can be a device or give somebody's rights.
    ///
    /// # Errors
    /// The daemon may not mount, or there is no memory. Minimum kernel: 5.2.
    pub fn make(uid: u32, gid: u32) -> io::Result<Self> {
        let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        let options = [
            ("source", "bailiff".to_owned()),
            ("size", SIZE.to_owned()),
            ("mode", "0700".to_owned()),
            ("uid", uid.to_string()),
            ("gid", gid.to_string()),
        ];
        for (key, value) in options {
            fsconfig_set_string(&context, key, value)?;
        }
        fsconfig_create(&context)?;
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
        let file = File::from(mount);
        let dev = kernel_device(file.metadata()?.dev());
        Ok(Self {
            mount: file.into(),
            dev,
        })
    }

    /// Its device, as the kernel numbers it.
    #[must_use]
    pub fn dev(&self) -> u32 {
        self.dev
    }
}

impl PrivateTmps {
    /// Below the directory in which the daemon's socket is.
    #[must_use]
    pub fn beside(socket: &Path) -> Self {
        Self(socket.parent().unwrap_or(Path::new("/")).join("tmp"))
    }

    /// Where that of a session is mounted.
    #[must_use]
    pub fn of(&self, session: u32) -> PathBuf {
        self.0.join(session.to_string())
    }

    /// Lets everybody see it, and its user use it.
    ///
    /// # Errors
    /// It cannot be mounted there.
    pub fn show(&self, session: u32, made: &Unseen) -> io::Result<PathBuf> {
        let point = self.of(session);
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&point)?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(&made.mount, "", CWD, &point, flags)?;
        Ok(point)
    }

    /// Takes that of a session away, if it has one.
    ///
    /// # Errors
    /// It cannot be unmounted.
    pub fn take_away(&self, session: u32) -> io::Result<()> {
        let point = self.of(session);
        if !point.try_exists()? {
            return Ok(());
        }
        while is_mounted(&point)? {
            unmount(&point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)?;
        }
        fs::remove_dir(&point)
    }

    /// Sessions that have one here.
    #[must_use]
    pub fn sessions(&self) -> Vec<u32> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter_map(|name| name.parse().ok()).collect()
    }
}

fn is_mounted(point: &Path) -> io::Result<bool> {
    let above = point.parent().unwrap_or(point);
    Ok(fs::symlink_metadata(point)?.dev() != fs::symlink_metadata(above)?.dev())
}
