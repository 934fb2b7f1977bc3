//! The commands.

use anyhow::{Context, Result, ensure};
use bailiff_bench::Task;
use std::process::{Command, Stdio};

use super::tree::{HOME, PROJECT, SCRATCH};

const IMPORTS: &str =
    "import argparse, json, logging, pathlib, re, subprocess, tempfile, urllib.request";

const COPY: &str = "cp -a src \"$TMPDIR/copy\" && rm -rf \"$TMPDIR/copy\"";

const EXECS: &str = "i=0; while [ $i -lt 50 ]; do /usr/bin/true; i=$((i + 1)); done";

/// Does a task once.
pub(super) fn run(task: Task) -> Result<()> {
    let (program, arguments): (&str, &[&str]) = match task {
        Task::GitStatus => ("git", &["status", "--porcelain"]),
        // Found in no file, and none is read only in part.
        Task::Grep => ("grep", &["-r", "nowhere to be found", "src"]),
        Task::Find => ("find", &["src", "-type", "f", "-size", "+64k"]),
        Task::Tar => ("tar", &["cf", "/b/tmp/project.tar", "src"]),
        Task::Copy => ("sh", &["-c", COPY]),
        Task::Compile => (
            "gcc",
            &["-O1", "-c", "src/area-00/file-000.c", "-o", "/b/tmp/file.o"],
        ),
        // Without writing what it compiled.
        Task::Python => ("python3", &["-B", "-c", IMPORTS]),
        Task::Execs => ("sh", &["-c", EXECS]),
    };
    let output = command(program, arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("run {program}"))?;
    // `grep` says so where it found nothing.
    let expected = if task == Task::Grep { 1 } else { 0 };
    ensure!(
        output.status.code() == Some(expected) && output.stdout.is_empty(),
        "{program} {arguments:?} ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stdout)
    );
    Ok(())
}

/// In the project, with little of an environment.
pub(super) fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(PROJECT)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", HOME)
        .env("TMPDIR", SCRATCH)
        .env("LC_ALL", "C")
        .env("PYTHONHASHSEED", "0");
    command
}
