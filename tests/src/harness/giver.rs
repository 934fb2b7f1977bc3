//! Processes outside sessions that give descriptors away.

use std::{
    io, mem,
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::Path,
    thread,
};

/// Makes what is given.
pub(crate) type Gift = Box<dyn Fn() -> io::Result<OwnedFd> + Send>;

/// Gives one descriptor to everyone who connects to this path, until the scenarios end.
pub(crate) fn give(path: &Path, gift: Gift) -> io::Result<()> {
    let listener = UnixListener::bind(path)?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Who gets nothing says so.
            let _ = gift().and_then(|gift| send(&stream, &gift));
        }
    });
    Ok(())
}

#[repr(C, align(8))]
struct Control([u8; 64]);

fn send(stream: &UnixStream, gift: &OwnedFd) -> io::Result<()> {
    let mut byte = 0_u8;
    let mut part = libc::iovec {
        iov_base: (&raw mut byte).cast(),
        iov_len: 1,
    };
    let mut control = Control([0; 64]);
    let size = size_of::<RawFd>() as u32;
    // SAFETY: plain data, for which all bits zero is a value.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    // SAFETY: a size; room for one header and its descriptor is in `control`.
    unsafe {
        message.msg_controllen = libc::CMSG_SPACE(size) as usize;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size) as usize;
        libc::CMSG_DATA(header)
            .cast::<RawFd>()
            .write_unaligned(gift.as_raw_fd());
    }
    // SAFETY: a message that describes live memory.
    if unsafe { libc::sendmsg(stream.as_raw_fd(), &raw const message, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
