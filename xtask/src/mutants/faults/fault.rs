//! One fault: a patch with a header.

use crate::exec;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Before the patch, in the header: what follows names the scenario that notices it.
const SCENARIO: &str = "Scenario: ";
/// The same: what follows is the one kernel of the matrix that shows the fault.
const KERNEL: &str = "Kernel: ";

pub(super) struct Fault {
    /// The file's, without its ending.
    pub(super) name: String,
    pub(super) scenario: String,
    /// `None`: every one shows it.
    kernel: Option<String>,
    patch: PathBuf,
    /// What it changes, from the root of the checkout.
    files: Vec<PathBuf>,
}

/// The faults of a directory, by name.
pub(super) fn all(folder: &Path) -> Result<Vec<Fault>> {
    let mut faults = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "patch") {
            faults.push(Fault::read(&path)?);
        }
    }
    faults.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(faults)
}

impl Fault {
    fn read(patch: &Path) -> Result<Self> {
        let told = || format!("read {}", patch.display());
        let text = fs::read_to_string(patch).with_context(told)?;
        Self::parse(patch.to_owned(), &text).with_context(told)
    }

    fn parse(patch: PathBuf, text: &str) -> Result<Self> {
        let header = text.lines().take_while(|line| !line.starts_with("--- "));
        let kernel = header.clone().find_map(|line| line.strip_prefix(KERNEL));
        let scenario = header.clone().find_map(|line| line.strip_prefix(SCENARIO));
        let scenario = scenario
            .context("no line `Scenario: NAME` before the patch")?
            .trim();
        // A bar would be an alternative.
        ensure!(
            !scenario.is_empty() && !scenario.contains('|'),
            "a scenario's whole name is wanted"
        );
        let changed = text.lines().filter_map(|line| line.strip_prefix("+++ b/"));
        let files: Vec<PathBuf> = changed.map(PathBuf::from).collect();
        ensure!(!files.is_empty(), "it changes nothing");
        let name = patch.file_stem().context("a file without a name")?;
        Ok(Self {
            name: name.to_string_lossy().into_owned(),
            scenario: scenario.to_owned(),
            kernel: kernel.map(|name| name.trim().to_owned()),
            files,
            patch,
        })
    }

    /// Whether this kernel shows it.
    pub(super) fn is_shown_by(&self, kernel: &str) -> bool {
        self.kernel.as_deref().is_none_or(|only| only == kernel)
    }

    /// Whether it changes this file, or one in this directory.
    pub(super) fn changes(&self, place: &Path) -> bool {
        self.files.iter().any(|file| file.starts_with(place))
    }

    /// Puts the fault into a checkout.
    pub(super) fn apply(&self, checkout: &Path) -> Result<()> {
        self.patch(checkout, &[])
    }

    /// Whether that could be done.
    #[cfg(test)]
    pub(super) fn check(&self, checkout: &Path) -> Result<()> {
        self.patch(checkout, &["--dry-run"])
    }

    fn patch(&self, checkout: &Path, more: &[&str]) -> Result<()> {
        let mut patch = Command::new("patch");
        // In other surroundings it would be another fault. Never turned round, no files left beside.
        patch.args(["--strip=1", "--fuzz=0", "--forward", "--batch", "--silent"]);
        patch.args(["--no-backup-if-mismatch", "--reject-file=-"]);
        patch.args(more).arg("--directory").arg(checkout);
        patch.arg("--input").arg(&self.patch);
        exec::read(&mut patch).map(drop).with_context(|| {
            format!(
                "{} does not apply: make it anew for the code as it is, or remove it",
                self.patch.display()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_which_scenario_notices() {
        let patch = "--- a/x/y.rs\n+++ b/x/y.rs\n@@ -1 +1 @@\n-a\n+b\n";
        let parse = |header: &str| Fault::parse("f.patch".into(), &format!("{header}{patch}"));
        let fault = parse("What it is.\nScenario: who: a thread\n\n").unwrap();
        assert_eq!((&*fault.name, &*fault.scenario), ("f", "who: a thread"));
        assert!(fault.changes(Path::new("x")) && fault.changes(Path::new("x/y.rs")));
        assert!(!fault.changes(Path::new("x/z.rs")));
        for wrong in ["", "Scenario: \n", "Scenario: a|b\n"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(Fault::parse("f.patch".into(), "Scenario: a\n").is_err());
    }

    #[test]
    fn what_does_not_apply_is_an_error_and_changes_nothing() {
        let folder = std::env::temp_dir().join(format!("bailiff-fault-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (file, patch) = (folder.join("y.rs"), folder.join("f.patch"));
        let text = "Scenario: s\n--- a/y.rs\n+++ b/y.rs\n@@ -1,2 +1,2 @@\n-a\n+b\n c\n";
        fs::write(&patch, text).unwrap();
        let fault = Fault::read(&patch).unwrap();
        fs::write(&file, "a\nc\n").unwrap();
        fault.check(&folder).unwrap();
        fault.apply(&folder).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "b\nc\n");
        // Once more, and where something else stands beside.
        for other in ["b\nc\n", "a\nd\n"] {
            fs::write(&file, other).unwrap();
            let error = format!("{:#}", fault.apply(&folder).unwrap_err());
            assert!(error.contains("f.patch does not apply"), "{error}");
            assert_eq!(fs::read_to_string(&file).unwrap(), other);
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
