//! Witnesses: the state of the system that an act changes if it happens.

use std::{fs, io::Read, os::unix::fs::MetadataExt, path::Path};

use super::{
    Act, ModeBy, Received,
    attributes::{flags, xattr},
};

/// Something that can be looked at before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Witness {
    Content(String, Option<Vec<u8>>),
    Exists(String, bool),
    Inode(String, Option<u64>),
    Mode(String, Option<u32>),
    /// When it was modified, in seconds and nanoseconds.
    Modified(String, Option<(i64, i64)>),
    Xattr(String, String, Option<Vec<u8>>),
    /// The inode's flags.
    Flags(String, Option<u32>),
    /// Whether the process runs.
    Alive(i32, bool),
}

impl Witness {
    fn content(path: &str) -> Self {
        Self::Content(path.into(), None)
    }

    fn exists(path: &str) -> Self {
        Self::Exists(path.into(), false)
    }

    fn inode(path: &str) -> Self {
        Self::Inode(path.into(), None)
    }

    /// What it shows now; `root` is where the session's root directory is.
    #[must_use]
    pub(crate) fn now(&self, root: &Path) -> Self {
        let at = |path: &str| root.join(path.trim_start_matches('/'));
        match self {
            Self::Content(path, _) => Self::Content(path.clone(), content(&at(path))),
            Self::Exists(path, _) => {
                Self::Exists(path.clone(), fs::symlink_metadata(at(path)).is_ok())
            }
            Self::Inode(path, _) => {
                let inode = fs::symlink_metadata(at(path))
                    .ok()
                    .map(|metadata| metadata.ino());
                Self::Inode(path.clone(), inode)
            }
            Self::Mode(path, _) => {
                let mode = fs::metadata(at(path)).ok().map(|metadata| metadata.mode());
                Self::Mode(path.clone(), mode)
            }
            Self::Modified(path, _) => {
                let time = fs::symlink_metadata(at(path)).ok();
                let time = time.map(|metadata| (metadata.mtime(), metadata.mtime_nsec()));
                Self::Modified(path.clone(), time)
            }
            Self::Xattr(path, name, _) => {
                Self::Xattr(path.clone(), name.clone(), xattr(&at(path), name))
            }
            Self::Flags(path, _) => Self::Flags(path.clone(), flags(&at(path))),
            Self::Alive(pid, _) => Self::Alive(*pid, runs(*pid)),
        }
    }
}

/// Of regular files only: a fifo would block, a device has no content.
fn content(path: &Path) -> Option<Vec<u8>> {
    let regular = fs::metadata(path).ok()?.is_file();
    let mut bytes = Vec::new();
    regular.then(|| {
        fs::File::open(path)
            .ok()?
            .take(1 << 16)
            .read_to_end(&mut bytes)
            .ok()
    })??;
    Some(bytes)
}

fn runs(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A victim that was killed is a zombie until its parent looks.
    status.rsplit(')').next().is_some_and(|rest| {
        rest.split_whitespace()
            .next()
            .is_some_and(|state| !"ZX".contains(state))
    })
}

impl Act {
    /// What shows whether it happened. Empty: only its own answer tells.
    pub(crate) fn witnesses(&self) -> Vec<Witness> {
        match self {
            Self::Write { path }
            | Self::WriteMapped { path }
            | Self::Append { path }
            | Self::Truncate { path }
            | Self::TruncateOpen { path }
            | Self::PunchHole { path }
            | Self::Receive {
                then: Received::Write(path),
                ..
            } => vec![Witness::content(path)],
            Self::Create { path }
            | Self::Mkdir { path }
            | Self::Mkfifo { path }
            | Self::Mkdev { path }
            | Self::BindSocket { path }
            | Self::Symlink { path, .. }
            | Self::Delete { path }
            | Self::Rmdir { path }
            | Self::DeleteTree { path }
            | Self::Mode {
                path,
                by: ModeBy::Open | ModeBy::Mknod | ModeBy::Tmpfile,
                ..
            } => vec![Witness::exists(path)],
            Self::Link { to, .. }
            | Self::LinkDescriptor { to, .. }
            | Self::TmpfileLink { to, .. } => vec![Witness::exists(to)],
            Self::Rename { from, to }
            | Self::Exchange { from, to }
            | Self::Whiteout { from, to } => {
                vec![Witness::inode(from), Witness::inode(to)]
            }
            Self::Chmod { path } | Self::ChmodDescriptor { path } | Self::Mode { path, .. } => {
                vec![Witness::Mode(path.clone(), None)]
            }
            Self::Touch { path }
            | Self::TouchOne { path }
            | Self::SetTimes { path }
            | Self::SetTimesDescriptor { path } => vec![Witness::Modified(path.clone(), None)],
            Self::SetXattr { path, name, .. } | Self::RemoveXattr { path, name } => {
                vec![Witness::Xattr(path.clone(), name.clone(), None)]
            }
            Self::FileSetattr { path } => vec![Witness::Flags(path.clone(), None)],
            Self::Run { mark, .. }
            | Self::RunDescriptor { mark, .. }
            | Self::RunByLoader { mark, .. }
            | Self::RunMemory { mark, .. }
            | Self::Preload { mark, .. }
            | Self::Dlopen { mark, .. } => vec![Witness::exists(mark)],
            Self::Signal { pid, .. } | Self::SignalByOwner { pid } => {
                vec![Witness::Alive(*pid, true)]
            }
            Self::Then(_, second) => second.witnesses(),
            _ => Vec::new(),
        }
    }
}
