//! Labels as they are looked up for every caller: by handles of their own, so that nobody who asks
//! waits for what else is done with the kernel side.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use agent_abi::{Label, names};

use super::{KernelError, LabelSource, forking::Processes, load::map_pin, sys::Map};

/// Who is in which session.
pub struct Labels {
    processes: Processes,
    /// Keyed by an accepted socket.
    connections: Map<i32, Label>,
}

impl Labels {
    /// # Errors
    /// The kernel side is not loaded.
    pub fn open() -> Result<Self, KernelError> {
        Ok(Self {
            processes: Processes::open()?,
            connections: Map::open(names::CONNECTIONS, &map_pin(names::CONNECTIONS))?,
        })
    }
}

impl LabelSource for Labels {
    fn of_process(&self, pidfd: &OwnedFd) -> Result<Option<Label>, KernelError> {
        let label = self.processes.label(pidfd)?.map(Label::settled);
        Ok(label.filter(|label| label.generation != 0))
    }

    fn of_connection(&self, accepted: BorrowedFd<'_>) -> Result<Option<Label>, KernelError> {
        let label = self.connections.get(&accepted.as_raw_fd())?;
        Ok(label.filter(|label| label.generation != 0))
    }
}
