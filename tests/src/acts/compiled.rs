//! Acts by system calls.

mod program;
mod signals;

use std::{
    mem,
    os::fd::{AsRawFd, OwnedFd},
    ptr,
};

use super::{
    Act, Arg, OVERWRITTEN, Outcome, SendBy, SignalBy,
    modes::with_mode,
    raw::{
        Address, Done, Fault, bind, check, connect, map, open, open_at, owned, protect, read,
        send_to, sleeper, socket, syscall, text, wait, write,
    },
};

const EXCHANGE: u32 = 2;
const WHITEOUT: u32 = 4;
const PAGE: usize = 4096;

impl Act {
    /// Does it in this process, which may not be good for anything else afterwards.
    pub(crate) fn perform(&self) -> Outcome {
        match self.attempt() {
            Ok(()) => Outcome::Done,
            Err(Fault::Errno(errno)) => Outcome::parse(&format!("errno {errno}")),
            Err(Fault::Other(text)) => Outcome::Failed(text),
        }
    }

    fn attempt(&self) -> Done {
        match self {
            Self::Tcp { .. }
            | Self::FastOpen { .. }
            | Self::Udp { .. }
            | Self::Reconnect { .. }
            | Self::Socket { .. }
            | Self::UnixStream { .. }
            | Self::UnixDatagram { .. }
            | Self::Abstract { .. } => self.network(),
            Self::Run { .. }
            | Self::RunDescriptor { .. }
            | Self::RunByLoader { .. }
            | Self::RunMemory { .. }
            | Self::Preload { .. }
            | Self::Dlopen { .. }
            | Self::MapExecutable { .. }
            | Self::ProtectExecutable { .. }
            | Self::WrittenProgram { .. }
            | Self::AnonymousCode => self.execution(),
            Self::Signal { .. }
            | Self::SignalChild { .. }
            | Self::Ptrace { .. }
            | Self::PtraceChild
            | Self::ReadMemory { .. }
            | Self::StealDescriptor { .. }
            | Self::SignalByOwner { .. }
            | Self::Syscall { .. }
            | Self::CloneIntoCgroup { .. }
            | Self::Tiocsti => self.kernel(),
            Self::Touch { .. }
            | Self::TouchOne { .. }
            | Self::SetTimes { .. }
            | Self::SetTimesDescriptor { .. }
            | Self::SetXattr { .. }
            | Self::RemoveXattr { .. }
            | Self::FileSetattr { .. } => self.attribute(),
            Self::Ioctl { .. }
            | Self::Ioctl32 { .. }
            | Self::Watch { .. }
            | Self::Mark { .. }
            | Self::Receive { .. } => self.descriptor(),
            Self::Then(first, second) => {
                first
                    .attempt()
                    .map_err(|fault| Fault::Other(format!("beforehand: {fault:?}")))?;
                second.attempt()
            }
            _ => self.file(),
        }
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each act")]
    fn file(&self) -> Done {
        match self {
            Self::Read { path } => has_secret(&open(path, libc::O_RDONLY)?),
            Self::Open { path } => open(path, libc::O_RDONLY).map(drop),
            Self::ReadMapped { path } => {
                let file = open(path, libc::O_RDONLY)?;
                map(file.as_raw_fd(), PAGE, libc::PROT_READ, libc::MAP_PRIVATE).map(drop)
            }
            Self::ReadAgain { path } => {
                let found = open(path, libc::O_PATH)?;
                has_secret(&open(&link_of(&found), libc::O_RDONLY)?)
            }
            Self::ReadByHandle { path } => read_by_handle(path),
            Self::ReadBeneath { dir, name } => {
                let dir = open(dir, libc::O_PATH | libc::O_DIRECTORY)?;
                // `struct open_how`: flags, mode, resolve (RESOLVE_BENEATH).
                let how = [libc::O_RDONLY as u64, 0, 8];
                let name = text(name)?;
                let arguments = [
                    dir.as_raw_fd().into(),
                    name.as_ptr() as i64,
                    how.as_ptr() as i64,
                    size_of_val(&how) as i64,
                ];
                has_secret(&owned(syscall(libc::SYS_openat2, &arguments)?))
            }
            Self::ReadFrom { dir, path } => {
                std::env::set_current_dir(dir)?;
                has_secret(&open(path, libc::O_RDONLY)?)
            }
            Self::ReadWrite { path } => open(path, libc::O_RDWR).map(drop),
            Self::Write { path } => write(&open(path, libc::O_WRONLY)?, OVERWRITTEN.as_bytes()),
            Self::WriteText { path, text } => write(&open(path, libc::O_WRONLY)?, text.as_bytes()),
            Self::WriteMapped { path } => {
                let file = open(path, libc::O_RDWR)?;
                let both = libc::PROT_READ | libc::PROT_WRITE;
                let at = map(file.as_raw_fd(), PAGE, both, libc::MAP_SHARED)?;
                // SAFETY: the first bytes of a mapped page of a file that is longer.
                unsafe { ptr::copy_nonoverlapping(OVERWRITTEN.as_ptr(), at, 8) };
                Ok(())
            }
            Self::Append { path } => {
                let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT;
                let file = open_at(libc::AT_FDCWD, path, flags, 0o644)?;
                write(&file, OVERWRITTEN.as_bytes())
            }
            Self::Truncate { path } => {
                let path = text(path)?;
                // SAFETY: a NUL-terminated string.
                check(unsafe { libc::truncate(path.as_ptr(), 0) }).map(drop)
            }
            Self::TruncateOpen { path } => open(path, libc::O_RDONLY | libc::O_TRUNC).map(drop),
            Self::PunchHole { path } => {
                let file = open(path, libc::O_RDWR)?;
                let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
                // SAFETY: no pointers.
                check(unsafe { libc::fallocate(file.as_raw_fd(), mode, 0, 8) }).map(drop)
            }
            Self::Create { path } => {
                let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL;
                open_at(libc::AT_FDCWD, path, flags, 0o644).map(drop)
            }
            Self::Tmpfile { dir } => {
                open_at(libc::AT_FDCWD, dir, libc::O_TMPFILE | libc::O_WRONLY, 0o644).map(drop)
            }
            Self::TmpfileLink { dir, to } => {
                let file = open_at(libc::AT_FDCWD, dir, libc::O_TMPFILE | libc::O_WRONLY, 0o644)?;
                link(&link_of(&file), to)
            }
            Self::Mkdir { path } => {
                let path = text(path)?;
                // SAFETY: a NUL-terminated string.
                check(unsafe { libc::mkdir(path.as_ptr(), 0o755) }).map(drop)
            }
            Self::Mkfifo { path } => mknod(path, libc::S_IFIFO | 0o644, 0),
            Self::Mkdev { path } => mknod(path, libc::S_IFCHR | 0o666, libc::makedev(1, 3)),
            Self::BindSocket { path } => {
                let socket = socket(libc::AF_UNIX, libc::SOCK_STREAM, 0)?;
                bind(&socket, &Address::unix(path.as_bytes())?)
            }
            Self::Symlink { target, path } => Ok(std::os::unix::fs::symlink(target, path)?),
            Self::Link { from, to } => {
                let (from, to) = (text(from)?, text(to)?);
                // SAFETY: NUL-terminated strings.
                check(unsafe { libc::link(from.as_ptr(), to.as_ptr()) }).map(drop)
            }
            Self::LinkDescriptor { from, to } => link(&link_of(&open(from, libc::O_PATH)?), to),
            Self::Rename { from, to } => rename(from, to, 0),
            Self::Exchange { from, to } => rename(from, to, EXCHANGE),
            Self::Whiteout { from, to } => rename(from, to, WHITEOUT),
            Self::Delete { path } => Ok(std::fs::remove_file(path)?),
            Self::Rmdir { path } => Ok(std::fs::remove_dir(path)?),
            Self::DeleteTree { path } => Ok(std::fs::remove_dir_all(path)?),
            Self::List { path } => {
                let dir = open(path, libc::O_RDONLY | libc::O_DIRECTORY)?;
                let mut entries = [0_u8; 4096];
                let arguments = [
                    dir.as_raw_fd().into(),
                    entries.as_mut_ptr() as i64,
                    entries.len() as i64,
                ];
                syscall(libc::SYS_getdents64, &arguments).map(drop)
            }
            Self::Chmod { path } => {
                let path = text(path)?;
                // SAFETY: a NUL-terminated string.
                check(unsafe { libc::chmod(path.as_ptr(), 0o700) }).map(drop)
            }
            Self::ChmodDescriptor { path } => {
                // The descriptor needs no right of its own; so the link in /proc does it.
                let found = open(path, libc::O_PATH)?;
                let path = text(&link_of(&found))?;
                // SAFETY: a NUL-terminated string.
                check(unsafe { libc::chmod(path.as_ptr(), 0o700) }).map(drop)
            }
            Self::Mode { path, mode, by } => with_mode(path, *mode, *by),
            Self::Chown { path } => {
                let path = text(path)?;
                // SAFETY: a NUL-terminated string.
                check(unsafe { libc::lchown(path.as_ptr(), 0, 0) }).map(drop)
            }
            _ => Err(Fault::Other("no such act on files".into())),
        }
    }

    fn execution(&self) -> Done {
        match self {
            Self::Run { program, mark } => program::execute(program, &[program, mark], &[]),
            Self::RunDescriptor { program, mark } => {
                program::execute_descriptor(&open(program, libc::O_PATH)?, mark)
            }
            Self::RunByLoader { program, mark } => {
                let loader = "/lib64/ld-linux-x86-64.so.2";
                program::execute(loader, &[loader, program, mark], &[])
            }
            Self::RunMemory { program, mark } => {
                let from = open(program, libc::O_RDONLY)?;
                // SAFETY: a NUL-terminated string.
                let memory = owned(check(unsafe { libc::memfd_create(c"memory".as_ptr(), 0) })?);
                loop {
                    let bytes = read(&from)?;
                    if bytes.is_empty() {
                        break;
                    }
                    write(&memory, &bytes)?;
                }
                program::execute_descriptor(&memory, mark)
            }
            Self::Preload { library, mark } => {
                let preload = format!("LD_PRELOAD={library}");
                let variables = [preload.as_str(), &format!("MARK={mark}")];
                program::execute("/usr/bin/test", &["test", "-e", mark], &variables)
            }
            // A static program has no `dlopen`.
            Self::Dlopen { .. } => Err(Fault::Other("not in this way".into())),
            Self::MapExecutable { path } => {
                let file = open(path, libc::O_RDONLY)?;
                let both = libc::PROT_READ | libc::PROT_EXEC;
                map(file.as_raw_fd(), PAGE, both, libc::MAP_PRIVATE).map(drop)
            }
            Self::ProtectExecutable { path } => {
                let file = open(path, libc::O_RDONLY)?;
                let at = map(file.as_raw_fd(), PAGE, libc::PROT_READ, libc::MAP_PRIVATE)?;
                protect(at, PAGE, libc::PROT_READ | libc::PROT_EXEC)
            }
            Self::WrittenProgram { path } => {
                let file = open(path, libc::O_RDONLY)?;
                let both = libc::PROT_READ | libc::PROT_WRITE;
                let at = map(file.as_raw_fd(), PAGE, both, libc::MAP_PRIVATE)?;
                // SAFETY: the first byte of a page that was mapped writable: `ret`.
                unsafe { *at = 0xc3 };
                protect(at, PAGE, libc::PROT_READ | libc::PROT_EXEC)
            }
            Self::AnonymousCode => {
                let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
                let at = map(-1, PAGE, libc::PROT_READ | libc::PROT_WRITE, flags)?;
                // SAFETY: the first byte of a page that was mapped writable: `ret`.
                unsafe { *at = 0xc3 };
                protect(at, PAGE, libc::PROT_READ | libc::PROT_EXEC)?;
                // SAFETY: a function that returns at once.
                unsafe { mem::transmute::<*mut u8, extern "C" fn()>(at)() };
                Ok(())
            }
            _ => Err(Fault::Other("no such act of execution".into())),
        }
    }

    fn network(&self) -> Done {
        match self {
            Self::Tcp { address, port } => {
                let to = Address::inet(address, *port)?;
                connect(&socket(to.family(), libc::SOCK_STREAM, 0)?, &to)
            }
            Self::FastOpen { address, port } => {
                let to = Address::inet(address, *port)?;
                send_to(
                    &socket(to.family(), libc::SOCK_STREAM, 0)?,
                    &to,
                    libc::MSG_FASTOPEN,
                )
            }
            Self::Udp { address, port, by } => datagram(address, *port, *by),
            Self::Reconnect { first, then } => {
                let (first, then) = (
                    Address::inet(&first.0, first.1)?,
                    Address::inet(&then.0, then.1)?,
                );
                let socket = socket(first.family(), libc::SOCK_DGRAM, 0)?;
                let beforehand = |fault| Fault::Other(format!("beforehand: {fault:?}"));
                connect(&socket, &first).map_err(beforehand)?;
                let mut nowhere = first;
                nowhere.storage.ss_family = libc::AF_UNSPEC as u16;
                connect(&socket, &nowhere).map_err(beforehand)?;
                connect(&socket, &then)?;
                // SAFETY: one live byte.
                let sent = unsafe { libc::send(socket.as_raw_fd(), c"x".as_ptr().cast(), 1, 0) };
                check(sent as i64).map(drop)
            }
            Self::Socket {
                family,
                kind,
                protocol,
            } => socket(*family, *kind, *protocol).map(drop),
            Self::UnixStream { path } => {
                let to = Address::unix(path.as_bytes())?;
                connect(&socket(libc::AF_UNIX, libc::SOCK_STREAM, 0)?, &to)
            }
            Self::UnixDatagram { path } => {
                let to = Address::unix(path.as_bytes())?;
                send_to(&socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0)?, &to, 0)
            }
            Self::Abstract { name } => {
                let to = Address::unix(format!("\0{name}").as_bytes())?;
                connect(&socket(libc::AF_UNIX, libc::SOCK_STREAM, 0)?, &to)
            }
            _ => Err(Fault::Other("no such act on the network".into())),
        }
    }

