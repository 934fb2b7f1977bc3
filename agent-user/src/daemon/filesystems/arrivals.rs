//! Mount namespaces that processes come to with an armed label. Each waits in front of its program until the
//! filesystems that are new there have names for the session (`agent-ebpf/src/namespace.rs`).
//!
//! Each namespace is looked at once for a session, before any process of it has force there. What is mounted
//! there later has no name: a session that may mount would choose it.

use std::{fs, os::unix::fs::MetadataExt, sync::Arc, time::Duration};

use agent_abi::{
    Label,
    arrival::{BEAT, BY_NUMBER, BY_SEQUENCE, STOPPED, Viewed, Waiting},
};
use nix::time::{ClockId, clock_gettime};
use tokio::time::{sleep, timeout};

use crate::{
    daemon::{error::RequestError, sessions::Live, state::Daemon},
    kernel::KernelError,
    mounts::{MountNamespace, Shown},
    process::ProcessHandle,
};

/// Whoever was about to stop when nobody should wait any more has stopped by then.
const SETTLED: Duration = Duration::from_millis(100);

/// A process that waits where it came to.
pub(super) struct Arrival {
    pub(super) mounts: MountNamespace,
    pub(super) process: ProcessHandle,
    pub(super) waiting: Waits,
}

/// What the kernel side says of it.
#[derive(Clone, Copy)]
pub(super) struct Waits {
    pub(super) pid: u32,
    label: Label,
    namespace: u32,
}

impl Arrival {
    /// `None`: it has ended.
    pub(super) fn of(pid: u32, waiting: &Waiting) -> Result<Option<Self>, RequestError> {
        let Ok(process) = ProcessHandle::open(pid) else {
            return Ok(None);
        };
        let mounts = MountNamespace::of_process(pid)
            .map_err(|error| RequestError::failed("cannot look there", error))?;
        let waiting = Waits {
            pid,
            label: waiting.label,
            namespace: waiting.number,
        };
        Ok(Some(Self {
            mounts,
            process,
            waiting,
        }))
    }

    /// Whether it is still there, and nothing of its program has run. While it has the label, and is armed, its
    /// number is its own.
    pub(super) fn is_waiting(&self, daemon: &Daemon) -> Result<bool, RequestError> {
        let armed = daemon.kernel().armed_label(self.process.fd())?;
        let is_there = self.mounts.vantage().namespace == u64::from(self.waiting.namespace);
        Ok(armed == Some(self.waiting.label) && self.process.alive() && is_there)
    }
}

impl Daemon {
    /// Says again and again that the daemon is there.
    pub(in crate::daemon) async fn attend(self: Arc<Self>) {
        while self.is_there() {
            sleep(Duration::from_nanos(BEAT)).await;
        }
    }

