//! Kernels that free the storage of a process whose fork fails early, and the label of one that forks there.
//!
//! Why, and what is done about it: `agent-ebpf/src/forking.rs`.

use std::{
    fs, io,
    os::fd::{AsRawFd, OwnedFd},
    thread,
    time::{Duration, Instant},
};

use agent_abi::{Label, census::Member, forking::Forks, names};
use aya::maps::MapData;
use nix::sys::{
    signal::{Signal, kill},
    wait::{WaitPidFlag, WaitStatus, waitpid},
};

use super::{
    census,
    child::{Waiting, fork_waiting},
    error::KernelError,
    iterator,
    load::{map_pin, program_pin},
    sys::{self, Map},
};
use crate::process::ProcessHandle;

/// How long what the kernel frees late may stay: some grace periods of RCU on a busy host.
const PATIENCE: Duration = Duration::from_millis(400);
const PAUSE: Duration = Duration::from_millis(2);

/// What is attached where the storage is freed, as it is listed.
pub(super) const HOOK: &str = "fentry/copy_process";

/// The iterator that lists one task, for a process that may be forking.
pub(super) const WHOSE: &str = "whose";

/// Labels of processes, also while they fork.
pub(super) struct Processes {
    labels: Map<i32, Label>,
    forks: Map<u32, Forks>,
    whose: OwnedFd,
}

impl Processes {
    pub(super) fn open() -> Result<Self, KernelError> {
        let path = program_pin(WHOSE);
        Ok(Self {
            labels: Map::open(names::LABELS, &map_pin(names::LABELS))?,
            forks: Map::open(names::FORKS, &map_pin(names::FORKS))?,
            whose: sys::open_pinned(&path).map_err(|error| KernelError::Pin {
                path,
                reason: error.to_string(),
            })?,
        })
    }

    /// The label that a process has, as the kernel side keeps it; `None` for none.
    pub(super) fn label(&self, pidfd: &OwnedFd) -> Result<Option<Label>, KernelError> {
        let before = self.forks.get(&0)?.unwrap_or_default();
        let label = self
            .labels
            .get(&pidfd.as_raw_fd())?
            .filter(|label| label.is_some());
        // What was hidden when the label was looked for is counted here, and was not there yet.
        let after = self.forks.get(&0)?.unwrap_or_default();
        if label.is_some() || after.hidden == before.shown {
            return Ok(label);
        }
        self.look_up(pidfd).map_err(|source| KernelError::Map {
            operation: "look for a process",
            map: names::FORKING,
            source,
        })
    }

    /// How many processes the kernel side has killed since their label could be lost by their fork.
    pub(super) fn killed(&self) -> Result<u64, KernelError> {
        Ok(self.forks.get(&0)?.unwrap_or_default().ended)
    }

    pub(super) fn set(&self, pidfd: &OwnedFd, label: Label) -> Result<(), KernelError> {
        self.labels.set(&pidfd.as_raw_fd(), &label)
    }

    fn look_up(&self, pidfd: &OwnedFd) -> io::Result<Option<Label>> {
        let Some(pid) = pid_of(pidfd)? else {
            return Ok(None);
        };
        let link = iterator::link_to_task(&self.whose, pid)?;
        let members = census::records(&census::read_all(&link)?);
        let own = members.iter().find(|member: &&Member| member.tid == pid);
        Ok(own
            .map(|member| member.process)
            .filter(|label| label.is_some()))
    }
}

/// Whose handle this is; `None`: it has ended.
fn pid_of(pidfd: &OwnedFd) -> io::Result<Option<u32>> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()))?;
    let pid = text.lines().find_map(|line| line.strip_prefix("Pid:"));
    Ok(pid.and_then(|pid| pid.trim().parse().ok()))
}

/// Whether this kernel leaves a process its storage when it fails to fork, as far as one try shows. Where the try
/// itself fails it is taken not to.
pub(super) fn is_storage_kept() -> bool {
    try_storage().unwrap_or_else(|error| {
        tracing::warn!(
            "cannot try whether the kernel keeps the storage of who fails to fork: {error}"
        );
        false
    })
}

fn try_storage() -> io::Result<bool> {
    let storage = sys::task_storage::<Label>("TRIED").map_err(io::Error::other)?;
    let storage = MapData::from_fd(storage).map_err(io::Error::other)?;
    let storage: Map<i32, Label> = Map::from_data("TRIED", storage);
    // SAFETY: what the child does is system calls alone.
    let child = unsafe { fork_waiting(fail_to_fork) }?;
    let pid = child.pid;
    let kept = try_on(child, &storage);
    let _ = kill(pid, Signal::SIGKILL);
    let _ = waitpid(pid, None);
    kept
}

/// Once, since a second failure frees again what the first has freed.
fn try_on(child: Waiting, storage: &Map<i32, Label>) -> io::Result<bool> {
    let pid = child.pid;
    let process = ProcessHandle::open(pid.as_raw().unsigned_abs())?;
    let key = process.fd().as_raw_fd();
    storage
        .set(&key, &Label::SELF_TEST)
        .map_err(io::Error::other)?;
    child.let_go()?;
    if !matches!(
        waitpid(pid, Some(WaitPidFlag::WUNTRACED))?,
        WaitStatus::Stopped(..)
    ) {
        return Err(io::Error::other("a child could not fail to fork"));
    }
    // From here on, however late it came to run: at least one grace period, and what is freed after it.
    // SAFETY: a system call without pointers. Where there is none, the time must do.
    unsafe { libc::syscall(libc::SYS_membarrier, libc::MEMBARRIER_CMD_GLOBAL, 0, 0) };
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if storage.get(&key).map_err(io::Error::other)?.is_none() {
            return Ok(false);
        }
        thread::sleep(PAUSE);
    }
    Ok(true)
}

/// Nobody, who may have no process more than this one.
const NOBODY: libc::uid_t = 65534;

/// Fails to fork, and stops; ends where it cannot fail.
fn fail_to_fork() -> i32 {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: system calls with live arguments. A child, should there be one, ends at once.
    unsafe {
        let failed = libc::setresuid(NOBODY, NOBODY, NOBODY) == 0
            && libc::setrlimit(libc::RLIMIT_NPROC, &raw const none) == 0
            && match libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) {
                0 => libc::_exit(0),
                pid => pid < 0,
            };
        if failed {
            libc::kill(libc::getpid(), libc::SIGSTOP);
        }
    }
    1
}
