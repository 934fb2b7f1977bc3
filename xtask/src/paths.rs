//! Where things are: the checkout, build output and the cache that survives builds.

use anyhow::{Context, Result};
use std::env;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// The root of the checkout in which the command runs, not of the one where it was compiled: a copied
/// checkout may still have the other's binary.
pub(crate) fn workspace() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = env::current_dir().unwrap_or_default();
        let above = folder.ancestors().find(|folder| is_checkout(folder));
        // Called from elsewhere, as by `cargo run --manifest-path`: cargo says whose manifest it is.
        let manifest = || {
            let package = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from)?;
            package.parent().map(Path::to_owned)
        };
        let compiled = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
        above
            .map(Path::to_owned)
            .or_else(manifest)
            .or_else(|| compiled.map(Path::to_owned))
            .unwrap_or_else(|| ".".into())
    });
    &ROOT
}

fn is_checkout(folder: &Path) -> bool {
    folder.join("Cargo.toml").exists() && folder.join("xtask/Cargo.toml").exists()
}

/// Cargo's target folder, as cargo itself finds it.
pub(crate) fn target() -> PathBuf {
    let folder = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    workspace().join(folder)
}

/// `$XDG_CACHE_HOME/bailiff`: kernels, root images and package lists.
pub(crate) fn cache() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME") {
        Some(base) if !base.is_empty() => PathBuf::from(base),
        _ => PathBuf::from(env::var_os("HOME").context("HOME is not set")?).join(".cache"),
    };
    let folder = base.join("bailiff");
    std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    Ok(folder)
}
