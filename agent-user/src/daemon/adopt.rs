//! Taking over what an earlier daemon left in force.

use std::sync::Arc;

use agent_abi::ImageHeader;
use jiff::Timestamp;

use super::{sessions::Live, state::Daemon};
use crate::{
    api::EndCause,
    cgroup::Cgroup,
    grants::{Prepared, Resolver},
    mounts::{MountNamespace, Vantage},
    store::{SessionRow, StoreError},
};

impl Daemon {
    /// Finds the sessions that are still in force, and goes on with them. Nothing that the
    /// kernel enforces is interrupted.
    pub(super) async fn adopt(self: &Arc<Self>) -> Result<(), StoreError> {
        let rebooted = self.store.end_earlier_boots(&self.boot_id)?;
        if rebooted > 0 {
            tracing::info!("{rebooted} sessions ended when the host was restarted");
        }
        let installed = self.kernel().installed().unwrap_or_else(|error| {
            tracing::error!("what is in force cannot be read: {error}");
            Vec::new()
        });
        let mut rows = self.store.live_sessions()?;
        for (slot, header) in &installed {
            let known = rows.iter().position(|row| holds(row, *slot, header));
            match known.map(|index| rows.swap_remove(index)) {
                Some(row) => self.adopt_one(row),
                None => {
                    tracing::warn!(
                        "slot {slot} holds session {}, which is not in the store: its limits stay \
                         in force until the host restarts",
                        header.generation
                    );
                    self.sessions().orphan(*slot);
                }
            }
        }
        for row in rows {
            tracing::warn!("session {} is no longer in force", row.name);
            self.store
                .end_session(row.number, Timestamp::now(), EndCause::Vanished, &[])?;
        }
        self.close_reaches_of_the_dead();
        self.rebuild_all().await;
        // What was mounted while nobody looked.
        for mounts in self.shared_mounts() {
            self.take_in(&mounts).await;
        }
        for live in self.live_sessions() {
            self.watch(live);
        }
        Ok(())
    }

    fn adopt_one(self: &Arc<Self>, row: SessionRow) {
        let live = self.live(row);
        tracing::info!("session {} goes on", live.row.name);
        self.sessions().insert(Arc::new(live));
    }

    fn live(self: &Arc<Self>, row: SessionRow) -> Live {
        let cgroup = match self.hierarchy.open(&row.cgroup) {
            Ok(cgroup) if cgroup.id() == row.cgroup_id => cgroup,
            // The watching task sees that it is gone, and ends the session.
            _ => Cgroup::removed(row.cgroup.clone(), row.cgroup_id),
        };
        let mounts = self.vantage(&cgroup, row.sight.vantage);
        if mounts.is_none() {
            tracing::warn!(
                "nobody is where {} started: it is refused what is mounted from now on",
                row.name
            );
        }
        let resolver = Resolver::replay(&row.resolutions);
        let names = row.sight.names();
        let compiled = match Prepared::new(&row.source, &row.inputs, resolver, &self.own, names) {
            Ok(prepared) if prepared.rules == row.rules => {
                if let Some(view) = mounts.as_ref().and_then(|mounts| mounts.view().ok()) {
                    self.ensure_reach(&row, &prepared.grant, &view);
                }
                Some(prepared.compiled)
            }
            Ok(_) => {
                tracing::error!(
                    "this version reads the grant of {} otherwise: its image stays as it is",
                    row.name
                );
                None
            }
            Err(error) => {
                tracing::error!(
                    "the grant of {}: {error}; its image stays as it is",
                    row.name
                );
                None
            }
        };
        let populated = cgroup.populated().unwrap_or(false);
        let running = populated || !row.own_cgroup || !cgroup.exists();
        let sight = row.sight.clone();
        Live::new(row, cgroup, compiled, mounts, sight, running)
    }

    /// Where a session's mounts were seen so far. Not where just any process of it is: one that could
    /// change its namespace or its root would choose under which name it sees what comes.
    fn vantage(
        self: &Arc<Self>,
        cgroup: &Cgroup,
        known: Option<Vantage>,
    ) -> Option<Arc<MountNamespace>> {
        let known = known?;
        let processes = cgroup.processes().unwrap_or_default();
        let found = processes
            .into_iter()
            .chain([std::process::id(), 1])
            .filter_map(|pid| MountNamespace::of_process(pid).ok())
            .find(|mounts| mounts.vantage() == known)?;
        Some(self.share(found))
    }
}

fn holds(row: &SessionRow, slot: u32, header: &ImageHeader) -> bool {
    row.slot == slot && row.number == header.generation
}
