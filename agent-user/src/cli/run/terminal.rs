//! A terminal of the session's own, where `bailiff run` stands on one: the command gets a
//! pseudo-terminal, and this process, which is in no session, passes bytes between the two.
//!
//! So nothing in the session has a descriptor of the user's terminal: it can neither read what is typed
//! elsewhere on it later, nor change its modes, nor stop what writes there. Bytes pass as they are, escape
//! sequences too.
//!
//! The command is not the leader of the terminal's session but a child of the [`super::monitor`]: the
//! kernel lets nobody stop a process whose parent is in another session.

use std::{
    fs::File,
    io::{self, IsTerminal, Read, Write},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    pty::{Winsize, openpty},
    sys::{
        signal::{Signal, kill, raise},
        signalfd::{SfdFlags, SignalFd},
        termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{Pid, getpgrp, tcgetpgrp},
};

use super::signals::Blocked;

/// How long the output of a command that has ended is waited for, in milliseconds, while processes that it
/// left behind keep its terminal open.
const SILENCE: u16 = 100;

/// How long it is waited for in all, where such a process is never silent for that long.
const PATIENCE: Duration = Duration::from_secs(1);

/// Bytes of it that are passed on at most. What the command itself wrote is in the terminal's buffer, which is
/// smaller.
const LAST_WORDS: usize = 1 << 20;

/// The pair, before the command is started.
pub(super) struct Terminal {
    pub(super) slave: OwnedFd,
    master: OwnedFd,
    /// How the user's terminal was.
    pub(super) modes: Termios,
    pub(super) standard_error: bool,
}

impl Terminal {
    /// A terminal for the command, if both input and output are terminals. Where one is something else,
    /// the command gets what this process has: somebody else may read the same terminal, such as a pager
    /// behind a pipe.
    pub(super) fn for_command() -> io::Result<Option<Self>> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Ok(None);
        }
        let modes = tcgetattr(io::stdin())?;
        let size = window_size(io::stdin().as_fd())?;
        let pair = openpty(&size, &modes)?;
        for fd in [&pair.master, &pair.slave] {
            fcntl(fd, FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))?;
        }
        Ok(Some(Self {
            slave: pair.slave,
            master: pair.master,
            modes,
            standard_error: io::stderr().is_terminal(),
        }))
    }

    /// Passes bytes and signals until the monitor ends; its exit code.
    pub(super) fn relay(self, monitor: Pid, signals: &Blocked) -> io::Result<u8> {
        let Self {
            slave,
            master,
            modes,
            ..
        } = self;
        // The end of the last slave in the session is the end of its output.
        drop(slave);
        let flags = OFlag::from_bits_truncate(fcntl(&master, FcntlArg::F_GETFL)?);
        fcntl(&master, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        let mut relay = Relay {
            master: master.into(),
            monitor,
            signals: SignalFd::with_flags(
                signals.set(),
                SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC,
            )?,
            modes: Modes {
                saved: modes,
                raw: false,
            },
            typed: Vec::new(),
            input: true,
            output: true,
        };
        relay.modes.enter();
        let code = relay.run();
        relay.modes.leave();
        code
    }
}

/// The user's terminal: raw while this process is in its foreground.
struct Modes {
    saved: Termios,
    raw: bool,
}

impl Modes {
    /// Whatever is typed from here on goes to the command, Ctrl-C too. A background job must not ask for
    /// it: it would be stopped.
    fn enter(&mut self) {
        // Of a terminal that controls nobody here, nobody is in front.
        let is_behind = tcgetpgrp(io::stdin()).is_ok_and(|group| group != getpgrp());
        if self.raw || is_behind {
            return;
        }
        let mut raw = self.saved.clone();
        cfmakeraw(&mut raw);
        self.raw = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &raw).is_ok();
    }

    fn leave(&mut self) {
        if self.raw {
            let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.saved);
            self.raw = false;
        }
    }
}

impl Drop for Modes {
    fn drop(&mut self) {
        self.leave();
    }
}

struct Relay {
    master: File,
    monitor: Pid,
    signals: SignalFd,
    modes: Modes,
    /// Typed, and not taken by the pseudo-terminal yet.
    typed: Vec<u8>,
    /// There may be more to come from the user's terminal.
    input: bool,
    /// There may be more to come from the session.
    output: bool,
}

