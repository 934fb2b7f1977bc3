//! A child that waits for its parent's word, and does not outlive the parent in vain.

use std::io::{self, PipeReader, PipeWriter, Read, Write};

use nix::{
    sys::{prctl::set_pdeathsig, signal::Signal},
    unistd::{ForkResult, Pid, fork, getpid, getppid},
};

/// How a child ends that nobody let go.
pub(super) const ABANDONED: i32 = 9;

/// A child that has not been let go yet. Once this is dropped it ends.
pub(super) struct Waiting {
    pub(super) pid: Pid,
    go: PipeWriter,
}

impl Waiting {
    /// Lets the child go on.
    pub(super) fn let_go(mut self) -> io::Result<()> {
        self.go.write_all(&[1])
    }
}

/// Forks a child that does `then` once it is let go, and ends with that exit status. It ends as well when
/// this thread does, or when nobody can let it go any more.
///
/// # Safety
/// `then` calls only what is async-signal-safe.
///
/// # Errors
/// There is no memory, or no room for another process or descriptor.
pub(super) unsafe fn fork_waiting(then: impl FnOnce() -> i32) -> io::Result<Waiting> {
    let (come, go) = io::pipe()?;
    let parent = getpid();
    // SAFETY: the child only calls what is async-signal-safe (prctl, getppid, close, read, _exit).
    match unsafe { fork() }? {
        ForkResult::Child => {
            let status = if is_let_go(parent, come, go) {
                then()
            } else {
                ABANDONED
            };
            // SAFETY: `_exit` ends the child at once, without the parent's destructors.
            unsafe { libc::_exit(status) }
        }
        ForkResult::Parent { child } => Ok(Waiting { pid: child, go }),
    }
}

fn is_let_go(parent: Pid, mut come: PipeReader, go: PipeWriter) -> bool {
    // Or the pipe would never end.
    drop(go);
    // Others may have a copy of it, of the moment in which they were forked. A parent that ended before
    // this call sends no signal.
    if set_pdeathsig(Signal::SIGKILL).is_err() || getppid() != parent {
        return false;
    }
    come.read_exact(&mut [0]).is_ok()
}

#[cfg(test)]
mod tests {
    use std::{
        os::fd::AsFd,
        thread::sleep,
        time::{Duration, Instant},
    };

    use nix::{
        poll::{PollFd, PollFlags, poll},
        sys::wait::{WaitPidFlag, WaitStatus, waitpid},
    };

    use super::*;

    const SECOND: u16 = 1000;

    fn status_within_a_second(child: Pid) -> Option<i32> {
        let deadline = Instant::now() + Duration::from_millis(u64::from(SECOND));
        while Instant::now() < deadline {
            if let WaitStatus::Exited(_, status) =
                waitpid(child, Some(WaitPidFlag::WNOHANG)).unwrap()
            {
                return Some(status);
            }
            sleep(Duration::from_millis(5));
        }
        None
    }

    #[test]
    fn it_waits_until_it_is_let_go() {
        // SAFETY: nothing is called.
        let child = unsafe { fork_waiting(|| 5) }.unwrap();
        let pid = child.pid;
        sleep(Duration::from_millis(50));
        let waits = waitpid(pid, Some(WaitPidFlag::WNOHANG)).unwrap();
        assert_eq!(waits, WaitStatus::StillAlive);
        child.let_go().unwrap();
        assert_eq!(status_within_a_second(pid), Some(5));
    }

    #[test]
    fn it_ends_where_nobody_can_let_it_go() {
        // SAFETY: nothing is called.
        let child = unsafe { fork_waiting(|| 5) }.unwrap();
        let pid = child.pid;
        drop(child);
        assert_eq!(status_within_a_second(pid), Some(ABANDONED));
    }

    /// Forks a parent that calls `start` and ends; the child that it leaves must end too. `start` calls only
    /// what is async-signal-safe.
    fn ends_with_its_parent(start: impl FnOnce()) {
        let (alive, held) = io::pipe().unwrap();
        // SAFETY: the child only calls `start` and `_exit`.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                start();
                // SAFETY: ends at once.
                unsafe { libc::_exit(0) }
            }
            ForkResult::Parent { child } => {
                drop(held);
                waitpid(child, None).unwrap();
            }
        }
        // Whoever is left has the other end.
        let mut end = [PollFd::new(alive.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut end, SECOND).unwrap(), 1, "the child lives on");
    }

    #[test]
    fn it_ends_with_its_parent() {
        ends_with_its_parent(|| {
            // SAFETY: nothing is called.
            std::mem::forget(unsafe { fork_waiting(|| 5) });
        });
    }

    #[test]
    fn it_ends_with_its_parent_though_others_hold_the_pipe() {
        let (come, go) = io::pipe().unwrap();
        let other = go.try_clone().unwrap();
        ends_with_its_parent(move || {
            let parent = getpid();
            // SAFETY: the child only waits, and ends.
            if let Ok(ForkResult::Child) = unsafe { fork() } {
                let status = i32::from(is_let_go(parent, come, go));
                // SAFETY: ends at once.
                unsafe { libc::_exit(status) }
            }
        });
        drop(other);
    }
}
