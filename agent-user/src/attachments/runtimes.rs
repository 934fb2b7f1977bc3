//! Runtimes of containers on this host.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where the runtime behind `bailiff-runc` is written, if it is not runc.
pub const CONFIG: &str = "/etc/bailiff/oci-runtime";

/// The usual places.
const USUAL: [&str; 6] = [
    "/usr/bin/runc",
    "/usr/sbin/runc",
    "/usr/local/bin/runc",
    "/usr/local/sbin/runc",
    "/usr/bin/crun",
    "/usr/local/bin/crun",
];

/// Every place where one may be: the operator's first.
pub fn places() -> impl Iterator<Item = PathBuf> {
    let own = named().ok().flatten().filter(|path| path.is_absolute());
    own.into_iter().chain(USUAL.iter().map(PathBuf::from))
}

/// The one that the operator wrote down.
///
/// # Errors
/// The file is there, and cannot be read.
pub fn named() -> io::Result<Option<PathBuf>> {
    match fs::read_to_string(CONFIG) {
        Ok(text) => Ok(Some(text.trim().into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The first runc that is there.
#[must_use]
pub fn runc() -> Option<PathBuf> {
    let all = USUAL.iter().filter(|path| path.ends_with("/runc"));
    all.map(Path::new)
        .find(|path| path.is_file())
        .map(Path::to_owned)
}
