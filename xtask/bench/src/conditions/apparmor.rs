use anyhow::{Context, Result};
use std::fmt::Write;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::{fs, io};

use super::{Reach, Subject};
use crate::ground::{TREE, other};

/// In a profile of so many file rules.
pub(super) fn measure<F>(subject: &Subject<F>, rules: u32) -> Result<Vec<F>> {
    let name = format!("bench-{rules}");
    load(&name, &profile(&name, rules, subject.reach)?)?;
    let mut command = subject.worker()?;
    let change = format!("exec {name}");
    // SAFETY: one write between `fork` and `execve`, without memory of its own.
    unsafe { command.pre_exec(move || change_at_exec(&change)) };
    (subject.measure)(command)
}

fn change_at_exec(change: &str) -> io::Result<()> {
    fs::write("/proc/thread-self/attr/apparmor/exec", change)
}

/// The same as the grant of that size: what is needed, denied names (a fifth), directories.
fn profile(name: &str, rules: u32, reach: Reach) -> Result<String> {
    let denials = rules / 5;
    let mut text = format!("profile {name} {{\n  network inet stream,\n  {TREE}/** rwlkmix,\n");
    for number in 0..denials {
        writeln!(text, "  deny /**/.secret-{number:03} rwlkmx,")?;
    }
    if reach == Reach::Programs {
        text += "  capability,\n  network unix,\n";
    }
    for directory in reach.readable() {
        writeln!(text, "  {directory}/** rmix,")?;
    }
    for directory in reach.writable() {
        writeln!(text, "  {directory}/** rw,")?;
    }
    for number in 0..rules - denials - reach.patterns() {
        writeln!(text, "  {}/** r,", other(number))?;
    }
    text += "}\n";
    Ok(text)
}

fn load(name: &str, profile: &str) -> Result<()> {
    let path = format!("/root/{name}.apparmor");
    fs::write(&path, profile)?;
    let status = Command::new("apparmor_parser")
        .args(["--replace", "--skip-cache", &path])
        .status()
        .context("run apparmor_parser")?;
    anyhow::ensure!(status.success(), "apparmor_parser refused {path}");
    Ok(())
}