    /// Looks after who waits, one after the other: each is told, but a notice can be lost.
    pub(in crate::daemon) async fn look_after_arrivals(self: Arc<Self>) {
        while !self.leaving() {
            self.see_arrivals().await;
            let _ = timeout(Duration::from_nanos(BEAT), self.arrived.notified()).await;
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
    async fn see_arrivals(self: &Arc<Self>) {
        for (pid, waiting) in self.waiting_processes() {
            if waiting.stopped != STOPPED {
                // Soon, or it has gone on; or it ended in between.
                if ProcessHandle::open(pid).is_err() {
                    self.forget_waiting(pid);
                }
                continue;
            }
            let label = match self.sessions().in_force_by_number(waiting.label.generation) {
                Some(live) if self.passes(&live, pid, &waiting) => continue,
                Some(live) => self.see_arrival(&live, pid, &waiting).await,
                None => waiting.label,
            };
            self.let_go(pid, label);
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
        let sight = live.sight();
        let Some(vantage) = sight.vantage.filter(|_| sight.decided) else {
            return Ok(());
        };
        self.kernel().mark_viewed(Viewed {
            generation: live.row.number,
            by: BY_NUMBER,
            id: vantage.namespace,
        })
    }

    pub(super) fn waiting_processes(&self) -> Vec<(u32, Waiting)> {
        let waiting = self.kernel().waiting_processes();
        waiting.unwrap_or_else(|error| {
            tracing::error!("who waits for names of filesystems is not known: {error}");
            Vec::new()
        })
    }

    pub(super) fn forget_waiting(&self, pid: u32) {
        let forgotten = self.kernel().forget_waiting(pid);
        if let Err(error) = forgotten {
            tracing::warn!("{error}");
        }
    }

    /// The label with which it goes on.
    async fn see_arrival(self: &Arc<Self>, live: &Arc<Live>, pid: u32, waiting: &Waiting) -> Label {
        let session = &live.row.name;
        let seen = match self.is_open(live) {
            Ok(true) => match self.see_first(live, pid, waiting).await {
                Ok(is_there) => is_there,
                Err(error) => {
                    tracing::error!(
                        "{session} cannot begin where process {pid} is, which may execute nothing: {error}"
                    );
                    return self.refuse(pid, waiting.label);
                }
            },
            Ok(false) if self.is_of_another_host(live, pid) => {
                tracing::error!(
                    "process {pid} may execute nothing: {session} began in the user namespace of somebody, who chose \
                     its names, and this is none of his"
                );
                return self.refuse(pid, waiting.label);
            }
            Ok(false) => self.see_later(live, pid, waiting).await,
            Err(error) => {
                tracing::error!("process {pid} of {session} may execute nothing: {error}");
                return self.refuse(pid, waiting.label);
            }
        };
        // Else it stops again where it went, if it did.
        if seen {
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
        waiting.label
    }

    /// Whether a session began where the owner of a user namespace chose what has which name, and a process of it
    /// is somewhere else: what that finds there may be more than he has.
    fn is_of_another_host(&self, live: &Live, pid: u32) -> bool {
        let sight = live.sight();
        let owner_of = |pid| MountNamespace::of_process(pid).map_or(0, |mounts| mounts.owner());
        let hosts = owner_of(std::process::id());
        sight.decided && sight.mount_owner != hosts && owner_of(pid) != sight.mount_owner
    }

    /// The first of a session. False: it waits there no more.
    async fn see_first(
        self: &Arc<Self>,
        live: &Arc<Live>,
        pid: u32,
        waiting: &Waiting,
    ) -> Result<bool, RequestError> {
        match Arrival::of(pid, waiting)? {
            Some(arrival) => self.begin_there(live, arrival).await,
            None => Ok(false),
        }
    }

    /// One of a session that has begun. False: it waits there no more.
    async fn see_later(&self, live: &Live, pid: u32, waiting: &Waiting) -> bool {
        let session = &live.row.name;
        let named = match self.name_arrival(live, pid, waiting).await {
            Ok(Some(named)) => named,
            Ok(None) => return false,
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
        true
    }

    /// Lets a process execute nothing; the label that it has then.
    fn refuse(&self, pid: u32, label: Label) -> Label {
        let Ok(process) = ProcessHandle::open(pid) else {
            return label;
        };
        let mut kernel = self.kernel();
        // Its number may be another's by now.
        if kernel.armed_label(process.fd()).ok().flatten() != Some(label) {
            return label;
        }
        // Where that fails it goes on waiting, since it has no such label.
        let _ = kernel.set_label(process.fd(), Label::REFUSING.armed());
        Label::REFUSING
    }

    /// Gives what has no name for the session yet the one that it has where the process is. `None`: it waits there
    /// no more.
    async fn name_arrival(
        &self,
        live: &Live,
        pid: u32,
        waiting: &Waiting,
    ) -> Result<Option<Vec<Shown>>, RequestError> {
        let Some(arrival) = Arrival::of(pid, waiting)? else {
            return Ok(None);
        };
        if !arrival.is_waiting(self)? {
            return Ok(None);
        }
        if self.is_inhabited(live.label(), waiting.number)? {
            return Err(RequestError::Failed(
                "processes of the session were there before, and may have mounted it".into(),
            ));
        }
        let mounts = arrival.mounts;
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

    /// Lets a process go on that waits with this label.
    fn let_go(&self, pid: u32, label: Label) {
        // Before the signal: one that stops anew is written down anew.
        self.forget_waiting(pid);
        self.signal_waiting(pid, label);
    }

    /// Nobody else is sent the signal, whatever has its number now.
    pub(super) fn signal_waiting(&self, pid: u32, label: Label) {
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
