//! The ways in which a file comes to its mode, by system calls.

use std::os::fd::AsRawFd;

use super::{
    ModeBy,
    compiled::{link, link_of, mknod},
    raw::{Done, Fault, check, open, open_at, text},
};

pub(super) fn with_mode(path: &str, mode: u32, by: ModeBy) -> Done {
    match by {
        ModeBy::Chmod => {
            let path = text(path)?;
            // SAFETY: a NUL-terminated string.
            check(unsafe { libc::chmod(path.as_ptr(), mode) }).map(drop)
        }
        ModeBy::Fchmod => {
            let file = open(path, libc::O_RDONLY)?;
            // SAFETY: no pointers.
            check(unsafe { libc::fchmod(file.as_raw_fd(), mode) }).map(drop)
        }
        ModeBy::Open => {
            let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY;
            open_at(libc::AT_FDCWD, path, flags, mode).map(drop)
        }
        ModeBy::Mknod => mknod(path, libc::S_IFREG | mode, 0),
        ModeBy::Tmpfile => {
            let (dir, _) = path
                .rsplit_once('/')
                .ok_or_else(|| Fault::Other("no directory".into()))?;
            let flags = libc::O_TMPFILE | libc::O_WRONLY;
            link(&link_of(&open_at(libc::AT_FDCWD, dir, flags, mode)?), path)
        }
    }
}
