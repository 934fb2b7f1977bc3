//! What happens by itself where a cgroup's directory is made, written to or removed.

use std::{
    fmt, fs,
    io::{self, Write},
    path::Path,
};

/// The filesystem of a hierarchy. Files are read as they are in any other.
pub trait Filesystem: fmt::Debug + Send + Sync {
    /// Makes a cgroup, and those above it that are not there.
    ///
    /// # Errors
    /// It cannot be made.
    fn make(&self, cgroup: &Path) -> io::Result<()>;

    /// Makes a cgroup that is not there yet, in one that is.
    ///
    /// # Errors
    /// It is there, or cannot be made.
    fn make_new(&self, cgroup: &Path) -> io::Result<()> {
        // Whoever is second finds it there.
        if fs::exists(cgroup)? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.make(cgroup)
    }

    /// Writes to one of its files.
    ///
    /// # Errors
    /// The file is not there, or does not take it.
    fn write(&self, cgroup: &Path, file: &str, text: &str) -> io::Result<()>;

    /// Removes a cgroup with none below it.
    ///
    /// # Errors
    /// Processes are in it.
    fn remove(&self, cgroup: &Path) -> io::Result<()>;
}

/// cgroup v2: files are there as soon as the directory is, and the kernel acts on what is written.
#[derive(Debug)]
pub(super) struct Cgroup2;

impl Filesystem for Cgroup2 {
    fn make(&self, cgroup: &Path) -> io::Result<()> {
        fs::create_dir_all(cgroup)
    }

    fn make_new(&self, cgroup: &Path) -> io::Result<()> {
        fs::create_dir(cgroup)
    }

    fn write(&self, cgroup: &Path, file: &str, text: &str) -> io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).open(cgroup.join(file))?;
        file.write_all(text.as_bytes())
    }

    fn remove(&self, cgroup: &Path) -> io::Result<()> {
        fs::remove_dir(cgroup)
    }
}
