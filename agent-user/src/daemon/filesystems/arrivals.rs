//! Mount namespaces that processes come to with an armed label. Each waits in front of its program until the
//! filesystems that are new there have names for the session (`agent-ebpf/src/namespace.rs`).
//!
//! Each namespace is looked at once for a session, before any process of it has force there. What is mounted
//! there later has no name: a session that may mount would choose it.

use std::{fs, os::unix::fs::MetadataExt, sync::Arc, time::Duration};

use agent_abi::{
    Label,
    arrival::{BEAT, BY_NUMBER, BY_SEQUENCE, Viewed, Waiting},
};
use nix::time::{ClockId, clock_gettime};
use tokio::time::sleep;

use crate::{
    daemon::{error::RequestError, sessions::Live, state::Daemon},
    kernel::KernelError,
    mounts::{MountNamespace, Shown},
    process::ProcessHandle,
};

/// Whoever was about to stop when nobody should wait any more has stopped by then.
const SETTLED: Duration = Duration::from_millis(100);

impl Daemon {
    /// Says again and again that the daemon is there, and looks after who waits: each is told, but a notice
    /// can be lost.
    pub(in crate::daemon) async fn attend(self: Arc<Self>) {
        while self.is_there() {
            self.see_arrivals().await;
            sleep(Duration::from_nanos(BEAT)).await;
        }
    }

    /// False: the daemon ends.
    fn is_there(&self) -> bool {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
        let now = u64::try_from(now.as_nanos()).unwrap_or(0);
        let attended = {
            let mut kernel = self.kernel();
            if self.leaving() {
                return false;
            }
            kernel.attend(now)
        };
        if let Err(error) = attended {
            tracing::error!("filesystems of services and containers get no names: {error}");
        }
        true
    }

    /// Nobody waits for this daemon any more.
    pub(in crate::daemon) async fn leave_arrivals(&self) {
        for _ in 0..2 {
            {
                let mut kernel = self.kernel();
                self.leave();
                if let Err(error) = kernel.attend(0) {
                    tracing::error!("{error}");
                }
            }
            for (pid, waiting) in self.waiting_processes() {
                self.let_go(pid, waiting.label);
            }
            sleep(SETTLED).await;
        }
    }

    /// Finds names for the filesystems of everybody who waits, and lets them go on.
    pub(in crate::daemon) async fn see_arrivals(&self) {
        for (pid, waiting) in self.waiting_processes() {
            if waiting.stopped == 0 {
                // Soon; or it ended in between.
                if ProcessHandle::open(pid).is_err() {
                    self.forget_waiting(pid);
                }
                continue;
            }
            if let Some(live) = self.sessions().in_force_by_number(waiting.label.generation) {
                self.see_arrival(&live, pid, &waiting).await;
            }
            self.let_go(pid, waiting.label);
        }
    }

    /// Lets everybody go on who waits for a session's names. Its processes do not wait from here on.
    pub(in crate::daemon) fn let_all_go(&self, label: Label) {
        for (pid, waiting) in self.waiting_processes() {
            if waiting.label == label {
                self.let_go(pid, label);
            }
        }
    }

    /// Where a session began nobody waits: its filesystems had names first.
    pub(in crate::daemon) fn know_beginning(&self, live: &Live) -> Result<(), KernelError> {
        let Some(vantage) = live.sight().vantage else {
            return Ok(());
        };
        self.kernel().mark_viewed(Viewed {
            generation: live.row.number,
            by: BY_NUMBER,
            id: vantage.namespace,
        })
    }

    fn waiting_processes(&self) -> Vec<(u32, Waiting)> {
        let waiting = self.kernel().waiting_processes();
        waiting.unwrap_or_else(|error| {
            tracing::error!("who waits for names of filesystems is not known: {error}");
            Vec::new()
        })
    }

    fn forget_waiting(&self, pid: u32) {
        let forgotten = self.kernel().forget_waiting(pid);
        if let Err(error) = forgotten {
            tracing::warn!("{error}");
        }
    }

    async fn see_arrival(&self, live: &Live, pid: u32, waiting: &Waiting) {
        let session = &live.row.name;
        let named = match self.name_arrival(live, pid, waiting).await {
            Ok(Some(named)) => named,
            // It stops again where it went, if it did.
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(
                    "{session} is refused what is new in the mount namespace of process {pid}: {error}"
                );
                Vec::new()
            }
        };
        if !named.is_empty() {
            let points = named.iter().map(|shown| String::from_utf8_lossy(&shown.at));
            let points = points.collect::<Vec<_>>();
            tracing::info!("{session}: named in the mount namespace of process {pid}: {points:?}");
        }
        let viewed = Viewed {
            generation: live.row.number,
            by: BY_SEQUENCE,
            id: waiting.sequence,
        };
        let marked = self.kernel().mark_viewed(viewed);
        if let Err(error) = marked {
            tracing::error!("{error}");
        }
    }

    /// Gives what has no name for the session yet the one that it has where the process is. `None`: it waits there
    /// no more.
    async fn name_arrival(
        &self,
        live: &Live,
        pid: u32,
        waiting: &Waiting,
    ) -> Result<Option<Vec<Shown>>, RequestError> {
        let failed = |error| RequestError::failed("cannot look there", error);
        let Ok(process) = ProcessHandle::open(pid) else {
            return Ok(None);
        };
        let mounts = MountNamespace::of_process(pid).map_err(failed)?;
        // Asked last: while it has the label, and is armed, its number is its own.
        let armed = self.kernel().armed_label(process.fd())?;
        let is_there = mounts.vantage().namespace == u64::from(waiting.number);
        if armed != Some(waiting.label) || !process.alive() || !is_there {
            return Ok(None);
        }
        if self.is_inhabited(live.label(), waiting.number)? {
            return Err(RequestError::Failed(
                "processes of the session were there before, and may have mounted it".into(),
            ));
        }
        let mut table = self.superblocks.lock().await;
        let look = self.look(&mounts, &mut table)?;
        let known = live.sight();
        let mut sight = (*known).clone();
        let shows_all = mounts.owner() != 0 && mounts.owner() == known.mount_owner;
        let named = look.show_arrival_to(&mut sight, &table, shows_all);
        if sight == *known {
            return Ok(Some(named));
        }
        self.grow_reach(live, &look.view)?;
        self.keep_sight(live, sight)?;
        if !named.is_empty() {
            self.enforce_names(live, &known, &table)?;
        }
        Ok(Some(named))
    }

    /// Whether a process under the session's limits is in this mount namespace.
    fn is_inhabited(&self, label: Label, namespace: u32) -> Result<bool, KernelError> {
        let members = self.kernel().members()?;
        let mut limited = members.iter().filter(|member| member.process == label);
        Ok(limited.any(|member| {
            let there = fs::metadata(format!("/proc/{}/ns/mnt", member.tid));
            there.is_ok_and(|there| there.ino() == u64::from(namespace))
        }))
    }

    /// Lets a process go on that waits with this label. Nobody else is sent the signal, whatever has its number
    /// now.
    fn let_go(&self, pid: u32, label: Label) {
        // Before the signal: one that stops anew is written down anew.
        self.forget_waiting(pid);
        let Ok(process) = ProcessHandle::open(pid) else {
            return;
        };
        let armed = self.kernel().armed_label(process.fd());
        match armed {
            Ok(armed) if armed == Some(label) => {}
            Ok(_) => return,
            Err(error) => return tracing::error!("process {pid} goes on waiting: {error}"),
        }
        if let Err(error) = process.go_on()
            && process.alive()
        {
            tracing::error!("process {pid} goes on waiting: {error}");
        }
    }
}
