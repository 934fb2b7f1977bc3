//! Coverage-guided fuzzing on the stable tool chain.
//!
//! libFuzzer is linked in by `libfuzzer-sys`; the counters that guide it are LLVM's own pass, which
//! `-C passes` adds without nightly, cargo-fuzz or a sanitizer.

use crate::exec;
use crate::{build, paths, tools};
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::SystemTime;

const TRIPLE: &str = "x86_64-unknown-linux-gnu";

const FLAGS: [&str; 7] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cforce-frame-pointers=yes",
    "-Dwarnings",
];

/// One program of `fuzz/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Target {
    /// Grants, from text to image.
    Grant,
    /// Patterns, against the naive matcher.
    Glob,
}

impl Target {
    pub(crate) const ALL: [Target; 2] = [Target::Grant, Target::Glob];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Target::Grant => "grant",
            Target::Glob => "glob",
        }
    }

    /// Bytes of an input at most: enough for every construct, too few to spend a second on.
    fn max_len(self) -> usize {
        match self {
            Target::Grant => 2048,
            Target::Glob => 256,
        }
    }

    fn program(self) -> PathBuf {
        output().join(TRIPLE).join("release").join(self.name())
    }

    /// Inputs that are kept in the repository.
    fn corpus(self) -> PathBuf {
        folder().join("corpus").join(self.name())
    }

    /// What a run leaves behind.
    fn work(self) -> PathBuf {
        output().join("work").join(self.name())
    }
}

/// How a run ended.
pub(crate) enum Outcome {
    /// So many inputs were tried.
    Nothing(u64),
    /// An input that breaks a promise.
    Found(Finding),
}

/// An input, and what it did.
pub(crate) struct Finding {
    pub(crate) target: Target,
    input: Option<PathBuf>,
    log: PathBuf,
}

fn folder() -> PathBuf {
    paths::workspace().join("fuzz")
}

fn output() -> PathBuf {
    paths::target().join("fuzz")
}

/// Compiles every target with its counters.
pub(crate) fn build() -> Result<()> {
    let mut cargo = cargo("build")?;
    cargo.env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\x1f"));
    cargo.env_remove("RUSTFLAGS");
    exec::run(&mut cargo).context("compile the fuzz targets")
}

/// Clippy over the targets, with warnings as errors.
pub(crate) fn lints() -> Result<Command> {
    let mut clippy = cargo("clippy")?;
    clippy.args(["--", "-D", "warnings"]);
    Ok(clippy)
}

fn cargo(command: &str) -> Result<Command> {
    tools::need(tools::FUZZ)?;
    let mut cargo = build::cargo();
    cargo.current_dir(folder());
    // With `--target`, build scripts and procedural macros get none of the flags.
    cargo.args([command, "--quiet", "--release", "--locked"]);
    cargo
        .args(["--target", TRIPLE, "--target-dir"])
        .arg(output());
    Ok(cargo)
}

