use anyhow::{Context, Result, bail};
use aya_obj::generated::bpf_prog_type::BPF_PROG_TYPE_LSM;
use std::fmt::Write;
use std::fs;
use std::os::fd::OwnedFd;
use std::process::Command;
use std::time::Duration;

use super::{CGROUP, Reach, Subject};
use crate::{
    cgroup::path_of,
    daemon::{BAILIFF, Daemon, bailiff},
    ground::{TREE, other},
    operations::PORT,
    read::read,
};

const PINS: &str = "/sys/fs/bpf/bailiff";

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
///
/// The daemon does not run while something is measured: a process more on the host makes `fork` dearer.
pub(super) fn measure<F>(subject: &Subject<F>, patterns: u32) -> Result<Vec<F>> {
    let path = format!("/root/bench-{patterns}.toml");
    fs::write(&path, grant(patterns, subject.reach)?)?;
    let cgroup = path_of(CGROUP);
    let cgroup = cgroup.to_str().context("a path that is no text")?;
    let daemon = Daemon::start()?;
    bailiff(&["tag", cgroup, "--grant", &path])?;
    drop(daemon);
    let figures = subject.plain();
    let _daemon = Daemon::start()?;
    bailiff(&["untag", cgroup])?;
    figures
}

/// What is needed, denials of names wherever they are (a fifth), and directories.
fn grant(patterns: u32, reach: Reach) -> Result<String> {
    let denials = patterns / 5;
    let directories = patterns - denials - reach.patterns();
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
    for (id, rights, directories) in [
        ("programs", "\"read\", \"list\", \"exec\"", reach.readable()),
        (
            "devices",
            "\"read\", \"write\", \"ioctl\"",
            reach.writable(),
        ),
    ] {
        if directories.is_empty() {
            continue;
        }
        let paths = directories.iter().map(|path| format!("\"{path}/**\""));
        let paths = paths.collect::<Vec<_>>().join(", ");
        write!(
            text,
            "\n[[file]]\nid = \"{id}\"\nallow = [{rights}]\npath = [{paths}]\n"
        )?;
    }
    Ok(text)
}

/// Makes the kernel count how often programs run, as long as the result lives.
pub(crate) fn count_runs() -> Result<OwnedFd> {
    aya::sys::enable_stats(aya::sys::Stats::RunTime).context("let the kernel count program runs")
}

/// How often LSM programs have run.
pub(crate) fn runs() -> Result<u64> {
    let mut runs = 0;
    for program in aya::programs::loaded_programs() {
        let program = program?;
        if program.program_type() == BPF_PROG_TYPE_LSM {
            runs += program.run_count();
        }
    }
    Ok(runs)
}
