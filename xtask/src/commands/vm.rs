use crate::build::{self, Profile};
use crate::kernel;
use crate::vm::{Accelerator, End, Input, Root, Vm};
use anyhow::{Result, anyhow};
use clap::Args;
use std::ffi::OsString;
use std::io::{IsTerminal, stdin};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Run a command on a real Debian kernel in QEMU, or open a shell there.
///
/// The command runs as root, with its output and its exit code passed through. `bailiff` is at
/// /usr/bin/bailiff, with the shipped grants in /etc/bailiff/grants. Without a command there is an
/// interactive shell; Ctrl-] ends a VM that hangs.
///
/// Exit codes of its own: 124 when the time is up, 125 when the VM or the kernel failed: a panic,
/// or a WARNING, BUG, Oops or stall in the kernel's log.
#[derive(Args)]
pub(crate) struct Run {
    /// A series such as 6.1, a version such as 6.12.117, or `newest`.
    #[arg(long, default_value = "6.12")]
    kernel: String,
    /// The userland.
    #[arg(long, value_enum, default_value = "minimal")]
    root: Root,
    /// Add to the kernel's command line, such as "lsm=landlock,bpf"; wins over the defaults.
    #[arg(long, value_name = "WORDS")]
    append: Vec<String>,
    /// Put a file or folder of this machine at an absolute path of the VM.
    #[arg(long, value_name = "SRC:DST", value_parser = copy)]
    copy: Vec<(PathBuf, PathBuf)>,
    /// Set an environment variable for the command.
    #[arg(long, value_name = "KEY=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// End the VM after so many seconds; 0 means never. A shell is not limited by default.
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Memory in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 2048)]
    memory: u32,
    /// Processors.
    #[arg(long, value_name = "N", default_value_t = 2)]
    smp: u32,
    /// Do not build and install `bailiff`.
    #[arg(long)]
    no_bailiff: bool,
    /// Install an optimised `bailiff`.
    #[arg(long)]
    release: bool,
    /// Use the processor's virtualisation, where it works; otherwise instructions are emulated.
    #[arg(long)]
    kvm: bool,
    /// Give the command a terminal; a shell gets one where there is one.
    #[arg(long, short)]
    terminal: bool,
    /// Do not pass standard input to the command.
    #[arg(long, short)]
    no_input: bool,
    /// Do not fail when the kernel's log holds a WARNING, BUG, Oops or stall.
    #[arg(long)]
    ignore_log: bool,
    /// Show the kernel's console on standard error.
    #[arg(long, short)]
    verbose: bool,
    /// Further argument for QEMU.
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    qemu: Vec<OsString>,
    /// The command and its arguments.
    #[arg(last = true)]
    command: Vec<OsString>,
}

impl Run {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let mut vm = Vm::new(kernel::get(&self.kernel)?)
            .root(self.root)
            .memory(self.memory)
            .processors(self.smp)
            .timeout(self.time_limit())
            .accelerator(if self.kvm {
                Accelerator::Kvm
            } else {
                Accelerator::Tcg
            })
            .qemu_arguments(self.qemu.iter().cloned())
            .input(self.input())
            .show_console(self.verbose);
        if !self.no_bailiff {
            let bailiff = build::bailiff(Profile::release(self.release));
            vm = vm.install(build::static_binary_for_vm(&bailiff)?);
        }
        for (from, to) in &self.copy {
            vm = vm.copy(from, to);
        }
        for words in &self.append {
            vm = vm.append(words);
        }
        if let Some(term) = std::env::var_os("TERM") {
            vm = vm.env("TERM", term);
        }
        for (key, value) in &self.env {
            vm = vm.env(key, value);
        }
        let outcome = vm.run(&self.command)?;
        if self.verbose
            && let Some(boot) = outcome.boot
        {
            eprintln!("booted in {:.1} s", boot.as_secs_f64());
        }
        let is_only_log = matches!(outcome.end, End::Exited(_)) && self.ignore_log;
        if let Some(error) = outcome.machine_error()
            && !is_only_log
        {
            eprintln!("error: {error}");
            let is_late = matches!(outcome.end, End::TimedOut(_));
            return Ok(ExitCode::from(if is_late { 124 } else { 125 }));
        }
        let End::Exited(code) = outcome.end else {
            return Err(anyhow!("no exit status"));
        };
        Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
    }

    fn input(&self) -> Input {
        if self.terminal || (self.command.is_empty() && stdin().is_terminal()) {
            Input::Terminal
        } else if self.no_input || (stdin().is_terminal() && !self.command.is_empty()) {
            Input::Nothing
        } else {
            Input::Pipe
        }
    }

    fn time_limit(&self) -> Option<Duration> {
        let default = if self.input() == Input::Terminal {
            0
        } else {
            300
        };
        match self.timeout.unwrap_or(default) {
            0 => None,
            seconds => Some(Duration::from_secs(seconds)),
        }
    }
}

fn copy(text: &str) -> Result<(PathBuf, PathBuf)> {
    let (from, to) = text
        .rsplit_once(':')
        .ok_or_else(|| anyhow!("expected SRC:DST"))?;
    if !to.starts_with('/') {
        return Err(anyhow!("DST must be an absolute path"));
    }
    Ok((from.into(), to.into()))
}

fn variable(text: &str) -> Result<(String, String)> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| anyhow!("expected KEY=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
}
