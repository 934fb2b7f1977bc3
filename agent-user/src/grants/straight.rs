//! Paths on which nothing is a link: most that a grant names are so, and it takes one question each to tell.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat2},
    sys::stat::fstatat,
};

/// The directories that were asked about, of one root.
#[derive(Default)]
pub(super) struct Straight {
    directories: BTreeMap<Vec<u8>, Directory>,
}

enum Directory {
    /// No link leads to it.
    Open(OwnedFd),
    /// It is not there, or no directory, and no link is on the way as far as there is one.
    Absent,
    /// A link is on the way, or something that has to be looked at step by step.
    Other,
}

impl Straight {
    /// Whether neither `path` (absolute and plain) nor anything on the way to it is a link, as far as it exists.
    /// It then leads where it is written.
    pub(super) fn is_straight(&mut self, root: BorrowedFd<'_>, path: &[u8]) -> bool {
        let Some(slash) = path.iter().rposition(|byte| *byte == b'/') else {
            return path.is_empty();
        };
        let (above, name) = (&path[..slash], &path[slash + 1..]);
        if !self.directories.contains_key(above) {
            self.directories.insert(above.into(), open(root, above));
        }
        match self.directories.get(above) {
            Some(Directory::Open(directory)) => is_no_link(directory, name),
            Some(Directory::Absent) => true,
            Some(Directory::Other) | None => false,
        }
    }
}

fn open(root: BorrowedFd<'_>, path: &[u8]) -> Directory {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_SYMLINKS);
    let path = if path.is_empty() { b"/" } else { path };
    match openat2(root, Path::new(OsStr::from_bytes(path)), how) {
        Ok(directory) => Directory::Open(directory),
        Err(Errno::ENOENT | Errno::ENOTDIR) => Directory::Absent,
        Err(_) => Directory::Other,
    }
}

fn is_no_link(directory: &OwnedFd, name: &[u8]) -> bool {
    let flags = AtFlags::AT_SYMLINK_NOFOLLOW;
    match fstatat(directory, Path::new(OsStr::from_bytes(name)), flags) {
        Ok(found) => found.st_mode & libc::S_IFMT != libc::S_IFLNK,
        Err(error) => error == Errno::ENOENT,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        os::{fd::AsFd, unix::fs::symlink},
    };

    use super::*;
    use crate::grants::trail::follow;

    #[test]
    fn what_is_straight_is_what_is_followed_to_itself() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        fs::create_dir_all(at("usr/bin")).unwrap();
        fs::write(at("usr/bin/tool"), "").unwrap();
        symlink("usr/bin", at("bin")).unwrap();
        symlink("tool", at("usr/bin/other")).unwrap();
        symlink("nowhere", at("usr/gone")).unwrap();
        symlink("loop", at("loop")).unwrap();
        let root = File::open(dir.path()).unwrap();
        let mut straight = Straight::default();
        for (path, expected) in [
            ("", true),
            ("/usr", true),
            ("/usr/bin/tool", true),
            ("/usr/bin/tool/below", true),
            ("/usr/bin/no/such", true),
            ("/bin", false),
            ("/bin/tool", false),
            ("/bin/no/such", false),
            ("/usr/bin/other", false),
            ("/usr/bin/other/x", false),
            ("/usr/gone", false),
            ("/usr/gone/x/y", false),
            ("/loop/x", false),
        ] {
            for _ in 0..2 {
                let is_straight = straight.is_straight(root.as_fd(), path.as_bytes());
                assert_eq!(is_straight, expected, "{path}");
            }
            let trail = follow(root.as_fd(), path.as_bytes(), None).unwrap();
            let is_itself = trail.links.is_empty() && trail.real == path.as_bytes();
            assert_eq!(is_itself, expected, "{path}");
        }
    }

    #[test]
    fn links_of_proc_are_not_straight() {
        let root = File::open("/").unwrap();
        let mut straight = Straight::default();
        assert!(!straight.is_straight(root.as_fd(), b"/proc/self/status"));
        assert!(!straight.is_straight(root.as_fd(), b"/proc/self"));
        assert!(straight.is_straight(root.as_fd(), b"/proc/version"));
    }
}
