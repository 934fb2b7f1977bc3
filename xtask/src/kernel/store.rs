//! Local copies of kernels, one folder per release.

use super::Available;
use crate::apt::{self, Apt};
use crate::{cache, exec, paths, tools};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A kernel on this machine, ready to boot.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    pub(crate) release: String,
    /// The upstream version, such as 6.12.117.
    pub(crate) version: String,
    folder: PathBuf,
}

impl Kernel {
    pub(crate) fn image(&self) -> PathBuf {
        self.folder.join("vmlinuz")
    }

    /// The folder with the modules, laid out as below `/lib/modules/RELEASE`.
    pub(crate) fn modules(&self) -> PathBuf {
        self.folder.join("modules").join(&self.release)
    }

    /// Where artifacts made from this kernel belong.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Downloads the kernel unless a whole copy is there.
pub(super) fn local_copy(available: &Available) -> Result<Kernel> {
    let kernel = Kernel {
        release: available.release.clone(),
        version: available.version_text(),
        folder: paths::cache()?.join("kernels").join(&available.release),
    };
    let _lock = cache::lock(&format!("kernel-{}", kernel.release))?;
    if !is_whole(&kernel) {
        eprintln!("downloading kernel {}", kernel.release);
        cache::make(&kernel.folder, |folder| fetch(available, folder))?;
    }
    Ok(kernel)
}

fn fetch(available: &Available, folder: &Path) -> Result<()> {
    tools::need(tools::KERNEL)?;
    let (debs, tree) = (folder.join("debs"), folder.join("tree"));
    fs::create_dir_all(&debs)?;
    fs::create_dir_all(&tree)?;
    Apt::for_kernels()?.download(&available.packages, &debs)?;
    for package in fs::read_dir(&debs)? {
        apt::unpack(&package?.path(), &tree)?;
    }
    let release = &available.release;
    // Where Debian put things before and after it merged /usr, and from 7.0 on.
    let modules = first_existing(&tree, &["usr/lib/modules", "lib/modules"])?;
    let image = first_existing(
        &tree,
        &[
            &format!("boot/vmlinuz-{release}"),
            &format!("usr/lib/modules/{release}/vmlinuz"),
        ],
    )?;
    fs::rename(image, folder.join("vmlinuz"))?;
    fs::rename(modules, folder.join("modules"))?;
    ensure!(
        folder.join("modules").join(release).is_dir(),
        "no modules of {release}"
    );
    fs::remove_dir_all(debs)?;
    fs::remove_dir_all(tree)?;
    fs::write(folder.join("sha256"), checksum(&folder.join("vmlinuz"))?)?;
    Ok(())
}

fn first_existing(tree: &Path, candidates: &[&str]) -> Result<PathBuf> {
    let mut paths = candidates.iter().map(|candidate| tree.join(candidate));
    paths
        .find(|path| path.exists())
        .with_context(|| format!("none of {candidates:?} is there"))
}

/// A copy is renamed into place when it is finished, so only damage to the image is looked for.
fn is_whole(kernel: &Kernel) -> bool {
    let noted = fs::read_to_string(kernel.folder.join("sha256"));
    kernel.modules().is_dir()
        && noted.is_ok_and(|noted| checksum(&kernel.image()).is_ok_and(|now| now == noted))
}

fn checksum(path: &Path) -> Result<String> {
    let text = exec::read_text(Command::new("sha256sum").arg(path))?;
    Ok(text.split(' ').next().unwrap_or_default().to_owned())
}
