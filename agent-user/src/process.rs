//! Other processes: handles that do not change their meaning when a pid is used again.

use std::{
    fs, io,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
    str::FromStr,
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

    /// The terminal's session that it is in, if its parent leads that.
    ///
    /// # Errors
    /// It is gone.
    pub fn terminal_session(&self) -> io::Result<Option<u32>> {
        let (parent, session): (u32, u32) = (self.parent()?, self.field(6)?);
        Ok((parent == session).then_some(session))
    }

    /// Its parent's number.
    ///
    /// # Errors
    /// It is gone.
    pub fn parent(&self) -> io::Result<u32> {
        self.field(4)
    }

    /// When it began, as [`crate::clock::ticks_since_boot`] counts.
    ///
    /// # Errors
    /// It is gone: nothing is said of another that has its number now.
    pub fn began(&self) -> io::Result<u64> {
        self.field(22)
    }

    /// A field of `/proc/PID/stat` behind the name, by its number in proc(5).
    fn field<T: FromStr>(&self, number: usize) -> io::Result<T> {
        let fields = self.fields_after_name()?;
        let field = fields.split_whitespace().nth(number - 3);
        field
            .and_then(|field| field.parse().ok())
            .ok_or_else(|| io::Error::other("/proc/PID/stat is not understood"))
    }

    /// `/proc/PID/stat` from its third field on.
    fn fields_after_name(&self) -> io::Result<String> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        if !self.alive() {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        // The name, which may hold anything, ends with the last parenthesis.
        let fields = stat.rsplit_once(')').map(|(_, fields)| fields.to_owned());
        fields.ok_or_else(|| io::Error::other("/proc/PID/stat is not understood"))
    }

    /// Kills it, and no other that has its pid since. Minimum kernel: 5.1.
    pub fn kill(&self) -> io::Result<()> {
        self.signal(libc::SIGKILL)
    }

    /// Lets it go on where it was stopped, and no other that has its pid since. Minimum kernel: 5.1.
    pub fn go_on(&self) -> io::Result<()> {
        self.signal(libc::SIGCONT)
    }

    fn signal(&self, signal: libc::c_int) -> io::Result<()> {
        // SAFETY: a descriptor, a number and no further information.
        let result = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.fd.as_raw_fd(),
                signal,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
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

/// Whether a process is there, and not dead already.
#[must_use]
pub fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest);
    state.is_some_and(|state| !state.starts_with(['Z', 'X']))
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
        let now = crate::clock::ticks_since_boot();
        assert!((now - 1000..=now).contains(&handle.began().unwrap()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!handle.alive() && handle.began().is_err());
        assert!(ProcessHandle::open(child.id()).is_err());
    }
}
