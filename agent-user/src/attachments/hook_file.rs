//! The file by which podman and CRI-O run Bailiff's hook for every container that they start.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::json;

/// Where hooks are kept.
const DIRECTORY: &str = "/etc/containers/oci/hooks.d";

/// Where podman is told to look there as well: by itself it has looked in /usr/share alone since 5.0.
const SETTINGS: &str = "/etc/containers/containers.conf.d";

/// Seconds until a runtime gives up on the hook, and on the container.
const PATIENCE: u32 = 120;

/// The hook's file.
#[must_use]
pub fn path() -> PathBuf {
    Path::new(DIRECTORY).join("bailiff.json")
}

/// Every file, and what is in it, for a program at this place.
#[must_use]
pub fn files(program: &Path) -> [(PathBuf, String); 2] {
    let settings = format!(
        "# Written by `bailiff attach`: podman runs the hooks of {DIRECTORY}.\n\
         [engine]\nhooks_dir = [\"{DIRECTORY}\", {{append=true}}]\n"
    );
    [
        (path(), text(program)),
        (Path::new(SETTINGS).join("50-bailiff.conf"), settings),
    ]
}

/// What is in it, for a program at this place.
fn text(program: &Path) -> String {
    let whole = json!({
        "version": "1.0.0",
        "hook": hook(program),
        "when": { "always": true },
        "stages": ["createRuntime"],
    });
    format!("{whole:#}\n")
}

/// The hook as the OCI's runtime specification writes it.
#[must_use]
pub fn hook(program: &Path) -> serde_json::Value {
    json!({
        "path": program.display().to_string(),
        "args": ["bailiff", "oci-hook"],
        "timeout": PATIENCE,
    })
}

/// Has the hook run.
///
/// # Errors
/// A file cannot be written.
pub fn write(program: &Path) -> io::Result<()> {
    for (path, text) in files(program) {
        let directory = path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(directory)?;
        let beside = directory.join(".bailiff.new");
        fs::write(&beside, text)?;
        fs::rename(beside, path)?;
    }
    Ok(())
}

/// Has it run no more.
///
/// # Errors
/// A file is there and cannot be removed.
pub fn remove() -> io::Result<()> {
    for (path, _) in files(Path::new("")) {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
