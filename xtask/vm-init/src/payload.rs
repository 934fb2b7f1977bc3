//! What the host copied into the initramfs for a root on a disk: `/payload` is laid over that root.

use anyhow::{Context, Result};
use std::fs::{self, File, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Opened before the root is switched, since no path leads there afterwards.
pub(crate) fn open() -> Result<Option<File>> {
    match File::open("/payload") {
        Ok(folder) => Ok(Some(folder)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context("open /payload"),
    }
}

pub(crate) fn install(payload: &Option<File>) -> Result<()> {
    let Some(folder) = payload else { return Ok(()) };
    lay_over(
        &PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())),
        Path::new("/"),
    )
}

fn lay_over(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let copied = if entry.file_type()?.is_dir() {
            lay_over_folder(&source, &target)
        } else {
            replace(&source, &target)
        };
        copied.with_context(|| format!("copy {}", target.display()))?;
    }
    Ok(())
}

/// A folder that is there keeps its mode, and may be a symlink such as `/bin`.
fn lay_over_folder(source: &Path, target: &Path) -> Result<()> {
    if !target.is_dir() {
        fs::create_dir(target)?;
        fs::set_permissions(
            target,
            Permissions::from_mode(source.metadata()?.mode_bits()),
        )?;
    }
    lay_over(source, target)
}

fn replace(source: &Path, target: &Path) -> Result<()> {
    if target.symlink_metadata().is_ok() {
        fs::remove_file(target)?;
    }
    if source.symlink_metadata()?.is_symlink() {
        symlink(fs::read_link(source)?, target)?;
    } else {
        fs::copy(source, target)?;
    }
    Ok(())
}

trait ModeBits {
    fn mode_bits(&self) -> u32;
}

impl ModeBits for fs::Metadata {
    fn mode_bits(&self) -> u32 {
        self.permissions().mode() & 0o7777
    }
}
