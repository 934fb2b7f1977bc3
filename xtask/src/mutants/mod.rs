//! Changes that a test has to notice: those that `cargo-mutants` makes, and the faults that are kept as
//! patches.

pub(crate) mod faults;
mod outcomes;
mod survivors;

use crate::{build, paths, tools};
use anyhow::{Context, Result, bail};
use outcomes::Outcomes;
use std::fs;
use std::path::{Path, PathBuf};
use survivors::Survivors;

/// Code that is tried by the same tests.
struct Area {
    name: &'static str,
    /// Files, as `cargo-mutants` takes them.
    files: &'static [&'static str],
    /// The packages whose tests have to notice.
    tests: &'static [&'static str],
    /// For cargo, before it is told which tests.
    arguments: &'static [&'static str],
}

const AREAS: [Area; 3] = [
    Area {
        name: "decide",
        files: &["agent-decide/src/**/*.rs"],
        tests: &["agent-decide", "agent-grant"],
        arguments: &[],
    },
    Area {
        name: "grant",
        files: &["agent-grant/src/**/*.rs"],
        tests: &["agent-grant"],
        arguments: &[],
    },
    // What talks to a kernel is the scenarios' to notice.
    Area {
        name: "daemon",
        files: &[
            "agent-user/src/daemon/events/*.rs",
            "agent-user/src/daemon/requests/*.rs",
            "agent-user/src/daemon/sessions/*.rs",
            "agent-user/src/grants/*.rs",
            "agent-user/src/kernel/btf.rs",
            "agent-user/src/mounts/*.rs",
            "agent-user/src/store/*.rs",
            "agent-user/src/store/*/*.rs",
        ],
        tests: &["agent-user"],
        // Its programs take longer to link than the tests to run.
        arguments: &["--cargo-arg=--lib"],
    },
];

/// A test that a change makes run for ever is stopped after so many seconds: it has noticed.
const SECONDS: &str = "120";

/// Tries the changes; whether all are noticed, or listed with a reason.
pub(crate) fn try_all(places: &[PathBuf], shard: Option<&str>) -> Result<bool> {
    tools::need_cargo("mutants")?;
    let listed = Survivors::read(&paths::workspace().join("xtask/mutants/survivors.toml"))?;
    let mut all = Outcomes::default();
    for area in &AREAS {
        if let Some(outcomes) = area.try_out(places, shard)? {
            all.add(outcomes);
        }
    }
    if all.is_empty() {
        bail!("nothing to change there: see `AREAS` in xtask/src/mutants/mod.rs");
    }
    let difference = listed.compare(&all, shard.is_none());
    print!("{difference}");
    println!("{all}, {} listed", listed.covering(&all));
    Ok(difference.is_empty())
}

impl Area {
    /// `None` where no file of the area is among the places.
    fn try_out(&self, places: &[PathBuf], shard: Option<&str>) -> Result<Option<Outcomes>> {
        let files = self.files_in(places)?;
        if files.is_empty() {
            return Ok(None);
        }
        let folder = paths::target().join("mutants");
        let output = folder.join(self.name);
        fs::create_dir_all(&output).with_context(|| format!("create {}", output.display()))?;
        let mut cargo = build::cargo();
        // Two builds at a time would want twice the memory, and every test has its limit of time.
        cargo.args(["mutants", "--jobs=1", "--cap-lints=true", "--colors=never"]);
        cargo.args(["--minimum-test-timeout", SECONDS]);
        cargo.arg("--output").arg(&output);
        // Kept, so that what the copies have in common is compiled once.
        cargo.env("CARGO_TARGET_DIR", folder.join("target"));
        for file in files {
            cargo.args(["--file", &file]);
        }
        cargo.arg(format!("--test-package={}", self.tests.join(",")));
        cargo.args(self.arguments);
        if let Some(shard) = shard {
            cargo.args(["--shard", shard]);
        }
        let report = output.join("mutants.out/outcomes.json");
        remove_old(&report)?;
        let status = cargo.status().context("start cargo mutants")?;
        // 2: some went unseen, 3: some were stopped.
        if !matches!(status.code(), Some(0 | 2 | 3)) {
            bail!("cargo mutants ended with {status}");
        }
        Outcomes::read(&report).map(Some)
    }

    /// Patterns of the files in these places; all of the area where there are none.
    fn files_in(&self, places: &[PathBuf]) -> Result<Vec<String>> {
        if places.is_empty() {
            return Ok(self.files.iter().map(|file| (*file).to_owned()).collect());
        }
        let mut files = Vec::new();
        for place in places {
            let place = in_checkout(place)?;
            let is_inside = |file: &&&str| {
                let (folder, pattern) = file.split_once('*').unwrap_or((file, ""));
                place.starts_with(folder) || (pattern.is_empty() && place == Path::new(folder))
            };
            let whole = |file: &&&str| Path::new(file).starts_with(&place);
            let text = place.to_string_lossy();
            if self.files.iter().any(|file| is_inside(&file)) {
                let is_file = paths::workspace().join(&place).is_file();
                files.push(if is_file {
                    text.into_owned()
                } else {
                    format!("{text}/**/*.rs")
                });
            } else {
                files.extend(self.files.iter().filter(whole).map(ToString::to_string));
            }
        }
        Ok(files)
    }
}

/// The path from the root of the checkout.
fn in_checkout(place: &Path) -> Result<PathBuf> {
    let whole = fs::canonicalize(paths::workspace().join(place))
        .with_context(|| format!("find {}", place.display()))?;
    let root = fs::canonicalize(paths::workspace())?;
    let inside = whole.strip_prefix(root);
    inside
        .map(Path::to_owned)
        .with_context(|| format!("{} is not in the checkout", place.display()))
}

/// A report of an earlier run must not be taken for this one's.
fn remove_old(report: &Path) -> Result<()> {
    crate::cache::remove(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(area: &Area, place: &str) -> Vec<String> {
        area.files_in(&[place.into()]).unwrap()
    }

    #[test]
    fn a_place_is_tried_by_the_tests_of_its_area() {
        let [decide, grant, daemon] = &AREAS;
        assert_eq!(
            files(decide, "agent-decide/src/path.rs"),
            ["agent-decide/src/path.rs"]
        );
        assert!(files(grant, "agent-decide/src/path.rs").is_empty());
        assert_eq!(files(grant, "agent-grant"), grant.files);
        assert_eq!(
            files(grant, "agent-grant/src/algebra"),
            ["agent-grant/src/algebra/**/*.rs"]
        );
        let btf = "agent-user/src/kernel/btf.rs";
        assert_eq!(files(daemon, btf), [btf]);
        assert!(files(daemon, "agent-user/src/kernel/load.rs").is_empty());
        assert_eq!(
            files(daemon, "agent-user/src/mounts"),
            ["agent-user/src/mounts/**/*.rs"]
        );
        assert!(decide.files_in(&["nowhere".into()]).is_err());
    }

    #[test]
    fn every_pattern_of_an_area_has_a_file() {
        for pattern in AREAS.iter().flat_map(|area| area.files) {
            let folder = pattern.split('*').next().unwrap();
            assert!(paths::workspace().join(folder).exists(), "{pattern}");
        }
    }
}
