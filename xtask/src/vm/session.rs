//! One run: boot, hand over the job, carry the streams, gather the evidence.

use super::debian::Contents;
use super::qemu::{Hardware, MODULES_DISK, ROOT_DISK};
use super::{End, Input, Outcome, Output, Root, Vm};
use super::{console, debian, disk, emulator, initramfs, qemu, terminal};
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use vm_init::frame::{self, Frame, Kind};
use vm_init::job::Job;

/// Process 1 of a Debian that is started by it.
const SYSTEMD: &str = "/usr/lib/systemd/systemd";

/// How long a machine may take to power off once its command has ended.
const POWER_OFF: Duration = Duration::from_secs(20);

/// How long process 1 may take to say that it is there. An emulated machine takes 10 s, a busy one a minute; seldom
/// one stops for good while its kernel is coming up.
const BOOT: Duration = Duration::from_secs(240);

/// How often a machine is started that stops before anything of the run has begun.
const STARTS: u32 = 2;

/// How soon the VM hears that the caller's terminal changed its size.
const RESIZE_SEEN: Duration = Duration::from_millis(300);

/// Ctrl-] on the caller's terminal ends the VM, also one that hangs.
const ESCAPE: u8 = 0x1d;

pub(super) fn run(vm: &Vm, argv: Vec<OsString>) -> Result<Outcome> {
    for _ in 1..STARTS {
        let outcome = run_once(vm, argv.clone())?;
        if outcome.end != End::TimedOut(BOOT) {
            return Ok(outcome);
        }
        eprintln!(
            "{} did not start within {} s, before anything of Bailiff was in it: started again",
            vm.kernel.release,
            BOOT.as_secs()
        );
    }
    run_once(vm, argv)
}

fn run_once(vm: &Vm, argv: Vec<OsString>) -> Result<Outcome> {
    let folder = Scratch::new()?;
    let (image, log) = (folder.path.join("initramfs"), folder.path.join("console"));
    fs::write(&image, initramfs::make(vm)?)?;
    fs::write(&log, "")?;
    let root = match vm.root {
        Root::Minimal => None,
        Root::Debian | Root::Systemd => Some(debian::image(Contents::Plain)?),
        Root::Agents => Some(debian::image(Contents::Agents)?),
    };
    let modules = disk::modules(&vm.kernel)?;
    let hardware = Hardware {
        processors: emulator::processors(vm.processors, vm.accelerator)?,
        initramfs: &image,
        console: &log,
        root: root.as_deref(),
        modules: &modules,
    };
    let job = Job {
        root: root.is_some().then(|| ROOT_DISK.into()),
        modules: Some(MODULES_DISK.into()),
        argv,
        env: vm.env.clone(),
        init: (vm.root == Root::Systemd).then(|| SYSTEMD.into()),
        terminal: (vm.input == Input::Terminal).then(terminal::size),
    };
    let started = Instant::now();
    let (machine, port) = qemu::start(vm, &hardware)?;
    let mut machine = Machine { child: machine };
    let follower = vm.show_console.then(|| follow(&log));
    let mut progress = Progress::new(vm, started);
    let end = progress.carry(port, &job)?;
    if matches!(end, End::Exited(_) | End::NotStarted) {
        machine.wait_for_power_off();
    }
    machine.end();
    if let Some(follower) = follower {
        follower.stop();
    }
    let console = console::clean(&fs::read(&log)?);
    let end = if end == End::Died && console::panicked(&console) {
        End::Panicked
    } else {
        end
    };
    Ok(Outcome {
        end,
        stdout: progress.stdout,
        findings: console::findings(&console),
        console,
        boot: progress.boot,
        failure: progress.failure,
    })
}

struct Progress<'a> {
    vm: &'a Vm,
    started: Instant,
    boot: Option<Duration>,
    /// Whether process 1 said that it is there.
    is_up: bool,
    stdout: Vec<u8>,
    /// Of standard error and standard output.
    lines: [Lines; 2],
    failure: Option<String>,
    /// Kept so that the terminal is restored when the run ends, however it ends.
    raw_mode: Option<terminal::RawMode>,
}

