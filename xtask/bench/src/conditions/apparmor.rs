use anyhow::{Context, Result};
use std::fmt::Write;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::{fs, io};

use super::{Measured, read, worker};
use crate::ground::{TREE, other};

/// In a profile of so many file rules.
pub(super) fn measure(rules: u32) -> Result<Vec<Measured>> {
    let name = format!("bench-{rules}");
    load(&name, &profile(&name, rules)?)?;
    let mut command = worker(&["cells"]);
    let change = format!("exec {name}");
    // SAFETY: one write between `fork` and `execve`, without memory of its own.
    unsafe { command.pre_exec(move || change_at_exec(&change)) };
    read(&mut command)
}

fn change_at_exec(change: &str) -> io::Result<()> {
    fs::write("/proc/thread-self/attr/apparmor/exec", change)
}

/// The same as the grant of that size: the tree, denied names (a fifth), directories.
fn profile(name: &str, rules: u32) -> Result<String> {
    let denials = rules / 5;
    let mut text = format!("profile {name} {{\n  network inet stream,\n  {TREE}/** rwlkmix,\n");
    for number in 0..denials {
        writeln!(text, "  deny /**/.secret-{number:03} rwlkmx,")?;
    }
    for number in 0..rules - denials - 1 {
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
