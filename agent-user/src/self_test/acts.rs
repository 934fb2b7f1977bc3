//! What the scratch session tries: for each family of hooks one act that its grant does not allow,
//! and a twin that it does.
//!
//! To add a family of hooks: a row here.

use std::{
    fs,
    io::{self, Read, Write},
    net::UdpSocket,
    os::{
        fd::AsRawFd,
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener, UnixStream},
    },
    path::Path,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use agent_abi::Right;
use nix::{
    fcntl::OFlag,
    mount::{MntFlags, MsFlags, mount, umount2},
    pty::{grantpt, posix_openpt, ptsname_r, unlockpt},
    sched::{CloneFlags, unshare},
    sys::{
        inotify::{AddWatchFlags, InitFlags, Inotify},
        signal::kill,
        stat::{UtimensatFlags, utimensat},
        time::TimeSpec,
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, chroot, fork, geteuid, getpid, getppid},
};

use super::{
    NEEDS_ROOT,
    place::{Memory, Others},
};

/// Where it is tried.
pub(super) struct Ground<'a> {
    /// Everything is granted here.
    pub(super) inside: &'a Path,
    /// Only reading.
    pub(super) readable: &'a Path,
    /// Nothing.
    pub(super) outside: &'a Path,
    /// May be read and executed.
    pub(super) program: &'a Path,
    /// What is somebody else's.
    pub(super) others: &'a Others,
}