/// Looks for inputs that break a promise, beginning with the kept ones.
fn run(target: Target, seconds: u64) -> Result<Outcome> {
    let work = target.work();
    let (found, fresh) = (work.join("found"), work.join("corpus"));
    for folder in [&found, &fresh] {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    let begun = SystemTime::now();
    let mut command = fuzzer(target, &found);
    command.arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-max_len={}", target.max_len()));
    command.args(["-timeout=60", "-print_final_stats=1"]);
    let words = folder().join(format!("{}.dict", target.name()));
    if words.exists() {
        command.arg(format!("-dict={}", words.display()));
    }
    // New inputs go where the first folder is; the kept ones are only read.
    command.arg(&fresh).arg(target.corpus());
    let (status, log) = logged(&mut command, &work)?;
    if !status.success() {
        return Ok(Outcome::Found(Finding {
            target,
            input: newest(&found, begun),
            log,
        }));
    }
    let text = fs::read_to_string(&log).with_context(|| format!("read {}", log.display()))?;
    match executed(&text) {
        Some(inputs) if inputs > 0 => Ok(Outcome::Nothing(inputs)),
        _ => bail!("the fuzzer tried nothing; see {}", log.display()),
    }
}

/// Runs the targets side by side.
pub(crate) fn run_all(targets: &[Target], seconds: u64) -> Vec<(Target, Result<Outcome>)> {
    std::thread::scope(|scope| {
        let runs: Vec<_> = targets
            .iter()
            .map(|target| (*target, scope.spawn(|| run(*target, seconds))))
            .collect();
        let joined = runs.into_iter().map(|(target, run)| {
            let outcome = run.join().unwrap_or_else(|_| bail!("the run panicked"));
            (target, outcome)
        });
        joined.collect()
    })
}

/// Runs one input again, with the output shown; whether all promises hold.
pub(crate) fn repeat(target: Target, input: &Path) -> Result<bool> {
    let mut command = Command::new(target.program());
    let status = command.arg(input).env("RUST_BACKTRACE", "1").status();
    let status = status.with_context(|| format!("start {}", target.program().display()))?;
    Ok(status.success())
}

fn fuzzer(target: Target, found: &Path) -> Command {
    let mut command = Command::new(target.program());
    command.arg(format!("-artifact_prefix={}/", found.display()));
    command
}

fn logged(command: &mut Command, work: &Path) -> Result<(ExitStatus, PathBuf)> {
    let path = work.join("log");
    let log = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    let status = command
        .stdout(log.try_clone()?)
        .stderr(log)
        .status()
        .with_context(|| format!("start {}", command.get_program().to_string_lossy()))?;
    Ok((status, path))
}

/// The input that libFuzzer wrote down in this run.
fn newest(folder: &Path, since: SystemTime) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let written =
        entries.filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry)));
    let (time, entry) = written.max_by_key(|(time, _)| *time)?;
    (time >= since).then(|| entry.path())
}

fn executed(log: &str) -> Option<u64> {
    let line = log
        .lines()
        .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))?;
    line.trim().parse().ok()
}

impl Finding {
    /// What went wrong, the input, and the command that repeats it.
    pub(crate) fn tell(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let mut text = format!("{}\n", complaint(&log));
        let Some(input) = &self.input else {
            text += &format!("it left no input; see {}\n", self.log.display());
            return text;
        };
        let bytes = fs::read(input).unwrap_or_default();
        text += &format!("input: \"{}\"\n", bytes.escape_ascii());
        text += &format!(
            "again: cargo xtask fuzz {} --input {}\n",
            self.target.name(),
            input.display()
        );
        text
    }
}

/// The lines of the log from the panic to the fuzzer's own report.
fn complaint(log: &str) -> String {
    let lines = log
        .lines()
        .skip_while(|line| !line.contains("panicked at") && !line.contains("ERROR: libFuzzer"));
    let lines = lines.take_while(|line| !line.starts_with("NOTE:"));
    let shown: Vec<&str> = lines.take(12).collect();
    shown.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fuzzer_is_understood() {
        let log = "#2\tINITED\nstat::number_of_executed_units: 1234\nstat::peak_rss_mb: 3\n";
        assert_eq!(executed(log), Some(1234));
        assert_eq!(executed("Killed"), None);
        let log = "#2\tINITED\nthread '<unnamed>' panicked at a.rs:1:\nno\n==1== ERROR: \
                   libFuzzer: deadly signal\nNOTE: x\n";
        assert!(complaint(log).starts_with("thread '<unnamed>' panicked at a.rs:1:\nno\n"));
        assert!(!complaint(log).contains("NOTE"));
    }

    #[test]
    fn every_target_has_a_corpus_of_small_inputs() {
        for target in Target::ALL {
            let sizes: Vec<u64> = fs::read_dir(target.corpus())
                .unwrap()
                .map(|entry| entry.unwrap().metadata().unwrap().len())
                .collect();
            assert!(sizes.len() > 20, "{target:?}");
            assert!(
                sizes.iter().all(|size| *size <= target.max_len() as u64),
                "{target:?}"
            );
        }
    }
}