impl Relay {
    fn run(&mut self) -> io::Result<u8> {
        loop {
            if let Some(code) = self.look_at_monitor()? {
                self.drain()?;
                return Ok(code);
            }
            let mut master = PollFlags::empty();
            master.set(PollFlags::POLLIN, self.output);
            master.set(PollFlags::POLLOUT, !self.typed.is_empty());
            let listens = self.input && self.modes.raw && self.typed.is_empty();
            let (stdin, signals, master_fd) =
                (io::stdin(), self.signals.as_fd(), self.master.as_fd());
            let mut fds = vec![PollFd::new(signals, PollFlags::POLLIN)];
            if !master.is_empty() {
                fds.push(PollFd::new(master_fd, master));
            }
            if listens {
                fds.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
            }
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            let ready = fds
                .iter()
                .map(|fd| fd.revents().is_some_and(|events| !events.is_empty()))
                .collect::<Vec<_>>();
            self.answer_signals()?;
            if !master.is_empty() && ready[1] {
                self.write_typed();
                self.pass_output()?;
            }
            if listens && ready[ready.len() - 1] {
                self.read_typed();
            }
        }
    }

    /// The monitor's exit code, if it has ended. If it has stopped, because the command has, this process
    /// stops too, with the terminal as it was, so that the shell sees its job stopped.
    fn look_at_monitor(&mut self) -> io::Result<Option<u8>> {
        loop {
            let flags = WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED;
            match waitpid(self.monitor, Some(flags)) {
                Ok(WaitStatus::Exited(_, code)) => return Ok(Some(code as u8)),
                Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(Some(128 + signal as u8)),
                Ok(WaitStatus::Stopped(..)) => {
                    self.pass_output()?;
                    self.modes.leave();
                    raise(Signal::SIGSTOP)?;
                    self.modes.enter();
                    self.copy_window_size();
                    let _ = kill(self.monitor, Signal::SIGCONT);
                }
                Ok(_) | Err(Errno::EINTR) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn answer_signals(&mut self) -> io::Result<()> {
        while let Some(info) = self.signals.read_signal()? {
            let Ok(signal) = Signal::try_from(info.ssi_signo.cast_signed()) else {
                continue;
            };
            match signal {
                Signal::SIGCHLD => {}
                Signal::SIGWINCH => self.copy_window_size(),
                // The shell put this job in front, or behind.
                Signal::SIGCONT => self.modes.enter(),
                // What the user's terminal sends does not reach the other one by itself.
                _ => {
                    let _ = kill(self.monitor, signal);
                }
            }
        }
        Ok(())
    }

    fn copy_window_size(&self) {
        if let Ok(size) = window_size(io::stdin().as_fd()) {
            // SAFETY: a live structure that the call reads.
            unsafe { libc::ioctl(self.master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
        }
    }

    fn read_typed(&mut self) {
        let mut bytes = [0; 4096];
        // Not by `Stdin`, which reads ahead.
        match nix::unistd::read(io::stdin(), &mut bytes) {
            Ok(length) if length > 0 => self.typed.extend_from_slice(&bytes[..length]),
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            // The user's terminal is gone.
            Ok(_) | Err(_) => self.input = false,
        }
    }

    fn write_typed(&mut self) {
        if self.typed.is_empty() {
            return;
        }
        match self.master.write(&self.typed) {
            Ok(length) => drop(self.typed.drain(..length)),
            Err(error) if is_passing(&error) => {}
            Err(_) => self.typed.clear(),
        }
    }

    /// Passes on what is there, and says how much; notes the end.
    fn pass_output(&mut self) -> io::Result<usize> {
        let mut bytes = [0; 16384];
        match self.master.read(&mut bytes) {
            Ok(0) => self.output = false,
            Ok(length) => {
                let mut stdout = io::stdout().lock();
                // A terminal that is gone: the command goes on, and hears of it by SIGHUP.
                let _ = stdout
                    .write_all(&bytes[..length])
                    .and_then(|()| stdout.flush());
                return Ok(length);
            }
            Err(error) if is_passing(&error) => {}
            // EIO: no slave is open.
            Err(_) => self.output = false,
        }
        Ok(0)
    }

    /// Passes on what is left when the command has ended. A slow terminal of the user's takes as long as it takes.
    fn drain(&mut self) -> io::Result<()> {
        let mut waited = Duration::ZERO;
        let mut passed = 0;
        while self.output && waited < PATIENCE && passed < LAST_WORDS {
            let length = self.pass_output()?;
            passed += length;
            if length > 0 || !self.output {
                continue;
            }
            let mut fds = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
            let before = Instant::now();
            if matches!(poll(&mut fds, PollTimeout::from(SILENCE)), Ok(0)) {
                break;
            }
            waited += before.elapsed();
        }
        Ok(())
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

fn window_size(terminal: BorrowedFd<'_>) -> io::Result<Winsize> {
    let mut size = Winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: a live structure that the call fills in.
    let result = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    Errno::result(result)?;
    Ok(size)
}
