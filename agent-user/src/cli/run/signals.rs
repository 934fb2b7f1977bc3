//! Waiting for the command, as if it had been started without us.
//!
//! Where the command has no terminal of its own ([`super::terminal`]):
//! Parent and command share a process group, so what the terminal sends reaches both. What
//! someone sends to the parent alone is passed on. When the command stops, the parent of a terminal's job
//! stops too, so that the shell sees its job stopped. Without a terminal nobody would wake it, and a command
//! that stopped itself and is then ended would leave it waiting for ever.

use std::{fs::File, io, mem::MaybeUninit};

use nix::{
    errno::Errno,
    sys::{
        signal::{SigSet, SigmaskHow, Signal, kill, pthread_sigmask, raise},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

const PASSED_ON: [Signal; 9] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
    Signal::SIGTSTP,
    Signal::SIGCONT,
];

/// Signals are held back until [`Blocked::wait_for`] sees to them; the old mask comes back at the
/// end.
pub(super) struct Blocked {
    old: SigSet,
    set: SigSet,
}

/// Whether this process has a terminal from which it can be woken.
fn is_job() -> bool {
    File::open("/dev/tty").is_ok()
}

impl Blocked {
    pub(super) fn new() -> io::Result<Self> {
        let mut set = SigSet::from_iter(PASSED_ON);
        set.add(Signal::SIGCHLD);
        let mut old = SigSet::empty();
        pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&set), Some(&mut old))?;
        Ok(Self { old, set })
    }

    /// The signals that are held back.
    pub(super) fn set(&self) -> &SigSet {
        &self.set
    }

    /// Waits for the end of `child`. Its exit code, or 128 and the signal that ended it.
    pub(super) fn wait_for(&self, child: Pid) -> io::Result<u8> {
        loop {
            match waitpid(child, Some(WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED)) {
                Ok(WaitStatus::Exited(_, code)) => return Ok(code as u8),
                Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(128 + signal as u8),
                Ok(WaitStatus::Stopped(..)) if is_job() => {
                    raise(Signal::SIGSTOP)?;
                    let _ = kill(child, Signal::SIGCONT);
                    continue;
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            let (signal, sent) = self.next()?;
            if sent && let Ok(signal) = Signal::try_from(signal) {
                let _ = kill(child, signal);
            }
        }
    }

    /// The next signal, and whether a process sent it to this one (not the terminal, to all).
    pub(super) fn next(&self) -> io::Result<(i32, bool)> {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        loop {
            // SAFETY: both point to what the call reads and writes.
            let signal = unsafe { libc::sigwaitinfo(self.set.as_ref(), info.as_mut_ptr()) };
            if signal < 0 {
                match io::Error::last_os_error() {
                    error if error.kind() == io::ErrorKind::Interrupted => continue,
                    error => return Err(error),
                }
            }
            // SAFETY: all zeroes is a value of it, and the call has filled it in.
            let info = unsafe { info.assume_init() };
            let sent = info.si_code <= 0 && signal != libc::SIGCHLD;
            return Ok((signal, sent));
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&self.old), None);
    }
}
