//! Disk images.

use crate::kernel::Kernel;
use crate::{cache, exec};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// An image with all modules of the kernel, laid out as below `/lib/modules`.
pub(super) fn modules(kernel: &Kernel) -> Result<PathBuf> {
    let image = kernel.folder().join("modules.ext4");
    let _lock = cache::lock(&format!("modules-{}", kernel.release))?;
    if !image.exists() {
        let folder = kernel.folder().join("modules");
        index(kernel, &folder)?;
        cache::make(&image, |path| make_ext4(path, &folder, 192))?;
    }
    Ok(image)
}

/// depmod wants the modules below `lib/modules` of some root.
fn index(kernel: &Kernel, folder: &Path) -> Result<()> {
    let root = kernel.folder().join("depmod");
    cache::remove(&root)?;
    std::fs::create_dir_all(root.join("lib"))?;
    std::os::unix::fs::symlink(folder, root.join("lib/modules"))?;
    let depmod = crate::tools::find("depmod").context("depmod is missing")?;
    exec::read(
        Command::new(depmod)
            .arg("-b")
            .arg(&root)
            .arg(&kernel.release),
    )?;
    cache::remove(&root)
}

/// A sparse image of at most so many MiB that holds the folder.
fn make_ext4(image: &Path, folder: &Path, mebibytes: u32) -> Result<()> {
    let mke2fs = crate::tools::find("mke2fs").context("mke2fs is missing")?;
    let mut command = Command::new(mke2fs);
    command.args([
        "-q",
        "-F",
        "-t",
        "ext4",
        "-O",
        "^has_journal",
        "-m",
        "0",
        "-d",
    ]);
    command.arg(folder).arg(image).arg(format!("{mebibytes}M"));
    exec::read(&mut command)?;
    Ok(())
}
