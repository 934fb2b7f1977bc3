//! Signals, by every call that sends one.

use std::{mem, os::fd::AsRawFd};

use crate::acts::{
    SignalBy,
    raw::{Done, check, owned, syscall, write},
};

pub(super) fn signal(pid: i32, by: SignalBy) -> Done {
    let (pid, kill) = (i64::from(pid), i64::from(libc::SIGKILL));
    match by {
        SignalBy::Kill | SignalBy::Pkill => syscall(libc::SYS_kill, &[pid, kill]),
        SignalBy::Tgkill => syscall(libc::SYS_tgkill, &[pid, pid, kill]),
        SignalBy::Queue => {
            // SAFETY: plain data, for which all bits zero is a value.
            let mut information: libc::siginfo_t = unsafe { mem::zeroed() };
            information.si_signo = libc::SIGKILL;
            information.si_code = libc::SI_QUEUE;
            syscall(
                libc::SYS_rt_sigqueueinfo,
                &[pid, kill, (&raw mut information) as i64],
            )
        }
        SignalBy::Pidfd => {
            let process = owned(syscall(libc::SYS_pidfd_open, &[pid, 0])?);
            syscall(
                libc::SYS_pidfd_send_signal,
                &[process.as_raw_fd().into(), kill, 0, 0],
            )
        }
    }
    .map(drop)
}

/// An address that is mapped in every process: the stack pointer that /proc tells, or nothing.
pub(super) fn stack_of(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let mut words = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    words
        .nth(25)
        .and_then(|word| word.parse().ok())
        .unwrap_or(0)
}

/// Makes the process the owner of a socket, whose owner is told by SIGIO when something comes.
pub(super) fn signal_by_owner(pid: i32) -> Done {
    let mut ends = [0; 2];
    // SAFETY: two live integers.
    check(unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, ends.as_mut_ptr()) })?;
    let (here, there) = (owned(ends[0].into()), owned(ends[1].into()));
    // SAFETY: no pointers.
    check(unsafe { libc::fcntl(here.as_raw_fd(), libc::F_SETOWN, pid) })?;
    // SAFETY: no pointers.
    check(unsafe { libc::fcntl(here.as_raw_fd(), libc::F_SETFL, libc::O_ASYNC) })?;
    write(&there, b"x")
}
