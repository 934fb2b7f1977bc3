//! Modules that the initramfs carries, uncompressed and in the order in which they load.

use super::Kernel;
use crate::exec;
use anyhow::{Context, Result};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Loaded on every boot: the port to the host (built in from 6.12 on), and the file systems that
/// tests mount and that no kernel of the matrix has built in. Others come from the modules disk.
const WANTED: &[&str] = &["virtio_pci", "virtio_console", "overlay", "loop", "fuse"];

/// One module, ready for the initramfs.
pub(crate) struct Carried {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

impl Kernel {
    /// The modules to carry, each after those that it depends on.
    pub(crate) fn carried_modules(&self) -> Result<Vec<Carried>> {
        let mut files = HashMap::new();
        find_modules(&self.modules().join("kernel"), &mut files)?;
        let mut order = Vec::new();
        for name in WANTED {
            add(name, &files, &mut order)?;
        }
        Ok(order)
    }
}

/// Adds the module after its dependencies. A module without a file is built into this kernel.
fn add(name: &str, files: &HashMap<String, PathBuf>, order: &mut Vec<Carried>) -> Result<()> {
    let Some(path) = files.get(name) else {
        return Ok(());
    };
    if order.iter().any(|carried| carried.name == name) {
        return Ok(());
    }
    let bytes = read(path).with_context(|| format!("read {}", path.display()))?;
    for dependency in dependencies(&bytes) {
        add(&dependency, files, order)?;
    }
    order.push(Carried {
        name: name.to_owned(),
        bytes,
    });
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let tool = match path.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => return Ok(fs::read(path)?),
    };
    exec::read(Command::new(tool).arg("-dc").arg(path))
}

/// The field `depends=a,b` of the module's `.modinfo` section.
fn dependencies(module: &[u8]) -> Vec<String> {
    const FIELD: &[u8] = b"\0depends=";
    let Some(at) = module
        .windows(FIELD.len())
        .position(|window| window == FIELD)
    else {
        return Vec::new();
    };
    let value = module[at + FIELD.len()..]
        .split(|byte| *byte == 0)
        .next()
        .unwrap_or_default();
    let names = String::from_utf8_lossy(value);
    names
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| name.replace('-', "_"))
        .collect()
}

/// Module files by name, with the dashes and underscores of file names made equal.
fn find_modules(folder: &Path, found: &mut HashMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            find_modules(&entry.path(), found)?;
        } else if let Some((name, _)) = entry.file_name().to_string_lossy().split_once(".ko") {
            found.insert(name.replace('-', "_"), entry.path());
        }
    }
    Ok(())
}
