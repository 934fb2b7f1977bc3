//! Runs a command on a real Debian kernel in QEMU.
//!
//! ```ignore
//! let outcome = Vm::new(kernel::get("6.12")?).root(Root::Debian).run(&["uname", "-a"])?;
//! ```

mod console;
mod cpio;
mod debian;
mod disk;
mod emulator;
mod initramfs;
mod qemu;
mod session;
mod terminal;

pub(crate) use debian::{Contents, forget_agents, image as debian_image};
pub(crate) use emulator::update as update_emulator;

use crate::kernel::Kernel;
use anyhow::{Context, Result, bail};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

/// Where `bailiff` and the grants that ship are in a VM, as on a machine that has them installed.
const BAILIFF: &str = "/usr/bin/bailiff";
const GRANTS: &str = "/etc/bailiff/grants";

/// The userland that the command finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Root {
    /// Busybox and the files copied in, in memory.
    Minimal,
    /// A Debian with git, Python, Node.js and a C compiler, on a disk that forgets every change.
    Debian,
    /// The same with systemd as process 1; the command runs beside it, once it is up.
    Systemd,
    /// `debian` with codex, Claude Code and Chromium.
    Agents,
}

/// What the command's standard input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Nothing,
    /// The caller's standard input, as bytes.
    Pipe,
    /// The caller's terminal; the command gets one of its own.
    Terminal,
}

/// Where the command's output goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// To the caller's standard output and error, byte by byte as it comes.
    Stream,
    /// Line by line to the caller's standard output after this prefix, for machines that run side
    /// by side. The command's standard output is also kept in the [`Outcome`].
    Lines(String),
    /// Standard output is only kept in the [`Outcome`]; standard error goes to the caller's.
    Kept,
}

/// What QEMU runs the guest's instructions on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Accelerator {
    /// Software emulation: works everywhere.
    Tcg,
    /// The processor itself, where the machine lets it.
    Kvm,
}

/// A virtual machine that is about to run one command.
pub(crate) struct Vm {
    kernel: Kernel,
    root: Root,
    copies: Vec<(PathBuf, PathBuf)>,
    append: Vec<String>,
    env: Vec<(OsString, OsString)>,
    timeout: Option<Duration>,
    memory: u32,
    processors: u32,
    accelerator: Accelerator,
    qemu_arguments: Vec<OsString>,
    input: Input,
    output: Output,
    show_console: bool,
}

/// How the run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The command ended with this code; 128 + N for signal N.
    Exited(i32),
    TimedOut(Duration),
    Panicked,
    /// QEMU ended, or the VM powered off, before the command's status arrived.
    Died,
    /// Process 1 of the VM could not prepare the root or start the command.
    NotStarted,
}

pub(crate) struct Outcome {
    pub(crate) end: End,
    /// What the command wrote to its standard output, if it was to be captured.
    pub(crate) stdout: Vec<u8>,
    /// Everything that the kernel wrote to its console.
    pub(crate) console: String,
    /// Lines in which the kernel reported a defect of its own: WARNING, BUG, Oops and the like.
    pub(crate) findings: Vec<String>,
    /// From the start of QEMU to the start of the command.
    pub(crate) boot: Option<Duration>,
    /// Why process 1 gave up.
    pub(crate) failure: Option<String>,
}

impl Outcome {
    /// What went wrong with the machine itself, in a few lines; none if only the command can have
    /// failed.
    pub(crate) fn machine_error(&self) -> Option<String> {
        let tail = || {
            format!(
                "the console's last lines:\n{}",
                console::tail(&self.console, 30)
            )
        };
        match self.end {
            End::TimedOut(after) => Some(format!(
                "the VM did not finish within {after:?}; {}",
                tail()
            )),
            End::Panicked => Some(format!("the kernel panicked; {}", tail())),
            End::Died => Some(format!("the VM ended before the command did; {}", tail())),
            End::NotStarted => {
                let why = self.failure.as_deref().unwrap_or("no reason given");
                Some(format!("the VM could not run the command: {why}"))
            }
            End::Exited(_) if !self.findings.is_empty() => Some(format!(
                "the kernel reported a defect of its own:\n  {}\nthe first, and what stands around it:\n{}",
                self.findings.join("\n  "),
                console::around(&self.console, &self.findings[0])
            )),
            End::Exited(_) => None,
        }
    }
}

impl Vm {
    pub(crate) fn new(kernel: Kernel) -> Vm {
        Vm {
            kernel,
            root: Root::Minimal,
            copies: Vec::new(),
            append: Vec::new(),
            env: Vec::new(),
            timeout: Some(Duration::from_secs(300)),
            memory: 2048,
            processors: 2,
            accelerator: Accelerator::Tcg,
            qemu_arguments: Vec::new(),
            input: Input::Nothing,
            output: Output::Stream,
            show_console: false,
        }
    }

    pub(crate) fn root(mut self, root: Root) -> Vm {
        self.root = root;
        self
    }

    /// Puts a file or folder of the host at an absolute path of the VM.
    pub(crate) fn copy(mut self, from: impl Into<PathBuf>, to: impl Into<PathBuf>) -> Vm {
        self.copies.push((from.into(), to.into()));
        self
    }

    /// Installs `bailiff` and the grants that ship.
    pub(crate) fn install(self, bailiff: impl Into<PathBuf>) -> Vm {
        let grants = crate::paths::workspace().join("policies");
        self.copy(bailiff, BAILIFF).copy(grants, GRANTS)
    }

    /// Adds to the kernel's command line; later words win over the ones given by default.
    pub(crate) fn append(mut self, words: impl Into<String>) -> Vm {
        self.append.push(words.into());
        self
    }

    pub(crate) fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Vm {
        self.env
            .push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// For the whole run, boot included; none means forever.
    pub(crate) fn timeout(mut self, timeout: Option<Duration>) -> Vm {
        self.timeout = timeout;
        self
    }

    pub(crate) fn memory(mut self, mebibytes: u32) -> Vm {
        self.memory = mebibytes;
        self
    }

    pub(crate) fn processors(mut self, processors: u32) -> Vm {
        self.processors = processors;
        self
    }

    pub(crate) fn accelerator(mut self, accelerator: Accelerator) -> Vm {
        self.accelerator = accelerator;
        self
    }

    /// Further arguments for QEMU, such as `-icount`.
    pub(crate) fn qemu_arguments(
        mut self,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Vm {
        self.qemu_arguments
            .extend(arguments.into_iter().map(Into::into));
        self
    }

    pub(crate) fn input(mut self, input: Input) -> Vm {
        self.input = input;
        self
    }

    pub(crate) fn output(mut self, output: Output) -> Vm {
        self.output = output;
        self
    }

    /// Shows the kernel's console on the caller's standard error, as it comes.
    pub(crate) fn show_console(mut self, show: bool) -> Vm {
        self.show_console = show;
        self
    }

    /// Boots, runs the command (an interactive shell if it is empty) and powers off.
    pub(crate) fn run<A: AsRef<OsStr>>(&self, argv: &[A]) -> Result<Outcome> {
        crate::tools::need(crate::tools::VM)?;
        for (from, to) in &self.copies {
            if !to.is_absolute() {
                bail!(
                    "{}: the place in the VM must be an absolute path",
                    to.display()
                );
            }
            from.symlink_metadata()
                .with_context(|| format!("copy {}", from.display()))?;
        }
        let argv = argv
            .iter()
            .map(|argument| argument.as_ref().to_owned())
            .collect();
        session::run(self, argv)
    }
}
