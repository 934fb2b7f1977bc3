//! System calls with Rust's arguments.

use std::{
    ffi::CString,
    io, mem,
    net::{IpAddr, SocketAddr},
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

/// Why a system call, or an act made of several, failed.
#[derive(Debug)]
pub(crate) enum Fault {
    Errno(i32),
    Other(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        error
            .raw_os_error()
            .map_or_else(|| Self::Other(error.to_string()), Self::Errno)
    }
}

pub(crate) type Done<T = ()> = Result<T, Fault>;

/// The result, or `errno`.
pub(crate) fn check<N: Into<i64>>(result: N) -> Done<i64> {
    let result = result.into();
    if result < 0 {
        Err(io::Error::last_os_error().into())
    } else {
        Ok(result)
    }
}

pub(crate) fn text(value: &str) -> Done<CString> {
    CString::new(value).map_err(|error| Fault::Other(error.to_string()))
}

pub(crate) fn syscall(number: i64, arguments: &[i64]) -> Done<i64> {
    let at = |index: usize| arguments.get(index).copied().unwrap_or(0);
    // SAFETY: what the arguments point to lives until the call returns; that the call itself does
    // no harm to this process is the caller's business, who has forked.
    check(unsafe { libc::syscall(number, at(0), at(1), at(2), at(3), at(4), at(5)) })
}

pub(crate) fn owned(fd: i64) -> OwnedFd {
    // SAFETY: a descriptor that a system call has just returned.
    unsafe { OwnedFd::from_raw_fd(fd as RawFd) }
}

pub(crate) fn open(path: &str, flags: i32) -> Done<OwnedFd> {
    open_at(libc::AT_FDCWD, path, flags, 0)
}

pub(crate) fn open_at(dir: RawFd, path: &str, flags: i32, mode: u32) -> Done<OwnedFd> {
    let path = text(path)?;
    // SAFETY: a NUL-terminated string.
    let fd = check(unsafe { libc::openat(dir, path.as_ptr(), flags | libc::O_CLOEXEC, mode) })?;
    Ok(owned(fd))
}

pub(crate) fn write(fd: &OwnedFd, bytes: &[u8]) -> Done {
    // SAFETY: a live buffer of this length.
    let written =
        check(unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) } as i64)?;
    if written as usize == bytes.len() {
        Ok(())
    } else {
        Err(Fault::Other("short write".into()))
    }
}

pub(crate) fn read(fd: &OwnedFd) -> Done<Vec<u8>> {
    let mut bytes = vec![0; 4096];
    // SAFETY: a live buffer of this length.
    let count = check(
        unsafe { libc::read(fd.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len()) } as i64,
    )?;
    bytes.truncate(count as usize);
    Ok(bytes)
}

pub(crate) fn map(fd: RawFd, length: usize, protection: i32, flags: i32) -> Done<*mut u8> {
    // SAFETY: a new mapping, where the kernel likes.
    let address = unsafe { libc::mmap(ptr::null_mut(), length, protection, flags, fd, 0) };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error().into());
    }
    Ok(address.cast())
}

pub(crate) fn protect(address: *mut u8, length: usize, protection: i32) -> Done {
    // SAFETY: a mapping of this process that nothing else uses.
    check(unsafe { libc::mprotect(address.cast(), length, protection) }).map(drop)
}

pub(crate) fn socket(family: i32, kind: i32, protocol: i32) -> Done<OwnedFd> {
    // SAFETY: no pointers.
    check(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) }).map(owned)
}

/// A socket address as the kernel takes it.
#[derive(Clone, Copy)]
pub(crate) struct Address {
    pub(crate) storage: libc::sockaddr_storage,
    pub(crate) length: u32,
}

impl Address {
    pub(crate) fn family(&self) -> i32 {
        self.storage.ss_family.into()
    }

    pub(crate) fn pointer(&self) -> *const libc::sockaddr {
        (&raw const self.storage).cast()
    }

