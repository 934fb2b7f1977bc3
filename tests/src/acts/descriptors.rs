//! Acts on descriptors, by system calls.

use std::{
    mem,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    ptr,
};

use super::{
    Act, OVERWRITTEN, Received,
    compiled::has_secret,
    raw::{Address, Done, Fault, check, connect, map, open, owned, socket, syscall, text, write},
};

impl Act {
    pub(super) fn descriptor(&self) -> Done {
        match self {
            Self::Ioctl {
                path,
                flags,
                command,
                argument,
                ..
            } => {
                let file = open(path, *flags)?;
                let mut argument = argument.clone();
                // SAFETY: a live buffer, as large as the command says.
                check(unsafe {
                    libc::ioctl(file.as_raw_fd(), u64::from(*command), argument.as_mut_ptr())
                })
                .map(drop)
            }
            Self::Ioctl32 {
                path,
                command,
                argument,
            } => ioctl_32(&open(path, libc::O_RDONLY)?, *command, argument),
            Self::Watch { path } => {
                // SAFETY: no pointers.
                let watches = owned(check(unsafe { libc::inotify_init1(libc::IN_CLOEXEC) })?);
                let path = text(path)?;
                let events = libc::IN_MODIFY | libc::IN_CREATE | libc::IN_DELETE;
                // SAFETY: a NUL-terminated string.
                check(unsafe {
                    libc::inotify_add_watch(watches.as_raw_fd(), path.as_ptr(), events)
                })
                .map(drop)
            }
            Self::Mark { path } => {
                // Without capabilities only a group that reports by file handles.
                let flags = libc::FAN_CLASS_NOTIF | libc::FAN_REPORT_FID;
                let group = owned(syscall(libc::SYS_fanotify_init, &[flags.into(), 0])?);
                let path = text(path)?;
                let arguments = [
                    group.as_raw_fd().into(),
                    libc::FAN_MARK_ADD.into(),
                    libc::FAN_MODIFY.cast_signed(),
                    libc::AT_FDCWD.into(),
                    path.as_ptr() as i64,
                ];
                syscall(libc::SYS_fanotify_mark, &arguments).map(drop)
            }
            Self::Receive { from, then } => {
                let file = receive(from)?;
                match then {
                    Received::Keep => Ok(()),
                    Received::Read => has_secret(&file),
                    Received::Write(_) => write(&file, OVERWRITTEN.as_bytes()),
                }
            }
            _ => Err(Fault::Other("no such act on descriptors".into())),
        }
    }
}

/// `ioctl` by the entry for 32-bit programs, which every program may use. Its argument lies where 32
/// bits reach.
fn ioctl_32(file: &OwnedFd, command: u32, argument: &[u8]) -> Done {
    const NUMBER: i32 = 54;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT;
    let low = map(-1, 4096, libc::PROT_READ | libc::PROT_WRITE, flags)?;
    let result: i32;
    // SAFETY: a new page that is larger than the argument; the kernel keeps all registers but the
    // one with the result, and the compiler's own use of `rbx` is kept by the exchange.
    unsafe {
        ptr::copy_nonoverlapping(argument.as_ptr(), low, argument.len());
        std::arch::asm!(
            "xchg rbx, {fd}", "int 0x80", "xchg rbx, {fd}",
            fd = inout(reg) i64::from(file.as_raw_fd()) => _,
            inlateout("eax") NUMBER => result,
            in("ecx") command,
            in("rdx") low,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    if result < 0 {
        return Err(Fault::Errno(-result));
    }
    Ok(())
}

/// Room for one descriptor's control message, aligned as it must be.
#[repr(C, align(8))]
struct Control([u8; 64]);

/// The descriptor that whoever listens at this path gives.
fn receive(from: &str) -> Done<OwnedFd> {
    let socket = socket(libc::AF_UNIX, libc::SOCK_STREAM, 0)?;
    connect(&socket, &Address::unix(from.as_bytes())?)?;
    let mut byte = 0_u8;
    let mut part = libc::iovec {
        iov_base: (&raw mut byte).cast(),
        iov_len: 1,
    };
    let mut control = Control([0; 64]);
    // SAFETY: plain data, for which all bits zero is a value.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len();
    // SAFETY: a message that describes live memory.
    check(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, 0) } as i64)?;
    // SAFETY: the kernel has filled in the message; a control message of this type holds descriptors.
    let fd = unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        let came = !header.is_null()
            && (*header).cmsg_type == libc::SCM_RIGHTS
            && (*header).cmsg_len >= libc::CMSG_LEN(size_of::<RawFd>() as u32) as usize;
        came.then(|| libc::CMSG_DATA(header).cast::<RawFd>().read_unaligned())
    };
    fd.map(|fd| owned(fd.into()))
        .ok_or_else(|| Fault::Other("no descriptor came".into()))
}
