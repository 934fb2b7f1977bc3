//! What the processes of a cgroup cost. Under `-icount shift=0` a nanosecond is an instruction, and the
//! kernel accounts each that a process runs; time without any is not among them.

use anyhow::{Context, Result};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::{fs, io};

/// Where a session's command runs: a cgroup for each below it.
pub(crate) const SESSIONS: &str = "bailiff";

/// The cgroup of this name below the root.
pub(crate) fn path_of(name: &str) -> PathBuf {
    PathBuf::from("/sys/fs/cgroup").join(name)
}

pub(crate) struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Of this name below the root; made where it is not there.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let path = path_of(name);
        fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(Self { path })
    }

    /// The command runs in it from its first instruction on.
    pub(crate) fn enter(&self, command: &mut Command) {
        let path = self.path.join("cgroup.procs");
        let enter = move || -> io::Result<()> { fs::write(&path, "0") };
        // SAFETY: one write between `fork` and `execve`, in a program of one thread.
        unsafe { command.pre_exec(enter) };
    }

    /// Instructions so far, of everything in it and below it, whether it still runs or not; told by
    /// the thousand. Exact while nothing of it runs.
    pub(crate) fn instructions(&self) -> Result<u64> {
        let path = self.path.join("cpu.stat");
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let microseconds: u64 = text
            .lines()
            .find_map(|line| line.strip_prefix("usage_usec "))
            .and_then(|number| number.parse().ok())
            .with_context(|| format!("no usage in {}", path.display()))?;
        Ok(microseconds * 1000)
    }
}