    pub(crate) fn inet(address: &str, port: u16) -> Done<Self> {
        let ip: IpAddr = address
            .parse()
            .map_err(|_| Fault::Other(format!("{address} is no address")))?;
        // SAFETY: plain data, for which all bits zero is a value.
        let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
        let length = match SocketAddr::new(ip, port) {
            SocketAddr::V4(v4) => {
                // SAFETY: the storage is large enough and aligned for every address.
                let place = unsafe { &mut *(&raw mut storage).cast::<libc::sockaddr_in>() };
                place.sin_family = libc::AF_INET as u16;
                place.sin_port = port.to_be();
                place.sin_addr.s_addr = u32::from_ne_bytes(v4.ip().octets());
                size_of::<libc::sockaddr_in>()
            }
            SocketAddr::V6(v6) => {
                // SAFETY: as above.
                let place = unsafe { &mut *(&raw mut storage).cast::<libc::sockaddr_in6>() };
                place.sin6_family = libc::AF_INET6 as u16;
                place.sin6_port = port.to_be();
                place.sin6_addr.s6_addr = v6.ip().octets();
                size_of::<libc::sockaddr_in6>()
            }
        };
        Ok(Self {
            storage,
            length: length as u32,
        })
    }

    /// A path, or an abstract name where it begins with NUL.
    pub(crate) fn unix(name: &[u8]) -> Done<Self> {
        // SAFETY: plain data, for which all bits zero is a value.
        let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
        // SAFETY: the storage is large enough and aligned for every address.
        let place = unsafe { &mut *(&raw mut storage).cast::<libc::sockaddr_un>() };
        place.sun_family = libc::AF_UNIX as u16;
        if name.len() >= place.sun_path.len() {
            return Err(Fault::Other("the socket's path is too long".into()));
        }
        for (to, from) in place.sun_path.iter_mut().zip(name) {
            *to = from.cast_signed();
        }
        let end = usize::from(name.first() != Some(&0));
        let length = mem::offset_of!(libc::sockaddr_un, sun_path) + name.len() + end;
        Ok(Self {
            storage,
            length: length as u32,
        })
    }
}

pub(crate) fn connect(socket: &OwnedFd, to: &Address) -> Done {
    // SAFETY: an address of this length.
    check(unsafe { libc::connect(socket.as_raw_fd(), to.pointer(), to.length) }).map(drop)
}

pub(crate) fn bind(socket: &OwnedFd, to: &Address) -> Done {
    // SAFETY: an address of this length.
    check(unsafe { libc::bind(socket.as_raw_fd(), to.pointer(), to.length) }).map(drop)
}

pub(crate) fn send_to(socket: &OwnedFd, to: &Address, flags: i32) -> Done {
    // SAFETY: a live byte, and an address of this length.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            c"x".as_ptr().cast(),
            1,
            flags,
            to.pointer(),
            to.length,
        )
    };
    check(sent as i64).map(drop)
}

/// Runs `body` in a process of its own. Its exit status, if it has one.
pub(crate) fn in_child(body: impl FnOnce() -> i32) -> Done<i32> {
    // SAFETY: this process has one thread.
    let pid = check(unsafe { libc::fork() })? as i32;
    if pid == 0 {
        let code = body();
        // SAFETY: ends the process.
        unsafe { libc::_exit(code) };
    }
    wait(pid)
}

/// A child that sleeps until it is killed.
pub(crate) fn sleeper() -> Done<i32> {
    // SAFETY: this process has one thread.
    let pid = check(unsafe { libc::fork() })? as i32;
    if pid == 0 {
        std::thread::sleep(std::time::Duration::from_secs(60));
        // SAFETY: ends the process.
        unsafe { libc::_exit(0) };
    }
    Ok(pid)
}

/// The wait status.
pub(crate) fn wait(pid: i32) -> Done<i32> {
    let mut status = 0;
    // SAFETY: a live integer.
    check(unsafe { libc::waitpid(pid, &raw mut status, 0) })?;
    Ok(status)
}
