//! The tree that tasks work on: a checkout of C files in directories, on the tmpfs of the ground.

use anyhow::{Context, Result, ensure};
use bailiff_bench::WORK_FILES;
use std::fmt::Write;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::tasks::command;

pub(super) const PROJECT: &str = "/b/home/user/project";
/// `HOME` of tasks.
pub(super) const HOME: &str = "/b/home/user";
/// For what tasks make.
pub(super) const SCRATCH: &str = "/b/tmp";

const FILES_OF_A_DIRECTORY: u32 = 20;

pub(super) fn prepare() -> Result<()> {
    fs::create_dir_all(SCRATCH)?;
    for number in 0..WORK_FILES {
        let directory =
            Path::new(PROJECT).join(format!("src/area-{:02}", number / FILES_OF_A_DIRECTORY));
        fs::create_dir_all(&directory)?;
        let path = directory.join(format!("file-{number:03}.c"));
        fs::write(&path, source(number)?)?;
        // Before what git writes, or it would read each file again to be sure.
        let past = SystemTime::now() - Duration::from_secs(3600);
        File::options()
            .write(true)
            .open(&path)?
            .set_modified(past)?;
    }
    for arguments in [
        &["init", "--quiet"][..],
        &["add", "."],
        &[
            "-c",
            "user.name=x",
            "-c",
            "user.email=x@example.org",
            "commit",
            "--quiet",
            "-m",
            "x",
        ],
    ] {
        let status = command("git", arguments).status().context("run git")?;
        ensure!(status.success(), "git {arguments:?} ended with {status}");
    }
    Ok(())
}

/// About two kilobytes that compile.
fn source(number: u32) -> Result<String> {
    let mut text = String::from("#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n\n");
    for function in 0..12 {
        writeln!(
            text,
            "int function_{number}_{function}(const char *text, int count)\n{{\n    \
             int sum = {function};\n    for (int at = 0; at < count; at++)\n        \
             sum += text[at] * (at + {number});\n    return sum;\n}}\n"
        )?;
    }
    Ok(text)
}
