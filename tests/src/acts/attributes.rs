//! Acts on attributes, by system calls.

use std::{
    ffi::CString,
    fs,
    os::{
        fd::{AsRawFd, RawFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    ptr,
};

use super::{
    Act,
    raw::{Done, Fault, check, open, syscall, text},
};

/// The attribute that is a file's ACL.
pub(crate) const ACCESS_LIST: &str = "system.posix_acl_access";

pub(crate) const FS_IOC_GETFLAGS: u32 = 0x8008_6601;
/// `FS_NODUMP_FL`, which an owner may set, and `FS_EXTENT_FL`, which ext4's files have and keep.
pub(crate) const NO_DUMP: u32 = 0x40 | 0x8_0000;

/// x86-64, from 6.17 on.
const FILE_SETATTR: i64 = 469;

/// `struct file_attr` with `FS_XFLAG_NODUMP`.
#[repr(C)]
struct FileAttributes {
    flags: u64,
    rest: [u32; 4],
}

impl Act {
    pub(super) fn attribute(&self) -> Done {
        match self {
            Self::Touch { path } => set_times(path, None),
            Self::TouchOne { path } => {
                set_times(path, Some([libc::UTIME_OMIT, libc::UTIME_NOW].map(at)))
            }
            Self::SetTimes { path } => set_times(path, Some(LONG_AGO)),
            Self::SetTimesDescriptor { path } => {
                let file = open(path, libc::O_RDONLY)?;
                // SAFETY: two live times.
                check(unsafe { libc::futimens(file.as_raw_fd(), LONG_AGO.as_ptr()) }).map(drop)
            }
            Self::SetXattr { path, name, value } => {
                let (path, name) = (text(path)?, text(name)?);
                // SAFETY: NUL-terminated strings, and a live buffer of this length.
                check(unsafe {
                    libc::lsetxattr(
                        path.as_ptr(),
                        name.as_ptr(),
                        value.as_ptr().cast(),
                        value.len(),
                        0,
                    )
                })
                .map(drop)
            }
            Self::RemoveXattr { path, name } => {
                let (path, name) = (text(path)?, text(name)?);
                // SAFETY: NUL-terminated strings.
                check(unsafe { libc::lremovexattr(path.as_ptr(), name.as_ptr()) }).map(drop)
            }
            Self::FileSetattr { path } => {
                let path = text(path)?;
                let attributes = FileAttributes {
                    flags: 0x80,
                    rest: [0; 4],
                };
                let arguments = [
                    libc::AT_FDCWD.into(),
                    path.as_ptr() as i64,
                    (&raw const attributes) as i64,
                    size_of::<FileAttributes>() as i64,
                    0,
                ];
                syscall(FILE_SETATTR, &arguments).map(drop)
            }
            _ => Err(Fault::Other("no such act on attributes".into())),
        }
    }
}

const fn at(nanoseconds: i64) -> libc::timespec {
    libc::timespec {
        tv_sec: 1_000_000_000,
        tv_nsec: nanoseconds,
    }
}

const LONG_AGO: [libc::timespec; 2] = [at(0), at(0)];

fn set_times(path: &str, times: Option<[libc::timespec; 2]>) -> Done {
    let path = text(path)?;
    let times = times.as_ref().map_or(ptr::null(), |times| times.as_ptr());
    // SAFETY: a NUL-terminated string; NULL or two live times.
    check(unsafe { libc::utimensat(libc::AT_FDCWD, path.as_ptr(), times, 0) }).map(drop)
}

/// An extended attribute's value.
pub(super) fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    let name = CString::new(name).ok()?;
    let mut value = vec![0_u8; 256];
    // SAFETY: NUL-terminated strings, and a live buffer of this length.
    let length = unsafe {
        libc::lgetxattr(
            path.as_ptr(),
            name.as_ptr(),
            value.as_mut_ptr().cast(),
            value.len(),
        )
    };
    value.truncate(usize::try_from(length).ok()?);
    Some(value)
}

/// An inode's flags.
pub(super) fn flags(path: &Path) -> Option<u32> {
    let file = fs::File::open(path).ok()?;
    flags_of(file.as_raw_fd())
}

fn flags_of(fd: RawFd) -> Option<u32> {
    let mut flags = 0_u64;
    // SAFETY: a live integer, of which the kernel writes the lower half.
    let done = unsafe { libc::ioctl(fd, FS_IOC_GETFLAGS.into(), &raw mut flags) };
    (done == 0).then_some(flags as u32)
}
