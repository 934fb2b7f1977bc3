//! Artifacts that are made once and reused by every checkout and by runs at the same time.

use crate::paths;
use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Holds an artifact for one process; the lock goes with the value.
pub(crate) struct Lock {
    _file: Flock<File>,
}

/// Waits until no other process makes the artifact `name`.
pub(crate) fn lock(name: &str) -> Result<Lock> {
    let folder = paths::cache()?.join("locks");
    fs::create_dir_all(&folder)?;
    let path = folder.join(name);
    let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusive) {
        Ok(file) => Ok(Lock { _file: file }),
        Err((_, error)) => Err(error).with_context(|| format!("lock {}", path.display())),
    }
}

/// Makes `target` by `make`, which fills a path beside it: another process sees all of the
/// artifact or nothing, also when this one is killed.
pub(crate) fn make(target: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let folder = target.parent().context("artifact without a folder")?;
    fs::create_dir_all(folder)?;
    let partial = with_suffix(target, ".partial");
    remove(&partial)?;
    let made = make(&partial).with_context(|| format!("make {}", target.display()));
    if made.is_err() {
        let _ = remove(&partial);
        return made;
    }
    remove(target)?;
    fs::rename(&partial, target).with_context(|| format!("rename to {}", target.display()))
}

pub(crate) fn remove(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Err(_) => return Ok(()),
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    };
    removed.with_context(|| format!("remove {}", path.display()))
}

pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Time since the file was written; `None` when it is not there.
pub(crate) fn age(path: &Path) -> Option<Duration> {
    let written = fs::metadata(path).ok()?.modified().ok()?;
    Some(
        SystemTime::now()
            .duration_since(written)
            .unwrap_or_default(),
    )
}
