//! Terminals that a session was started on are its own; what it opens itself, the kernel side sees.
//!
//! Said to the kernel by a descriptor of the terminal that was taken from the process, so by the inode and
//! not by a number that comes round. What cannot be said is refused to the session later.

use std::{
    fs::{self, File, OpenOptions},
    io,
    mem::MaybeUninit,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
    path::Path,
};

use agent_abi::Label;

use crate::{cgroup::Cgroup, daemon::state::Daemon, process::ProcessHandle};

impl Daemon {
    /// The terminals among the standard descriptors of a process that is about to enrol.
    pub(super) fn own_standard_terminals(&self, process: &ProcessHandle, label: Label) {
        for number in 0..=2 {
            self.own_terminal(process, &number.to_string(), label);
        }
    }

    /// The jobs of the terminal that was made for a process that is about to enrol. Its word is taken: it
    /// is the operator's, and the terminal is its own.
    pub(super) fn own_jobs(&self, process: &ProcessHandle, label: Label) {
        let done = process.terminal_session().and_then(|number| match number {
            Some(number) => self
                .kernel()
                .own_jobs(label, number)
                .map_err(io::Error::other),
            None => Err(io::Error::other(
                "its parent does not lead that terminal's session",
            )),
        });
        if let Err(error) = done {
            tracing::warn!("session {} has no job control: {error}", label.generation);
        }
    }

    /// The terminals that any process of `cgroup`, and below, has open.
    pub(super) fn own_open_terminals(&self, cgroup: &Cgroup, label: Label) {
        for pid in cgroup.processes().unwrap_or_default() {
            let Ok(process) = ProcessHandle::open(pid) else {
                continue;
            };
            let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
                continue;
            };
            for name in descriptors.filter_map(Result::ok) {
                if let Some(name) = name.file_name().to_str() {
                    self.own_terminal(&process, name, label);
                }
            }
        }
    }

    fn own_terminal(&self, process: &ProcessHandle, descriptor: &str, label: Label) {
        let path = format!("/proc/{}/fd/{descriptor}", process.pid());
        let Some(terminal) = slave(Path::new(&path)) else {
            return;
        };
        // While it is alive, its pid was its own.
        if !process.alive() {
            return;
        }
        let owned = self.kernel().own_terminal(&terminal, label);
        if let Err(error) = owned {
            tracing::warn!(
                "session {} will be refused the terminal that process {} has as descriptor \
                 {descriptor}: {error}",
                label.generation,
                process.pid()
            );
        }
    }
}

/// A descriptor of the slave of a pseudo-terminal that gives no access to it, if that is what is there.
///
/// Nobody is asked: a server of the process's own may have the file, and not answer while it is not labelled yet.
fn slave(path: &Path) -> Option<OwnedFd> {
    let file: File = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH)
        .open(path)
        .ok()?;
    let major = major_at_hand(&file)?;
    (136..144).contains(&major).then(|| file.into())
}

/// Of the device that an open file is; 0 for others.
fn major_at_hand(file: &File) -> Option<u32> {
    let mut found = MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: an open descriptor, an empty string, and room for what the call fills in.
    let done = unsafe {
        libc::statx(
            file.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC,
            libc::STATX_TYPE,
            found.as_mut_ptr(),
        )
    };
    // SAFETY: all bits zero is a value, and so is what the kernel wrote.
    (done == 0).then(|| unsafe { found.assume_init() }.stx_rdev_major)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_slaves_are_taken_for_terminals() {
        assert!(slave(Path::new("/dev/null")).is_none());
        assert!(slave(Path::new("/nonexistent")).is_none());
        if let Ok(pair) = nix::pty::openpty(None, None) {
            let path = |fd: i32| format!("/proc/self/fd/{fd}");
            assert!(slave(Path::new(&path(pair.slave.as_raw_fd()))).is_some());
            assert!(slave(Path::new(&path(pair.master.as_raw_fd()))).is_none());
        }
    }
}
