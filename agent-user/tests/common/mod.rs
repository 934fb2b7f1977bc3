//! Running `bailiff` where there is no daemon.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

pub struct Run {
    pub code: i32,
    pub out: String,
    pub err: String,
}

pub fn bailiff(args: &[&str]) -> Run {
    bailiff_in(Path::new("/"), args)
}

pub fn bailiff_in(dir: &Path, args: &[&str]) -> Run {
    bailiff_as(dir, &[("HOME", "/root"), ("USER", "root")], args)
}

/// With these variables of the environment and no others.
pub fn bailiff_as(dir: &Path, variables: &[(&str, &str)], args: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bailiff"));
    command
        .current_dir(dir)
        .args(args)
        .env_clear()
        .envs(variables.iter().copied())
        .env("BAILIFF_SOCKET", "/nonexistent/bailiff.sock");
    finish(command.output().unwrap())
}

pub fn finish(output: Output) -> Run {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run {
        code: output.status.code().unwrap(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

/// A grant in a directory of its own.
pub fn grant(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mine.toml");
    fs::write(&path, format!("version = 1\nname = \"mine\"\n{text}")).unwrap();
    (dir, path)
}

pub fn check(text: &str) -> Run {
    let (dir, _) = grant(text);
    bailiff_in(dir.path(), &["grant", "check", "mine.toml"])
}

/// Begins a grant.
pub const HEAD: &str = "version = 1\nname = \"mine\"\n";

/// Runs `bailiff grant ARGS` among files of these names and texts.
pub fn grant_among(files: &[(&str, &str)], args: &[&str]) -> Run {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    bailiff_in(dir.path(), &[&["grant"][..], args].concat())
}

pub fn json(run: &Run) -> serde_json::Value {
    serde_json::from_str(&run.out).unwrap_or_else(|error| panic!("{error}: {}{}", run.out, run.err))
}
