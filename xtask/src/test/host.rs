//! Format, lints and unit tests.

use super::{Tally, tally};
use crate::build;
use crate::fuzz::{self, Outcome, Target};
use anyhow::{Context, Result};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

pub(crate) fn check(ebpf_object: &Path) -> Result<Tally> {
    let mut tally = Tally::default();
    tally += one("format", build::cargo().args(["fmt", "--all", "--check"]))?;
    let kernel_side = ["fmt", "--manifest-path", "agent-ebpf/Cargo.toml", "--check"];
    tally += one(
        "format of the kernel side",
        build::cargo().args(kernel_side),
    )?;
    let fuzzing = ["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"];
    tally += one("format of the fuzz targets", build::cargo().args(fuzzing))?;
    let lints = [
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    tally += one("lints", cargo(ebpf_object).args(lints))?;
    tally += one("lints of the kernel side", &mut build::ebpf_lints()?)?;
    tally += one("lints of the fuzz targets", &mut fuzz::lints()?)?;
    tally += unit_tests(ebpf_object)?;
    tally += fuzz_targets()?;
    Ok(tally)
}

/// For so long, each target for itself, side by side.
const FUZZ_SECONDS: u64 = 30;

fn fuzz_targets() -> Result<Tally> {
    eprintln!("fuzzing for {FUZZ_SECONDS} s");
    fuzz::build()?;
    let mut tally = Tally::default();
    for (target, outcome) in fuzz::run_all(&Target::ALL, FUZZ_SECONDS) {
        let name = target.name();
        tally += match outcome? {
            Outcome::Nothing(inputs) => {
                println!("fuzz target {name}: {inputs} inputs, no finding");
                Tally::PASSED
            }
            Outcome::Found(finding) => {
                println!("FAILED fuzz target {name}\n{}", finding.tell());
                Tally::failed(format!("fuzz target {name}"))
            }
        };
    }
    Ok(tally)
}

fn cargo(ebpf_object: &Path) -> Command {
    let mut cargo = build::cargo();
    cargo.env(build::OBJECT_VARIABLE, ebpf_object);
    cargo
}

/// One check that passes or fails as a whole.
fn one(name: &str, command: &mut Command) -> Result<Tally> {
    eprintln!("checking {name}");
    let status = command.status().with_context(|| format!("check {name}"))?;
    if status.success() {
        return Ok(Tally::PASSED);
    }
    println!("FAILED {name}");
    Ok(Tally::failed(name))
}

/// `cargo test`, shown as it comes, with the results of its programs added up.
fn unit_tests(ebpf_object: &Path) -> Result<Tally> {
    eprintln!("running unit tests");
    let mut command = cargo(ebpf_object);
    command.args(["test", "--quiet", "--workspace", "--no-fail-fast"]);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .context("start cargo test")?;
    let mut tally = Tally::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line?;
            println!("{line}");
            if line.starts_with("test result:")
                && let Some(found) = Tally::read(&line)
            {
                tally += found;
            }
            let failed = tally::failed_test(&line);
            tally.failures.extend(failed.map(str::to_owned));
        }
    }
    // A test program that was killed or did not compile has printed no result.
    if !child.wait()?.success() && tally.failed == 0 {
        tally += Tally::failed("unit tests that did not compile, or were killed");
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use crate::paths;
    use std::fs;

    /// The lines of a manifest's table of lints.
    fn lints(manifest: &str, table: &str) -> Vec<String> {
        let text = fs::read_to_string(paths::workspace().join(manifest)).unwrap();
        let head = format!("[{table}]");
        let rows = text.lines().skip_while(|line| *line != head).skip(1);
        rows.take_while(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn what_is_no_member_of_the_workspace_has_its_lints() {
        for tool in ["rust", "clippy"] {
            let workspace = lints("Cargo.toml", &format!("workspace.lints.{tool}"));
            assert!(!workspace.is_empty());
            for manifest in ["agent-ebpf/Cargo.toml", "fuzz/Cargo.toml"] {
                let own = lints(manifest, &format!("lints.{tool}"));
                assert_eq!(own, workspace, "{manifest}");
            }
        }
    }

    /// Clippy finds what a standard library of that version does not have (`incompatible_msrv`), and cargo
    /// chooses no dependency that needs a later one.
    #[test]
    fn every_crate_says_the_same_edition_and_the_same_oldest_compiler() {
        let of = |manifest: &str, key: &str| {
            let text = fs::read_to_string(paths::workspace().join(manifest)).unwrap();
            let line = text.lines().find(|line| line.starts_with(key));
            line.map(str::to_owned).unwrap()
        };
        for key in ["edition", "rust-version"] {
            let workspace = of("Cargo.toml", key);
            let apart = [
                "agent-abi/Cargo.toml",
                "agent-decide/Cargo.toml",
                "agent-ebpf/Cargo.toml",
                "fuzz/Cargo.toml",
            ];
            for manifest in apart {
                assert_eq!(of(manifest, key), workspace, "{manifest}");
            }
        }
    }
}
