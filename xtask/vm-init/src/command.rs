//! Runs the job's command and carries its streams over the port until it ends.

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, read, setsid, write};
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use vm_init::frame::{self, Assembler, Kind};
use vm_init::job::Job;

nix::ioctl_write_ptr_bad!(set_window_size, libc::TIOCSWINSZ, Winsize);

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Input that waits for the command; while there is more, the port is not read.
const INPUT_WAITING: usize = 64 << 10;
const PIECE: usize = 64 << 10;

/// Our ends of the command's streams. On a terminal, input and output are the same descriptor.
struct Streams {
    input: Option<OwnedFd>,
    output: Option<OwnedFd>,
    error: Option<OwnedFd>,
    is_terminal: bool,
}

pub(crate) fn run(port: &mut File, job: &Job) -> Result<i32> {
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    mask.thread_block()?;
    let children = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    let (child, streams) = start(job)?;
    Session {
        port,
        child,
        streams,
        waiting: Vec::new(),
        input_ended: false,
    }
    .carry(&children)
}

fn start(job: &Job) -> Result<(Pid, Streams)> {
    let shell = shell(job.terminal.is_some());
    let argv = if job.argv.is_empty() {
        shell.as_slice()
    } else {
        job.argv.as_slice()
    };
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]).current_dir("/root").env_clear();
    command.envs([
        ("PATH", PATH),
        ("HOME", "/root"),
        ("USER", "root"),
        ("LOGNAME", "root"),
    ]);
    command.envs([("LANG", "C.UTF-8"), ("SHELL", "/bin/sh")]);
    command.envs(job.env.iter().map(|(key, value)| (key, value)));
    let streams = match job.terminal {
        Some(size) => on_terminal(&mut command, size)?,
        None => on_pipes(&mut command)?,
    };
    // SAFETY: sigprocmask(2) is async-signal-safe.
    unsafe {
        // With SIGCHLD held back, as here, some programs never learn that a child ended.
        command.pre_exec(|| Ok(SigSet::empty().thread_set_mask()?));
    }
    let child = command
        .spawn()
        .with_context(|| format!("start {}", argv[0].display()))?;
    Ok((Pid::from_raw(child.id().cast_signed()), streams))
}

fn shell(is_interactive: bool) -> Vec<OsString> {
    let paths = ["/bin/bash", "/bin/sh"];
    let found = paths.into_iter().find(|path| Path::new(path).exists());
    let mut argv = vec![found.unwrap_or("/bin/sh").into()];
    if is_interactive {
        argv.push("-i".into());
    }
    argv
}

fn on_pipes(command: &mut Command) -> Result<Streams> {
    let (stdin, input) = std::io::pipe()?;
    let (output, stdout) = std::io::pipe()?;
    let (error, stderr) = std::io::pipe()?;
    command.stdin(stdin).stdout(stdout).stderr(stderr);
    // SAFETY: setsid(2) is async-signal-safe and touches no memory.
    unsafe {
        command.pre_exec(|| {
            setsid()?;
            Ok(())
        });
    }
    let streams = Streams {
        input: Some(input.into()),
        output: Some(output.into()),
        error: Some(error.into()),
        is_terminal: false,
    };
    for end in [&streams.input, &streams.output, &streams.error]
        .into_iter()
        .flatten()
    {
        do_not_block(end)?;
    }
    Ok(streams)
}

fn on_terminal(command: &mut Command, (rows, columns): (u16, u16)) -> Result<Streams> {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let pty = openpty(Some(&size), None)?;
    let slave = || pty.slave.try_clone().map(Stdio::from);
    command.stdin(slave()?).stdout(slave()?).stderr(slave()?);
    // SAFETY: setsid(2) and ioctl(2) are async-signal-safe; descriptor 0 is the terminal.
    unsafe {
        command.pre_exec(|| {
            setsid()?;
            Errno::result(libc::ioctl(0, libc::TIOCSCTTY, 0))?;
            Ok(())
        });
    }
    do_not_block(&pty.master)?;
    let input = pty.master.try_clone()?;
    Ok(Streams {
        input: Some(input),
        output: Some(pty.master),
        error: None,
        is_terminal: true,
    })
}

fn do_not_block(end: &OwnedFd) -> Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(end, FcntlArg::F_GETFL)?);
    fcntl(end, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    fcntl(end, FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))?;
    Ok(())
}

/// Which of the polled descriptors has something for us.
#[derive(Default)]
struct Wake {
    port: bool,
    child: bool,
    output: bool,
    error: bool,
    input: bool,
}

struct Session<'a> {
    port: &'a mut File,
    child: Pid,
    streams: Streams,
    /// Input that the command has not taken yet.
    waiting: Vec<u8>,
    input_ended: bool,
}

