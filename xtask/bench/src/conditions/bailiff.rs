use anyhow::{Context, Result, bail, ensure};
use aya_obj::generated::bpf_prog_type::BPF_PROG_TYPE_LSM;
use std::fmt::Write;
use std::fs;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{CGROUP, Measured, read, worker};
use crate::{
    ground::{TREE, other},
    operations::PORT,
};

const BAILIFF: &str = "/usr/bin/bailiff";
const PINS: &str = "/sys/fs/bpf/bailiff";

/// `bailiff daemon`, running; ended with this value. Its programs stay, and its sessions.
///
/// It does not run while something is measured: a process more on the host makes `fork` dearer.
struct Daemon {
    child: Child,
}

impl Daemon {
    fn start() -> Result<Self> {
        let child = Command::new(BAILIFF)
            .arg("daemon")
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("start bailiff daemon")?;
        let mut daemon = Self { child };
        while !daemon.answers()? {
            if let Some(status) = daemon.child.try_wait()? {
                bail!("bailiff daemon ended with {status}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(daemon)
    }

    fn answers(&self) -> Result<bool> {
        let status = Command::new(BAILIFF)
            .args(["status", "--json"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        Ok(status.success())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Attaches Bailiff's programs, and names the LSM hooks that have one.
pub(super) fn load() -> Result<Vec<String>> {
    let _daemon = Daemon::start()?;
    let findings: serde_json::Value = read(Command::new(BAILIFF).args(["doctor", "--json"]))?;
    let hooks = findings["hooks"]
        .as_array()
        .context("`bailiff doctor` names no hooks")?;
    Ok(hooks
        .iter()
        .filter(|hook| hook["attached"] == true)
        .filter_map(|hook| hook["hook"].as_str()?.strip_prefix("lsm/"))
        .map(str::to_owned)
        .collect())
}

/// Detaches the programs from as many LSM hooks, and leaves them and the maps where they are.
pub(super) fn detach(hooks: usize) -> Result<()> {
    let before = trampolines()?;
    for build in fs::read_dir(PINS).with_context(|| format!("list {PINS}"))? {
        let build = build?;
        if !build
            .file_name()
            .as_encoded_bytes()
            .starts_with(b"programs-")
        {
            continue;
        }
        for pin in fs::read_dir(build.path())? {
            let pin = pin?;
            // Next to each link is its program.
            if !pin.file_name().as_encoded_bytes().ends_with(b"_program") {
                fs::remove_file(pin.path())?;
            }
        }
    }
    // RCU frees a pin's inode when it likes (`RCU_LAZY`: within ten seconds), and then its link.
    for _ in 0..60 {
        if trampolines()? + hooks <= before {
            return Ok(());
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    bail!("programs are still attached a minute after their pins were removed");
}

/// How many trampolines there are, by which the kernel calls programs: one for each hook that has any.
fn trampolines() -> Result<usize> {
    let symbols = fs::read_to_string("/proc/kallsyms").context("read /proc/kallsyms")?;
    Ok(symbols.matches("bpf_trampoline_").count())
}

/// In a session whose grant has so many patterns.
pub(super) fn measure(patterns: u32) -> Result<Vec<Measured>> {
    let path = format!("/root/bench-{patterns}.toml");
    fs::write(&path, grant(patterns)?)?;
    let daemon = Daemon::start()?;
    bailiff(&["tag", CGROUP, "--grant", &path])?;
    drop(daemon);
    let cells = read(&mut worker(&["cells"]));
    let _daemon = Daemon::start()?;
    bailiff(&["untag", CGROUP])?;
    cells
}

fn bailiff(arguments: &[&str]) -> Result<()> {
    let status = Command::new(BAILIFF)
        .args(arguments)
        .stdout(Stdio::null())
        .status()?;
    ensure!(
        status.success(),
        "bailiff {arguments:?} ended with {status}"
    );
    Ok(())
}

/// The tree, denials of names wherever they are (a fifth), and directories.
fn grant(patterns: u32) -> Result<String> {
    let denials = patterns / 5;
    let directories = patterns - denials - 1;
    let mut text = format!(
        "version = 1\nname = \"bench-{patterns}\"\n\n\
         [[file]]\nid = \"tree\"\n\
         allow = [\"read\", \"write\", \"create\", \"delete\", \"list\", \"exec\", \"attr\"]\n\
         path = [\"{TREE}/**\"]\n\n\
         [[net]]\nid = \"loopback\"\nallow = [\"connect\"]\nto = [\"127.0.0.1:{PORT}/tcp\"]\n\n\
         [[file]]\nid = \"secrets\"\ndeny = [\"all\"]\npath = ["
    );
    for number in 0..denials {
        write!(text, "\"/**/.secret-{number:03}\", ")?;
    }
    text += "]\n\n[[file]]\nid = \"projects\"\nallow = [\"read\", \"list\"]\npath = [";
    for number in 0..directories {
        write!(text, "\"{}/**\", ", other(number))?;
    }
    text += "]\n";
    Ok(text)
}

/// Makes the kernel count how often programs run, as long as the result lives.
pub(super) fn count_runs() -> Result<OwnedFd> {
    aya::sys::enable_stats(aya::sys::Stats::RunTime).context("let the kernel count program runs")
}

/// How often LSM programs have run.
pub(super) fn runs() -> Result<u64> {
    let mut runs = 0;
    for program in aya::programs::loaded_programs() {
        let program = program?;
        if program.program_type() == BPF_PROG_TYPE_LSM {
            runs += program.run_count();
        }
    }
    Ok(runs)
}