type Try = fn(&Ground<'_>) -> io::Result<()>;

/// Two acts of one family.
pub struct Act {
    /// As in [`crate::api::doctor::HookCoverage::family`], or [`SYSTEM_CALLS`].
    pub family: &'static str,
    /// What is tried.
    pub what: &'static str,
    /// The right that the refusal names; `None`: it is recorded nowhere.
    pub right: Option<Right>,
    /// The kernel itself refuses it to others.
    needs_root: bool,
    refused: Try,
    twin: Try,
}

/// What has no hook; refused by the filter of what `bailiff run` starts.
pub const SYSTEM_CALLS: &str = "system calls";

/// Every family of hooks. Whatever is let through by mistake must do no harm.
pub const ACTS: &[Act] = &[
    Act {
        family: "labels",
        what: "a child reads a file",
        right: Some(Right::FileRead),
        needs_root: false,
        refused: |ground| in_child(|| read(ground.outside)),
        twin: |ground| in_child(|| read(ground.inside)),
    },
    Act {
        family: "labels",
        what: "reads a file after a fork that failed",
        right: Some(Right::FileRead),
        needs_root: false,
        refused: |ground| in_child(|| read_after_failed_fork(ground.outside)),
        twin: |ground| in_child(|| read_after_failed_fork(ground.inside)),
    },
    Act {
        family: "files",
        what: "writes a file",
        right: Some(Right::FileWrite),
        needs_root: false,
        refused: |ground| write(ground.readable),
        twin: |ground| write(ground.inside),
    },
    Act {
        family: "files",
        what: "opens another's terminal",
        right: Some(Right::FileRead),
        needs_root: false,
        refused: |ground| open_terminal(&ground.others.terminal),
        twin: |_| open_own_terminal(),
    },
    Act {
        family: "attributes",
        what: "sets the times of a file",
        right: Some(Right::FileAttr),
        needs_root: false,
        refused: |ground| set_times(ground.readable),
        twin: |ground| set_times(ground.inside),
    },
    Act {
        family: "descriptors",
        what: "watches a file",
        right: Some(Right::FileRead),
        needs_root: false,
        refused: |ground| watch(ground.outside),
        twin: |ground| watch(ground.inside),
    },
    Act {
        family: "exec",
        what: "maps a file to execute it",
        right: Some(Right::FileExec),
        needs_root: false,
        refused: |ground| map_executable(ground.readable),
        twin: |ground| map_executable(ground.program),
    },
    Act {
        family: "exec",
        what: "makes memory executable",
        right: Some(Right::ProcessJit),
        needs_root: false,
        refused: |_| map_memory(libc::PROT_EXEC),
        twin: |_| map_memory(libc::PROT_WRITE),
    },
    Act {
        family: "network",
        what: "connects to an address",
        right: Some(Right::NetConnect),
        needs_root: false,
        refused: |_| send_to("127.0.0.1:10"),
        twin: |_| send_to("127.0.0.1:9"),
    },
    Act {
        family: "network",
        what: "connects to another's socket",
        right: Some(Right::UnixConnect),
        needs_root: false,
        refused: |ground| connect(&ground.others.listener),
        twin: |ground| connect_to_own(&ground.others.listener),
    },
    Act {
        family: "network",
        what: "sets a mark on its packets",
        right: Some(Right::NetOption),
        needs_root: false,
        refused: |_| set_option(libc::SO_MARK),
        twin: |_| set_option(libc::SO_KEEPALIVE),
    },
    Act {
        family: "processes",
        what: "signals a process",
        right: Some(Right::ProcessSignal),
        needs_root: false,
        refused: |_| Ok(kill(getppid(), None)?),
        twin: |_| Ok(kill(getpid(), None)?),
    },
    Act {
        family: "processes",
        what: "uses a capability",
        right: Some(Right::ProcessCapability),
        needs_root: true,
        refused: |_| in_child(raise_priority),
        twin: |ground| in_child(|| Ok(chroot(ground.inside)?)),
    },
    Act {
        family: "locks",
        what: "locks a file for itself",
        right: Some(Right::FileWrite),
        needs_root: false,
        refused: |ground| lock(ground.readable, libc::LOCK_EX),
        twin: |ground| lock(ground.inside, libc::LOCK_EX),
    },
    Act {
        family: "locks",
        what: "takes a lease",
        right: Some(Right::ProcessCapability),
        needs_root: false,
        refused: |ground| lease(ground.readable),
        twin: |ground| lock(ground.readable, libc::LOCK_SH),
    },
    Act {
        family: "ipc",
        what: "looks at another's shared memory",
        right: Some(Right::ProcessIpc),
        needs_root: false,
        refused: |ground| look_at_memory(ground.others.memory),
        twin: |_| look_at_own_memory(),
    },
    Act {
        family: "kernel surface",
        what: "makes a keyring",
        right: Some(Right::KernelKeyring),
        needs_root: false,
        refused: |_| make_keyring(),
        twin: |_| make_userfaultfd(),
    },
    Act {
        family: "kernel surface",
        what: "mounts where others see it",
        right: Some(Right::KernelMount),
        needs_root: false,
        refused: |ground| mount_over(ground.inside),
        twin: |ground| in_child(|| mount_in_own(ground.inside)),
    },
    Act {
        family: SYSTEM_CALLS,
        what: "makes all its memory executable",
        right: None,
        needs_root: false,
        refused: |_| in_child(|| set_personality(libc::READ_IMPLIES_EXEC)),
        twin: |_| in_child(|| set_personality(PER_LINUX)),
    },
];

/// How an act and its twin ended, in one line for whoever waits for it.
pub(super) fn main(place: &Path, program: &Path, others: &Others) -> io::Result<ExitCode> {
    let ground = Ground {
        inside: &place.join("inside"),
        readable: &place.join("readable"),
        outside: &place.join("outside"),
        program,
        others,
    };
    let mut out = io::stdout().lock();
    // Whoever labels this process says when that is done.
    let session = std::env::var("BAILIFF_SESSION").unwrap_or_default();
    writeln!(out, "ready {session}")?;
    out.flush()?;
    io::stdin().read_exact(&mut [0])?;
    for (number, act) in ACTS.iter().enumerate() {
        let code = |result: io::Result<()>| match result {
            Ok(()) => 0,
            Err(error) => error.raw_os_error().unwrap_or(-1),
        };
        let (refused, twin) = if act.needs_root && !geteuid().is_root() {
            (NEEDS_ROOT, NEEDS_ROOT)
        } else {
            (code((act.refused)(&ground)), code((act.twin)(&ground)))
        };
        writeln!(out, "{number} {refused} {twin}")?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn read(place: &Path) -> io::Result<()> {
    fs::File::open(place.join("file")).map(drop)
}

/// A grace period of RCU, on a host that is not idle: then a child is freed that never lived.
const GRACE: Duration = Duration::from_millis(60);

/// Kernels until 6.18 free the storage of whoever fails to fork so early. Reads as soon as it can be read.
fn read_after_failed_fork(place: &Path) -> io::Result<()> {
    let flags = libc::CLONE_NEWUSER | libc::SIGCHLD;
    // SAFETY: one thread; a child, should there be one, ends at once.
    if unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) } == 0 {
        // SAFETY: as above.
        unsafe { libc::_exit(0) };
    }
    let until = Instant::now() + GRACE;
    loop {
        let result = read(place);
        if result.is_ok() || Instant::now() > until {
            return result;
        }
        thread::sleep(GRACE / 20);
    }
}

fn write(place: &Path) -> io::Result<()> {
    fs::OpenOptions::new()
        .write(true)
        .open(place.join("file"))
        .map(drop)
}

fn set_times(place: &Path) -> io::Result<()> {
    let time = TimeSpec::new(1, 0);
    let flags = UtimensatFlags::FollowSymlink;
    Ok(utimensat(
        nix::fcntl::AT_FDCWD,
        &place.join("file"),
        &time,
        &time,
        flags,
    )?)
}

fn watch(place: &Path) -> io::Result<()> {
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC)?;
    inotify.add_watch(&place.join("file"), AddWatchFlags::IN_OPEN)?;
    Ok(())
}

fn open_terminal(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    fs::File::options()
        .read(true)
        .custom_flags(libc::O_NOCTTY)
        .open(path)
        .map(drop)
}

fn open_own_terminal() -> io::Result<()> {
    let terminal = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY)?;
    grantpt(&terminal)?;
    unlockpt(&terminal)?;
    open_terminal(Path::new(&ptsname_r(&terminal)?))
}