    fn kernel(&self) -> Done {
        match self {
            Self::Signal { pid, by, .. } => signals::signal(*pid, *by),
            Self::SignalChild { by } => {
                let pid = sleeper()?;
                signals::signal(pid, *by)?;
                if libc::WIFSIGNALED(wait(pid)?) {
                    return Ok(());
                }
                Err(Fault::Other("the child was not killed".into()))
            }
            Self::Ptrace { pid } => {
                syscall(
                    libc::SYS_ptrace,
                    &[libc::PTRACE_ATTACH.into(), (*pid).into()],
                )?;
                wait(*pid).map(drop)
            }
            Self::PtraceChild => {
                let pid = sleeper()?;
                let traced = syscall(libc::SYS_ptrace, &[libc::PTRACE_ATTACH.into(), pid.into()]);
                signals::signal(pid, SignalBy::Kill)?;
                traced.map(drop)
            }
            Self::ReadMemory { pid } => {
                let mut here = [0_u8; 8];
                let local = libc::iovec {
                    iov_base: here.as_mut_ptr().cast(),
                    iov_len: 8,
                };
                // Whether the address is mapped there is asked only once access is allowed.
                let remote = libc::iovec {
                    iov_base: signals::stack_of(*pid) as *mut _,
                    iov_len: 8,
                };
                // SAFETY: both describe memory of eight bytes; the other is not of this process.
                let count = unsafe {
                    libc::process_vm_readv(*pid, &raw const local, 1, &raw const remote, 1, 0)
                };
                check(count as i64).map(drop)
            }
            Self::StealDescriptor { pid } => {
                let process = owned(syscall(libc::SYS_pidfd_open, &[(*pid).into(), 0])?);
                let arguments = [process.as_raw_fd().into(), 1, 0];
                syscall(libc::SYS_pidfd_getfd, &arguments).map(drop)
            }
            Self::SignalByOwner { pid } => signals::signal_by_owner(*pid),
            Self::Syscall {
                number, arguments, ..
            } => generic(*number, arguments),
            Self::CloneIntoCgroup { path } => clone_into(path),
            Self::Tiocsti => type_in(),
            _ => Err(Fault::Other("no such act on the kernel".into())),
        }
    }
}

