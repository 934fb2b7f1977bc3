//! A copy of the checkout, into which faults are put.

use crate::{cache, paths};
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// Kept from run to run, so that only what a fault changes is compiled anew.
pub(super) struct Copy {
    folder: PathBuf,
    target: PathBuf,
    /// No two runs put faults into it.
    _lock: cache::Lock,
}

/// What is no source.
const LEFT_OUT: [&str; 2] = [".git", "target"];

impl Copy {
    pub(super) fn new() -> Result<Self> {
        let own = paths::target().join("faults");
        Ok(Self {
            folder: own.join("checkout"),
            target: own.join("target"),
            _lock: cache::lock("faults")?,
        })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// Makes it the same as the checkout again.
    pub(super) fn renew(&self) -> Result<()> {
        same(paths::workspace(), &self.folder)
            .with_context(|| format!("copy the checkout to {}", self.folder.display()))
    }
}

/// Makes one directory like another. A file that is the same already keeps its time, by which cargo tells
/// what it need not compile.
fn same(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let wanted = names(from)?;
    for name in names(to)?.difference(&wanted) {
        cache::remove(&to.join(name))?;
    }
    for name in &wanted {
        let (from, to) = (from.join(name), to.join(name));
        if fs::symlink_metadata(&from)?.is_dir() {
            same(&from, &to)?;
            continue;
        }
        let text = fs::read(&from).with_context(|| format!("read {}", from.display()))?;
        if fs::read(&to).ok().as_ref() != Some(&text) {
            fs::write(&to, text).with_context(|| format!("write {}", to.display()))?;
        }
    }
    Ok(())
}

fn names(folder: &Path) -> Result<BTreeSet<OsString>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if !LEFT_OUT.iter().any(|left| name == *left) {
            names.insert(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_becomes_the_same_and_what_was_the_same_keeps_its_time() {
        let top = std::env::temp_dir().join(format!("bailiff-copy-{}", std::process::id()));
        let (from, to) = (top.join("from"), top.join("to"));
        fs::create_dir_all(from.join("a/target")).unwrap();
        fs::write(from.join("a/x"), "x").unwrap();
        fs::write(from.join("y"), "y").unwrap();
        same(&from, &to).unwrap();
        assert!(!to.join("a/target").exists());
        let written = |file: &str| fs::metadata(to.join(file)).unwrap().modified().unwrap();
        let before = (written("a/x"), written("y"));
        fs::write(to.join("y"), "changed").unwrap();
        fs::write(to.join("a/more"), "").unwrap();
        fs::create_dir(to.join("b")).unwrap();
        same(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("y")).unwrap(), "y");
        assert!(!to.join("a/more").exists() && !to.join("b").exists());
        assert_eq!(written("a/x"), before.0);
        assert!(written("y") > before.1);
        fs::remove_dir_all(&top).unwrap();
    }
}