fn map_executable(path: &Path) -> io::Result<()> {
    let path = if path.is_dir() {
        path.join("file")
    } else {
        path.into()
    };
    let file = fs::File::open(path)?;
    map(libc::PROT_EXEC, libc::MAP_PRIVATE, file.as_raw_fd())
}

fn map_memory(protection: i32) -> io::Result<()> {
    map(protection, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)
}

fn map(protection: i32, flags: i32, fd: i32) -> io::Result<()> {
    let protection = libc::PROT_READ | protection;
    // SAFETY: a new mapping at a place of the kernel's choice, which nothing refers to.
    let place = unsafe { libc::mmap(std::ptr::null_mut(), 1, protection, flags, fd, 0) };
    if place == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping that was just made.
    unsafe { libc::munmap(place, 1) };
    Ok(())
}

fn send_to(address: &str) -> io::Result<()> {
    UdpSocket::bind("0.0.0.0:0")?.connect(address)
}

fn connect(name: &str) -> io::Result<()> {
    UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?).map(drop)
}

fn connect_to_own(name: &str) -> io::Result<()> {
    let name = format!("{name}-own");
    let _listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
    connect(&name)
}

fn set_option(option: i32) -> io::Result<()> {
    let (socket, _other) = UnixStream::pair()?;
    let value = 0_i32;
    // SAFETY: an open socket, and as many bytes as is said.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const value).cast(),
            size_of::<i32>() as u32,
        )
    };
    done(result)
}

/// For this process alone.
fn raise_priority() -> io::Result<()> {
    // SAFETY: integers only.
    done(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -20) })
}

fn lock(place: &Path, kind: i32) -> io::Result<()> {
    let file = fs::File::open(place.join("file"))?;
    // SAFETY: an open descriptor, and an integer.
    done(unsafe { libc::flock(file.as_raw_fd(), kind) })
}

fn lease(place: &Path) -> io::Result<()> {
    let file = fs::File::open(place.join("file"))?;
    // SAFETY: an open descriptor, and integers.
    done(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_RDLCK) })
}

fn look_at_memory(memory: i32) -> io::Result<()> {
    // SAFETY: integers only; all zeroes is a value of this structure.
    let mut found = unsafe { std::mem::zeroed::<libc::shmid_ds>() };
    // SAFETY: a structure of the kind that this command fills.
    done(unsafe { libc::shmctl(memory, libc::IPC_STAT, &mut found) })
}

fn look_at_own_memory() -> io::Result<()> {
    look_at_memory(Memory::make()?.id())
}

/// Undone at once where it is let through.
fn mount_over(place: &Path) -> io::Result<()> {
    mount_memory(place)?;
    Ok(umount2(place, MntFlags::MNT_DETACH)?)
}

fn mount_in_own(place: &Path) -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
    mount_memory(place)
}

fn mount_memory(place: &Path) -> io::Result<()> {
    let kind = Some("tmpfs");
    Ok(mount(kind, place, kind, MsFlags::empty(), None::<&str>)?)
}

/// <linux/personality.h>
const PER_LINUX: i32 = 0;

fn set_personality(personality: i32) -> io::Result<()> {
    // SAFETY: an integer only.
    done(unsafe { libc::personality(libc::c_ulong::from(personality.cast_unsigned())) })
}

/// What a call of the C library that ended so means.
fn done(result: i32) -> io::Result<()> {
    nix::errno::Errno::result(result)?;
    Ok(())
}

fn make_keyring() -> io::Result<()> {
    const KEYCTL_GET_KEYRING_ID: libc::c_long = 0;
    const KEY_SPEC_PROCESS_KEYRING: libc::c_long = -2;
    // SAFETY: integers only.
    let result = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            KEYCTL_GET_KEYRING_ID,
            KEY_SPEC_PROCESS_KEYRING,
            1,
        )
    };
    nix::errno::Errno::result(result)?;
    Ok(())
}

fn make_userfaultfd() -> io::Result<()> {
    const UFFD_USER_MODE_ONLY: i32 = 1;
    // SAFETY: an integer only.
    let result =
        unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | UFFD_USER_MODE_ONLY) };
    let fd = nix::errno::Errno::result(result)?;
    // SAFETY: the descriptor that the kernel has just given.
    unsafe { libc::close(fd as i32) };
    Ok(())
}

/// The same, in a child.
fn in_child(act: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    // SAFETY: this process has one thread.
    match unsafe { fork() }? {
        ForkResult::Child => {
            let code = act()
                .err()
                .map_or(0, |error| error.raw_os_error().unwrap_or(255));
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(code) }
        }
        ForkResult::Parent { child } => match wait(child)? {
            0 => Ok(()),
            code => Err(io::Error::from_raw_os_error(code)),
        },
    }
}

fn wait(child: Pid) -> io::Result<i32> {
    match waitpid(child, None)? {
        WaitStatus::Exited(_, code) => Ok(code),
        other => Err(io::Error::other(format!("the child ended with {other:?}"))),
    }
}