/// Whether the file's content was really read.
pub(super) fn has_secret(file: &OwnedFd) -> Done {
    let bytes = read(file)?;
    if bytes.windows(6).any(|window| window == b"secret") {
        return Ok(());
    }
    Err(Fault::Other("the content is not there".into()))
}

pub(super) fn link_of(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// `linkat` that follows a link of /proc.
pub(super) fn link(from: &str, to: &str) -> Done {
    let (from, to) = (text(from)?, text(to)?);
    let (here, follow) = (libc::AT_FDCWD, libc::AT_SYMLINK_FOLLOW);
    // SAFETY: NUL-terminated strings.
    check(unsafe { libc::linkat(here, from.as_ptr(), here, to.as_ptr(), follow) }).map(drop)
}

fn rename(from: &str, to: &str, flags: u32) -> Done {
    let (from, to) = (text(from)?, text(to)?);
    let here = libc::AT_FDCWD;
    // SAFETY: NUL-terminated strings.
    check(unsafe { libc::renameat2(here, from.as_ptr(), here, to.as_ptr(), flags) }).map(drop)
}

pub(super) fn mknod(path: &str, mode: u32, device: u64) -> Done {
    let path = text(path)?;
    // SAFETY: a NUL-terminated string.
    check(unsafe { libc::mknod(path.as_ptr(), mode, device) }).map(drop)
}

#[repr(C)]
struct Handle {
    bytes: u32,
    kind: i32,
    data: [u8; 128],
}

fn read_by_handle(path: &str) -> Done {
    let mut handle = Handle {
        bytes: 128,
        kind: 0,
        data: [0; 128],
    };
    let mut mount = 0_i32;
    let name = text(path)?;
    let arguments = [
        libc::AT_FDCWD.into(),
        name.as_ptr() as i64,
        (&raw mut handle) as i64,
        (&raw mut mount) as i64,
        0,
    ];
    syscall(libc::SYS_name_to_handle_at, &arguments)
        .map_err(|fault| Fault::Other(format!("no handle: {fault:?}")))?;
    let root = open("/", libc::O_RDONLY | libc::O_DIRECTORY)
        .or_else(|_| open("/w", libc::O_RDONLY | libc::O_DIRECTORY))?;
    let arguments = [
        root.as_raw_fd().into(),
        (&raw mut handle) as i64,
        libc::O_RDONLY.into(),
    ];
    has_secret(&owned(syscall(libc::SYS_open_by_handle_at, &arguments)?))
}

fn datagram(address: &str, port: u16, by: SendBy) -> Done {
    let mut to = Address::inet(address, port)?;
    let family = if by == SendBy::V4OnV6 {
        libc::AF_INET6
    } else {
        to.family()
    };
    let socket = socket(family, libc::SOCK_DGRAM, 0)?;
    if by == SendBy::Unspecified {
        to.storage.ss_family = libc::AF_UNSPEC as u16;
    }
    if by == SendBy::WithoutScope {
        to.length = mem::offset_of!(libc::sockaddr_in6, sin6_scope_id) as u32;
    }
    // SAFETY: plain data, for which all bits zero is a value.
    let mut message: libc::mmsghdr = unsafe { mem::zeroed() };
    let mut part = libc::iovec {
        iov_base: c"x".as_ptr().cast_mut().cast(),
        iov_len: 1,
    };
    message.msg_hdr.msg_name = to.pointer().cast_mut().cast();
    message.msg_hdr.msg_namelen = to.length;
    message.msg_hdr.msg_iov = &raw mut part;
    message.msg_hdr.msg_iovlen = 1;
    let fd = socket.as_raw_fd();
    match by {
        SendBy::Connect => {
            connect(&socket, &to)?;
            // SAFETY: one live byte.
            check(unsafe { libc::send(fd, c"x".as_ptr().cast(), 1, 0) } as i64).map(drop)
        }
        SendBy::SendTo | SendBy::Unspecified | SendBy::V4OnV6 | SendBy::WithoutScope => {
            send_to(&socket, &to, 0)
        }
        SendBy::SendMsg => {
            // SAFETY: a message that describes live memory.
            check(unsafe { libc::sendmsg(fd, &raw const message.msg_hdr, 0) } as i64).map(drop)
        }
        SendBy::SendMmsg | SendBy::SendMmsgConnected => {
            if by == SendBy::SendMmsgConnected {
                connect(&socket, &to)?;
                message.msg_hdr.msg_name = ptr::null_mut();
                message.msg_hdr.msg_namelen = 0;
            }
            let mut twice = [message, message];
            // SAFETY: two messages that describe live memory.
            check(unsafe { libc::sendmmsg(fd, twice.as_mut_ptr(), 2, 0) }).map(drop)
        }
    }
}

fn generic(number: i64, arguments: &[Arg]) -> Done {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    let mut opened = Vec::new();
    let mut words = Vec::new();
    for argument in arguments {
        words.push(match argument {
            Arg::Number(number) => *number,
            Arg::Text(value) => {
                kept.push(text(value)?.into_bytes_with_nul());
                kept.last().map_or(0, |bytes| bytes.as_ptr() as i64)
            }
            Arg::Bytes(bytes) => {
                kept.push(bytes.clone());
                kept.last_mut().map_or(0, |bytes| bytes.as_mut_ptr() as i64)
            }
            Arg::Open(path, flags) => {
                opened.push(open(path, *flags)?);
                opened.last().map_or(0, |fd| fd.as_raw_fd().into())
            }
        });
    }
    syscall(number, &words).map(drop)
}

/// `struct clone_args`
#[repr(C)]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

fn clone_into(cgroup: &str) -> Done {
    let target = open(cgroup, libc::O_PATH | libc::O_DIRECTORY)?;
    let arguments = CloneArguments {
        flags: 1 << 33,
        exit_signal: libc::SIGCHLD as u64,
        cgroup: target.as_raw_fd() as u64,
        ..CloneArguments::default()
    };
    let size = size_of::<CloneArguments>() as i64;
    let pid = syscall(libc::SYS_clone3, &[(&raw const arguments) as i64, size])? as i32;
    if pid == 0 {
        // SAFETY: ends the process.
        unsafe { libc::_exit(0) };
    }
    wait(pid).map(drop)
}

/// Types a character into a terminal that is this process's own.
fn type_in() -> Done {
    // The terminal's end is told to its session by SIGHUP.
    // SAFETY: no pointers.
    unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
    // SAFETY: no pointers.
    check(unsafe { libc::setsid() })?;
    let master = open("/dev/ptmx", libc::O_RDWR | libc::O_NOCTTY)?;
    let mut number = 0_u32;
    let unlock = 0_i32;
    // SAFETY: live integers.
    unsafe {
        check(libc::ioctl(
            master.as_raw_fd(),
            libc::TIOCSPTLCK,
            &raw const unlock,
        ))?;
        check(libc::ioctl(
            master.as_raw_fd(),
            libc::TIOCGPTN,
            &raw mut number,
        ))?;
    }
    let terminal = open(&format!("/dev/pts/{number}"), libc::O_RDWR)?;
    // SAFETY: a live character.
    check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSTI, c"x".as_ptr()) }).map(drop)
}
