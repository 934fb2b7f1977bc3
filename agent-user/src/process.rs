//! Other processes: handles that do not change their meaning when a pid is used again.

use std::{
    fs, io,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// A process, held by a pidfd.
#[derive(Debug)]
pub struct ProcessHandle {
    pid: u32,
    fd: OwnedFd,
}

impl ProcessHandle {
    pub fn open(pid: u32) -> io::Result<Self> {
        // SAFETY: the call takes two integers and returns a descriptor or -1.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just given this descriptor to us alone.
        let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        Ok(Self { pid, fd })
    }

    /// With a descriptor that the kernel gave for `pid`.
    #[must_use]
    pub fn from_parts(pid: u32, fd: OwnedFd) -> Self {
        Self { pid, fd }
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    #[must_use]
    pub fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Whether it has not ended; while it has not, its pid is its own.
    #[must_use]
    pub fn alive(&self) -> bool {
        let mut fds = [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)];
        matches!(poll(&mut fds, PollTimeout::ZERO), Ok(0)) && self.fd.as_raw_fd() >= 0
    }
}

/// The command name of a process, as `/proc/PID/comm` has it.
#[must_use]
pub fn comm(pid: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/comm"))
        .ok()
        .map(|name| name.trim_end().into())
}

/// Every process of this host.
pub fn all() -> io::Result<Vec<u32>> {
    let entries = fs::read_dir("/proc")?.filter_map(Result::ok);
    Ok(entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_knows_when_its_process_ended() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let handle = ProcessHandle::open(child.id()).unwrap();
        assert!(handle.alive());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!handle.alive());
        assert!(ProcessHandle::open(child.id()).is_err());
    }
}