impl<'a> Progress<'a> {
    fn new(vm: &'a Vm, started: Instant) -> Progress<'a> {
        Progress {
            vm,
            started,
            boot: None,
            is_up: false,
            stdout: Vec::new(),
            lines: Default::default(),
            failure: None,
            raw_mode: None,
        }
    }

    fn carry(&mut self, mut port: UnixStream, job: &Job) -> Result<End> {
        let frames = receive_in_background(port.try_clone()?);
        let end = loop {
            let frame = match self.next_frame(&frames) {
                Ok(Some(frame)) => frame,
                Ok(None) => break End::Died,
                Err(end) => break end,
            };
            self.is_up = true;
            match frame.kind {
                Kind::Ready => frame::send(&mut port, Kind::Job, &job.encode())?,
                Kind::Started => self.started(&port)?,
                Kind::Stdout | Kind::Stderr => self.output(&frame)?,
                Kind::Exit => {
                    let code = frame
                        .payload
                        .first_chunk::<4>()
                        .context("short exit status")?;
                    break End::Exited(i32::from_le_bytes(*code));
                }
                Kind::Failed => {
                    self.failure = Some(String::from_utf8_lossy(&frame.payload).into_owned());
                    break End::NotStarted;
                }
                other => anyhow::bail!("unexpected frame {other:?} from the VM"),
            }
        };
        self.raw_mode = None;
        if let Output::Lines(prefix) = &self.vm.output {
            self.lines.iter_mut().for_each(|lines| lines.finish(prefix));
        }
        Ok(end)
    }

    fn next_frame(&self, frames: &Receiver<Frame>) -> Result<Option<Frame>, End> {
        let up = (!self.is_up).then_some(BOOT);
        let Some(timeout) = self.vm.timeout.into_iter().chain(up).min() else {
            return Ok(frames.recv().ok());
        };
        let left = timeout.saturating_sub(self.started.elapsed());
        match frames.recv_timeout(left) {
            Ok(frame) => Ok(Some(frame)),
            Err(RecvTimeoutError::Timeout) => Err(End::TimedOut(timeout)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
        }
    }

    fn started(&mut self, port: &UnixStream) -> Result<()> {
        self.boot = Some(self.started.elapsed());
        if self.vm.input == Input::Nothing {
            return Ok(frame::send(&mut &*port, Kind::Stdin, &[])?);
        }
        let is_terminal = self.vm.input == Input::Terminal;
        if is_terminal {
            self.raw_mode = Some(terminal::RawMode::enter()?);
        }
        send_input_in_background(port.try_clone()?, is_terminal);
        Ok(())
    }

    fn output(&mut self, frame: &Frame) -> Result<()> {
        let is_stdout = frame.kind == Kind::Stdout;
        match &self.vm.output {
            Output::Stream if is_stdout => {
                let mut stream = io::stdout();
                stream.write_all(&frame.payload)?;
                stream.flush()?;
            }
            Output::Kept if is_stdout => self.stdout.extend_from_slice(&frame.payload),
            Output::Stream | Output::Kept => io::stderr().write_all(&frame.payload)?,
            Output::Lines(prefix) => {
                self.lines[usize::from(is_stdout)].show(prefix, &frame.payload);
                if is_stdout {
                    self.stdout.extend_from_slice(&frame.payload);
                }
            }
        }
        Ok(())
    }
}

/// Shows output line by line, so that machines that run side by side do not mix theirs.
#[derive(Default)]
struct Lines {
    unfinished: Vec<u8>,
}

impl Lines {
    fn show(&mut self, prefix: &str, piece: &[u8]) {
        self.unfinished.extend_from_slice(piece);
        while let Some(end) = self.unfinished.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.unfinished.drain(..=end).collect();
            print!("{prefix}{}", String::from_utf8_lossy(&line));
        }
    }

    fn finish(&mut self, prefix: &str) {
        if !self.unfinished.is_empty() {
            self.show(prefix, b"\n");
        }
    }
}

/// Frames as they come; the channel closes when QEMU ends or the stream is corrupt.
fn receive_in_background(mut port: UnixStream) -> Receiver<Frame> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        while let Ok(Some(frame)) = frame::receive(&mut port) {
            if sender.send(frame).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Ends with the process: a read from standard input cannot be called off.
fn send_input_in_background(mut port: UnixStream, is_terminal: bool) {
    std::thread::spawn(move || {
        let mut size = terminal::size();
        let mut piece = vec![0; 16 << 10];
        loop {
            while is_terminal && !terminal::has_input(RESIZE_SEEN) {
                let now = terminal::size();
                if now != std::mem::replace(&mut size, now) {
                    let payload = [now.0.to_le_bytes(), now.1.to_le_bytes()].concat();
                    let _ = frame::send(&mut port, Kind::WindowSize, &payload);
                }
            }
            let length = io::stdin().read(&mut piece).unwrap_or(0);
            if is_terminal && piece[..length].contains(&ESCAPE) {
                let _ = port.shutdown(Shutdown::Both);
                return;
            }
            if frame::send(&mut port, Kind::Stdin, &piece[..length]).is_err() || length == 0 {
                return;
            }
        }
    });
}

/// QEMU; ended with this value.
struct Machine {
    child: Child,
}

impl Machine {
    fn wait_for_power_off(&mut self) {
        let until = Instant::now() + POWER_OFF;
        while Instant::now() < until {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.end();
    }
}

/// Copies the console's log to standard error while it grows.
struct Follower {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

fn follow(log: &Path) -> Follower {
    let stop = Arc::new(AtomicBool::new(false));
    let (path, stopped) = (log.to_owned(), Arc::clone(&stop));
    let thread = std::thread::spawn(move || {
        let Ok(mut log) = File::open(path) else {
            return;
        };
        loop {
            // Looked at before reading, so that the last lines are read after the end.
            let is_last = stopped.load(Ordering::Acquire);
            let mut piece = Vec::new();
            if log.read_to_end(&mut piece).is_ok() && !piece.is_empty() {
                eprint!("{}", console::clean(&piece));
            }
            if is_last {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    Follower { stop, thread }
}

impl Follower {
    fn stop(self) {
        self.stop.store(true, Ordering::Release);
        let _ = self.thread.join();
    }
}

/// A folder for one run, removed with this value.
struct Scratch {
    path: PathBuf,
}

const SCRATCH: &str = "bailiff-vm-";

impl Scratch {
    fn new() -> Result<Scratch> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{SCRATCH}{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        remove_abandoned();
        fs::create_dir(&path).with_context(|| format!("create {}", path.display()))?;
        Ok(Scratch { path })
    }
}

/// Removes the folders of processes that were killed.
fn remove_abandoned() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name
            .to_str()
            .and_then(|name| name.strip_prefix(SCRATCH)?.split('-').next());
        if let Some(owner) = owner
            && !Path::new("/proc").join(owner).exists()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
