//! The process between `bailiff run` and a command that has a terminal of its own: leader of the
//! terminal's session, parent of the command, in no session of Bailiff.
//!
//! It tells the command what `bailiff run` is told, and stops and ends as the command does. If `bailiff
//! run` is killed, so that it cannot put the user's terminal back, this process does.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
    sys::{
        signal::{SigSet, SigmaskHow, Signal, kill, killpg, pthread_sigmask, raise},
        termios::{SetArg, Termios, tcsetattr},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{
        ForkResult, Pid, dup2_stderr, dup2_stdin, dup2_stdout, fork, getpgrp, getpid, getppid,
        setpgid, setsid, tcsetpgrp,
    },
};

use super::{signals::Blocked, terminal::Terminal};
use crate::cli::failure::RUN_FAILED;

/// Makes this process the monitor and its child the command. Returns in the child alone.
///
/// # Errors
/// In either process, before the child has gone on.
pub(super) fn split(terminal: Terminal, keep: &[&OwnedFd]) -> io::Result<()> {
    let runner = getppid();
    let user = User {
        // Without it the user's terminal is not put back, and nothing else.
        terminal: fcntl(io::stdin(), FcntlArg::F_DUPFD_CLOEXEC(3))
            .ok()
            .map(|fd| {
                // SAFETY: the kernel has just given this descriptor to us alone.
                unsafe { std::os::fd::FromRawFd::from_raw_fd(fd) }
            }),
        modes: terminal.modes.clone(),
        runner,
    };
    setsid()?;
    // SAFETY: no pointers.
    Errno::result(unsafe { libc::ioctl(terminal.slave.as_raw_fd(), libc::TIOCSCTTY, 0) })?;
    dup2_stdin(&terminal.slave)?;
    dup2_stdout(&terminal.slave)?;
    if terminal.standard_error {
        dup2_stderr(&terminal.slave)?;
    }
    // The master too: its end must be seen when `bailiff run` ends.
    drop(terminal);
    // SAFETY: this process has one thread, so the child may do whatever it likes.
    match unsafe { fork() }? {
        ForkResult::Child => {
            drop(user);
            setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
            come_to_front(getpid())
        }
        ForkResult::Parent { child } => {
            for fd in keep {
                // SAFETY: owned by the caller, who does not come back here: `exit` below.
                unsafe { libc::close(fd.as_raw_fd()) };
            }
            let _ = setpgid(child, child);
            let code = watch(child, &user).unwrap_or(RUN_FAILED);
            std::process::exit(code.into())
        }
    }
}

/// Makes a process group the one that the terminal listens to.
fn come_to_front(group: Pid) -> io::Result<()> {
    let mut old = SigSet::empty();
    // Whoever asks from behind is stopped otherwise.
    let set = SigSet::from_iter([Signal::SIGTTOU]);
    pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&set), Some(&mut old))?;
    let result = tcsetpgrp(io::stdin(), group);
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&old), None)?;
    Ok(result?)
}

struct User {
    terminal: Option<OwnedFd>,
    modes: Termios,
    runner: Pid,
}

impl User {
    /// Puts the user's terminal back if `bailiff run` cannot any more.
    fn put_back_if_alone(&self) {
        if getppid() != self.runner {
            self.put_back();
        }
    }

    fn put_back(&self) {
        if let Some(terminal) = &self.terminal {
            let _ = tcsetattr(terminal, SetArg::TCSANOW, &self.modes);
        }
    }
}

/// Waits for the end of the command. Its exit code, or 128 and the signal that ended it.
fn watch(child: Pid, user: &User) -> io::Result<u8> {
    let signals = Blocked::new()?;
    let code = loop {
        match waitpid(child, Some(WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED)) {
            Ok(WaitStatus::Exited(_, code)) => break code as u8,
            Ok(WaitStatus::Signaled(_, signal, _)) => break 128 + signal as u8,
            Ok(WaitStatus::Stopped(..)) => {
                // `bailiff run` sees it, stops, and wakes us.
                raise(Signal::SIGSTOP)?;
                let _ = come_to_front(child);
                let _ = killpg(child, Signal::SIGCONT);
                continue;
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let (signal, sent) = signals.next()?;
        match Signal::try_from(signal) {
            Ok(Signal::SIGCHLD) | Err(_) => {}
            Ok(signal) => {
                // The pseudo-terminal's end: `bailiff run` is dying, and this process may still be its child
                // (`do_exit()` closes files first). Or the user's terminal's end, which it passes on.
                if signal == Signal::SIGHUP && !sent {
                    user.put_back();
                }
                let _ = kill(child, signal);
            }
        }
    };
    // What the command leaves behind is not to be ended by the end of its terminal.
    let _ = come_to_front(getpgrp());
    user.put_back_if_alone();
    Ok(code)
}
