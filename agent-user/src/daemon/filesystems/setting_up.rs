//! What sets a container up, in its cgroup: hooks of its runtime that are executed before it has its root directory
//! (`createContainer`, as NVIDIA's toolkit has). They are the operator's, work on the host's files, and so run as
//! themselves, with their labels armed.
//!
//! Nobody of the container can be one of them:
//!
//! - It is only before the container's first process has executed anything. Until then nothing in the cgroup is but
//!   the runtime and what that starts; what comes later (`podman exec`, checks of health) finds a session that began.
//! - It descends from that first process, which executes these hooks itself, and which does not wait to execute its
//!   own program. Whoever comes from outside meanwhile (`podman exec`) has another parent for good: the kernel gives
//!   orphans to a reaper of their parent's process namespace (`find_new_reaper()`), never to the container's.
//! - That first process, which the runtime named, is none of them, whatever its root directory is: the host's
//!   (`--rootfs /`), or an image's link over which an operator mounted the host.
//! - A program is executed so where the root directory is the host's, by a path there. In the container's own root
//!   directory, where its image chooses what a path means (`startContainer`), the session begins.
//! - A hook may go to the container's root directory in a mount namespace of its own, and execute there what it
//!   brought along: a copy in memory, sealed. No program of an image is one.
//!
//! The kernel side lets each pass for one execution, and in the mount namespace in which it was looked at.

use std::sync::Arc;

use agent_abi::{
    Label,
    arrival::{PASSES, PASSES_WITH_COPY, Waiting},
};

use super::arrivals::Arrival;
use crate::{
    daemon::{error::RequestError, sessions::Live, state::Daemon},
    mounts::MountNamespace,
    process::{self, ProcessHandle},
};

/// Between a container's first process and what a hook of it executes.
const MAX_ANCESTORS: usize = 64;

impl Daemon {
    /// Whether a process that waits sets the container up. Then it goes on, and its label stays armed.
    pub(super) fn passes(&self, live: &Arc<Live>, pid: u32, waiting: &Waiting) -> bool {
        let passage = match self.passage(live, pid, waiting) {
            Ok(Some(passage)) => passage,
            Ok(None) => return false,
            Err(error) => {
                let session = &live.row.name;
                tracing::warn!("whether process {pid} sets {session} up is not known: {error}");
                return false;
            }
        };
        let name = process::comm(pid).unwrap_or_else(|| "?".into());
        let entry = Waiting {
            stopped: passage,
            ..*waiting
        };
        let set = self.kernel().set_waiting(pid, &entry);
        if let Err(error) = set {
            tracing::error!("{error}");
            return false;
        }
        tracing::info!(
            "{}: process {pid} ({name}) sets it up, and is not under its grant",
            live.row.name
        );
        self.signal_waiting(pid, waiting.label);
        true
    }

    /// How it goes on. `None`: as any.
    fn passage(
        &self,
        live: &Live,
        pid: u32,
        waiting: &Waiting,
    ) -> Result<Option<u32>, RequestError> {
        let Some(container) = &live.container else {
            return Ok(None);
        };
        let first = &container.first;
        if first.pid() == pid || !first.alive() || !self.is_open(live)? {
            return Ok(None);
        }
        let waiting_now = self.kernel().waiting_processes()?;
        let first_waits = waiting_now.iter().any(|(waits, _)| *waits == first.pid());
        if first_waits || !Self::descends_from(pid, first) {
            return Ok(None);
        }
        let Some(arrival) = Arrival::of(pid, waiting)? else {
            return Ok(None);
        };
        if !arrival.is_waiting(self)? {
            return Ok(None);
        }
        if !Self::is_image(&arrival.mounts)? {
            return Ok(Some(PASSES));
        }
        let containers = MountNamespace::of_process(first.pid())
            .map_err(|error| RequestError::failed("cannot look there", error))?;
        let is_apart = containers.vantage().namespace != arrival.mounts.vantage().namespace;
        // Else its number is another's by now.
        let holds = is_apart && first.alive();
        Ok(holds.then_some(PASSES_WITH_COPY))
    }

    /// Whether a process was started by `first`, or by who was, as far as parents live. In doubt it was not.
    fn descends_from(pid: u32, first: &ProcessHandle) -> bool {
        let mut pid = pid;
        for _ in 0..MAX_ANCESTORS {
            let Ok(parent) = ProcessHandle::open(pid).and_then(|process| process.parent()) else {
                return false;
            };
            if parent == first.pid() {
                return first.alive();
            }
            if parent <= 1 {
                return false;
            }
            pid = parent;
        }
        false
    }

    /// What was said of who set it up, and has not executed what it was asked for, is forgotten.
    pub(super) fn let_none_pass(&self, label: Label) {
        for (pid, waiting) in self.waiting_processes() {
            if waiting.label == label && waiting.stopped >= PASSES {
                self.forget_waiting(pid);
            }
        }
    }
}