impl Session<'_> {
    fn carry(mut self, children: &SignalFd) -> Result<i32> {
        let mut assembler = Assembler::default();
        loop {
            let wake = self.wait(children)?;
            if wake.output {
                self.forward(Kind::Stdout)?;
            }
            if wake.error {
                self.forward(Kind::Stderr)?;
            }
            if wake.input {
                self.feed();
            }
            if wake.port {
                self.obey(&mut assembler)?;
            }
            if wake.child {
                while children.read_signal()?.is_some() {}
                if let Some(code) = self.reap()? {
                    // What the command wrote before it ended is in the pipes now.
                    while self.forward(Kind::Stdout)? {}
                    while self.forward(Kind::Stderr)? {}
                    return Ok(code);
                }
            }
        }
    }

    fn wait(&self, children: &SignalFd) -> Result<Wake> {
        const READ: PollFlags = PollFlags::POLLIN;
        let mut wake = Wake::default();
        let mut fds: Vec<(PollFd<'_>, &mut bool)> = Vec::with_capacity(5);
        let mut watch = |fd: BorrowedFd<'_>, flags, flag| {
            // SAFETY: every descriptor polled lives as long as `self` and `children`.
            let fd = unsafe { BorrowedFd::borrow_raw(fd.as_raw_fd()) };
            fds.push((PollFd::new(fd, flags), flag));
        };
        watch(children.as_fd(), READ, &mut wake.child);
        if self.waiting.len() < INPUT_WAITING {
            watch(self.port.as_fd(), READ, &mut wake.port);
        }
        if let Some(output) = &self.streams.output {
            watch(output.as_fd(), READ, &mut wake.output);
        }
        if let Some(error) = &self.streams.error {
            watch(error.as_fd(), READ, &mut wake.error);
        }
        if let Some(input) = &self.streams.input
            && !self.waiting.is_empty()
        {
            watch(input.as_fd(), PollFlags::POLLOUT, &mut wake.input);
        }
        let mut polled: Vec<PollFd<'_>> = fds.iter().map(|(fd, _)| fd.clone()).collect();
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(Wake::default()),
            Err(error) => return Err(error.into()),
        }
        for (polled, (_, flag)) in polled.iter().zip(&mut fds) {
            **flag = polled.revents().is_some_and(|events| !events.is_empty());
        }
        drop(fds);
        Ok(wake)
    }

    /// Sends one piece of output to the host; false when there is none now.
    fn forward(&mut self, kind: Kind) -> Result<bool> {
        let slot = match kind {
            Kind::Stderr => &mut self.streams.error,
            _ => &mut self.streams.output,
        };
        let Some(fd) = slot else { return Ok(false) };
        let mut piece = vec![0; PIECE];
        match read(&*fd, &mut piece) {
            Ok(0) => *slot = None,
            Ok(length) => {
                frame::send(self.port, kind, &piece[..length])?;
                return Ok(true);
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            // A terminal gives EIO once nobody has it open any more.
            Err(_) => *slot = None,
        }
        Ok(false)
    }

    fn feed(&mut self) {
        if let Some(input) = &self.streams.input {
            match write(input, &self.waiting) {
                Ok(length) => {
                    self.waiting.drain(..length);
                }
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                // Nobody reads it: drop it, as a shell's pipe would.
                Err(_) => {
                    self.waiting.clear();
                    self.streams.input = None;
                }
            }
        }
        if self.input_ended && self.waiting.is_empty() && !self.streams.is_terminal {
            self.streams.input = None;
        }
    }

    fn obey(&mut self, assembler: &mut Assembler) -> Result<()> {
        let mut piece = vec![0; PIECE];
        let length = self.port.read(&mut piece)?;
        anyhow::ensure!(length > 0, "the host hung up");
        assembler.push(&piece[..length]);
        while let Some(frame) = assembler.next_frame()? {
            match frame.kind {
                Kind::Stdin if frame.payload.is_empty() => self.input_ended = true,
                Kind::Stdin => self.waiting.extend_from_slice(&frame.payload),
                Kind::WindowSize => self.resize(&frame.payload),
                other => anyhow::bail!("unexpected frame {other:?} from the host"),
            }
        }
        if self.streams.input.is_none() {
            self.waiting.clear();
        }
        if self.input_ended {
            self.feed();
        }
        Ok(())
    }

    fn resize(&self, payload: &[u8]) {
        let (Some(output), Some(sizes)) = (&self.streams.output, payload.first_chunk::<4>()) else {
            return;
        };
        let size = Winsize {
            ws_row: u16::from_le_bytes([sizes[0], sizes[1]]),
            ws_col: u16::from_le_bytes([sizes[2], sizes[3]]),
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        // SAFETY: the descriptor is open and the size is initialised.
        let _ = unsafe { set_window_size(output.as_raw_fd(), &raw const size) };
    }

    /// Reaps every child that ended, our own and orphans; the command's exit code if it ended.
    fn reap(&self) -> Result<Option<i32>> {
        let mut code = None;
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, status)) if pid == self.child => code = Some(status),
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == self.child => {
                    code = Some(128 + signal as i32);
                }
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(code),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
