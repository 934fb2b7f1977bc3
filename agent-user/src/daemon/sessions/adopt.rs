//! Taking over what an earlier daemon left in force.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use agent_abi::{ImageHeader, Label, image::RELEASED_MAGIC};
use jiff::Timestamp;

use super::Live;
use crate::{
    api::{EndCause, Extent, GrantSource, Inputs, Mode, RuleCount, SourceFile},
    clock::fix_record_clock,
    daemon::{error::RequestError, events::owed::Owed, state::Daemon},
    grants::{GrantError, Prepared, Resolutions, Resolver},
    mounts::{MountNamespace, Sight},
    store::{SessionRow, StoreError},
};

impl Daemon {
    /// Finds the sessions that are still in force, and goes on with them. Nothing that the
    /// kernel enforces is interrupted.
    pub(in crate::daemon) async fn adopt(self: &Arc<Self>) -> Result<Vec<Owed>, StoreError> {
        match self.store.end_earlier_boots(&self.boot_id) {
            Ok(0) => {}
            Ok(rebooted) => {
                tracing::info!("{rebooted} sessions ended when the host was restarted");
            }
            // Said again below, until it is written down.
            Err(error) if error.may_pass() => tracing::warn!("{error}"),
            Err(error) => return Err(error),
        }
        let installed = self.kernel().installed().unwrap_or_else(|error| {
            tracing::error!("what is in force cannot be read: {error}");
            Vec::new()
        });
        let (mut rows, rebooted) = self
            .store
            .live_sessions()?
            .into_iter()
            .partition::<Vec<_>, _>(|row| row.boot_id == self.boot_id);
        for row in rebooted {
            self.bury(row.number, EndCause::Reboot, Vec::new());
        }
        let mut owed = Vec::new();
        for (slot, header) in &installed {
            let known = rows.iter().position(|row| holds(row, *slot, header));
            let row = match known.map(|index| rows.swap_remove(index)) {
                Some(row) => row,
                None => self.stranger(*slot, header),
            };
            let live = self.live(row, header.magic == RELEASED_MAGIC);
            if let Ok(Some(tally)) = self.store.tally(live.row.number) {
                live.told_lost.store(tally.lost, Relaxed);
            }
            self.counts(&live);
            let sum = self.ledger_sum(*slot).unwrap_or_default();
            owed.push(Owed::of(&live.row, sum.refused));
            tracing::info!("session {} goes on", live.row.name);
            if live.may_set_clock() {
                fix_record_clock();
            }
            self.sessions().insert(Arc::new(live));
        }
        for row in rows {
            tracing::warn!("session {} is no longer in force", row.name);
            let counts = self.last_word(&row, &installed)?;
            let refused = counts.iter().map(|count| count.refused).sum();
            owed.push(Owed::of(&row, refused));
            self.bury(row.number, EndCause::Vanished, counts);
        }
        self.record_endings();
        self.close_reaches_of_the_dead();
        self.end_private_tmps_of_the_dead();
        self.rebuild_all().await;
        // What was mounted while nobody looked.
        for mounts in self.shared_mounts() {
            self.take_in(&mounts).await;
        }
        if let Err(error) = self.complete().await {
            tracing::error!("what an earlier daemon began is not completed: {error}");
        }
        for live in self.live_sessions() {
            self.watch(live);
        }
        Ok(owed)
    }

    /// The ledger of a session that ended while the store could not take it, if it is still there.
    fn last_word(
        &self,
        row: &SessionRow,
        installed: &[(u32, ImageHeader)],
    ) -> Result<Vec<RuleCount>, StoreError> {
        let has_slot = self.store.last_of_slot(row.slot, &self.boot_id)? == Some(row.number);
        if !has_slot || installed.iter().any(|(slot, _)| *slot == row.slot) {
            return Ok(Vec::new());
        }
        let told = self.store.tally(row.number)?.unwrap_or_default().lost;
        self.tell_more_lost(row, told);
        Ok(self.counts_of(row))
    }

    /// Completes what an earlier daemon was doing when it died: tagging, or untagging.
    async fn complete(self: &Arc<Self>) -> Result<(), RequestError> {
        for live in self.live_sessions() {
            // The kernel side knows the others.
            if !self.began_elsewhere(&live) {
                self.know_beginning(&live)?;
            }
            if live.released.load(Relaxed) {
                self.release(&live).await?;
                self.end(&live, EndCause::Untagged).await;
            } else if let Some(cgroup) = live.cgroup().filter(|cgroup| cgroup.exists()) {
                self.kernel().tag_cgroup(cgroup.id(), live.tag())?;
            }
        }
        let labels = self
            .live_sessions()
            .iter()
            .map(|live| live.label())
            .collect::<Vec<_>>();
        {
            let mut kernel = self.kernel();
            for (cgroup, label) in kernel.tagged_cgroups()? {
                let label = label.in_force();
                if !labels.contains(&label) && label != Label::REFUSING {
                    kernel.untag_cgroup(cgroup)?;
                }
            }
        }
        let settled = self.blocking(Daemon::settle_labels).await?;
        if settled > 0 {
            tracing::warn!(
                "{settled} processes were labelled that an earlier daemon had not reached"
            );
        }
        Ok(())
    }

    /// A session that is in force and that the store does not know: somebody replaced the store. It
    /// goes on under what the kernel holds, and can be stopped like any other.
    fn stranger(&self, slot: u32, header: &ImageHeader) -> SessionRow {
        let label = Label {
            slot,
            generation: header.generation,
        };
        let tagged = self.kernel().tagged_cgroups().unwrap_or_default();
        let tag = tagged.iter().find(|(_, tag)| tag.in_force() == label);
        let id = tag.map_or(0, |(id, _)| *id);
        let cgroup = self
            .hierarchy
            .by_id(id)
            .unwrap_or_else(|_| self.hierarchy.known("?".into(), id));
        let extent = match tag {
            None => Extent::Process,
            Some(_) if self.hierarchy.is_made_for(header.generation, cgroup.path()) => {
                Extent::OwnCgroup
            }
            Some((_, tag)) if tag.is_armed() => Extent::CgroupAtExec,
            Some(_) => Extent::Cgroup,
        };
        let row = SessionRow {
            number: header.generation,
            name: format!("session-{}", header.generation),
            slot,
            extent: extent.into(),
            cgroup: cgroup.path().into(),
            cgroup_id: id,
            grant: "?".into(),
            mode: if header.audit == 0 {
                Mode::Enforce
            } else {
                Mode::Audit
            }
            .into(),
            source: GrantSource {
                main: SourceFile {
                    name: "?".into(),
                    origin: "?".into(),
                    text: "".into(),
                    file: None,
                },
                includes: Vec::new(),
            },
            inputs: Inputs::default(),
            resolutions: Resolutions::default(),
            rules: Vec::new(),
            command: Vec::new(),
            uid: 0,
            boot_id: self.boot_id.clone(),
            started: Timestamp::now(),
            ended: None,
            end_cause: None,
            counts: None,
            sight: Sight::default(),
        };
        tracing::warn!(
            "slot {slot} holds session {}, which is not in the store: it is called {} and goes on under \
             the limits that the kernel has; `bailiff stop {}` ends it",
            row.number,
            row.name,
            row.name
        );
        if let Err(error) = self.store.insert_session(&row) {
            tracing::warn!("{} is not in the store: {error}", row.name);
        }
        row
    }

    fn live(self: &Arc<Self>, row: SessionRow, released: bool) -> Live {
        let cgroup = match self.hierarchy.open(&row.cgroup) {
            Ok(cgroup) if cgroup.id() == row.cgroup_id => cgroup,
            // The watching task sees that it is gone, and ends the session.
            _ => self.hierarchy.known(row.cgroup.clone(), row.cgroup_id),
        };
        let label = Label {
            slot: row.slot,
            generation: row.number,
        };
        let processes = match row.extent() {
            Extent::Process | Extent::Attached | Extent::CgroupAtExec | Extent::Container => {
                self.processes_of(label).unwrap_or_default()
            }
            _ => cgroup.processes().unwrap_or_default().into_iter().collect(),
        };
        let mounts = self.vantage(&processes, &row);
        if mounts.is_none() {
            tracing::warn!(
                "nobody is where {} started: it is refused what is mounted from now on",
                row.name
            );
        }
        let resolver = Resolver::replay(&row.resolutions);
        let names = row.sight.names();
        let prepared = self.own.places().map_err(GrantError::OwnFiles);
        let prepared = prepared.and_then(|own| {
            let (source, inputs) = (&row.source, &row.inputs);
            Prepared::new(source, inputs, resolver, &own, names, &self.compiled)
        });
        let compiled = match prepared {
            Ok(prepared) if prepared.rules == row.rules => {
                if let Some(view) = mounts.as_ref().and_then(|mounts| mounts.view().ok()) {
                    let making = prepared.compiled.making(&prepared.grant);
                    self.ensure_reach(&row, making, &view);
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
        let populated = !processes.is_empty() || cgroup.populated().unwrap_or(false);
        // What was counted for it, processes did that are gone.
        let sum = self.ledger_sum(row.slot).unwrap_or_default();
        let has_acted = sum.allowed + sum.refused > 0;
        let is_attached = row.extent() == Extent::Attached;
        let has_places = || self.places_of(label).is_ok_and(|places| !places.is_empty());
        let running = match row.extent() {
            Extent::OwnCgroup => populated || has_acted || !cgroup.exists(),
            Extent::Attached => populated || has_acted || has_places(),
            Extent::Cgroup | Extent::CgroupAtExec | Extent::Container | Extent::Process => true,
        };
        let sight = row.sight.clone();
        let live = Live::new(row, cgroup, compiled, mounts, sight, running);
        live.released.store(released, Relaxed);
        let comes = |labels: Vec<Label>| labels.iter().any(|held| held.in_force() == label);
        let is_held = is_attached && self.kernel().attached_labels().is_ok_and(comes);
        live.attached.store(is_held, Relaxed);
        live
    }

    /// Where a session's mounts were seen so far. Not where just any process of it is: one that could
    /// change its namespace or its root would choose under which name it sees what comes.
    fn vantage(
        self: &Arc<Self>,
        processes: &BTreeSet<u32>,
        row: &SessionRow,
    ) -> Option<Arc<MountNamespace>> {
        let known = row.sight.vantage?;
        let found = processes
            .iter()
            .copied()
            .chain([std::process::id(), 1])
            .filter_map(|pid| MountNamespace::of_process(pid).ok())
            .find(|mounts| mounts.vantage() == known)?;
        let waited = matches!(
            row.extent(),
            Extent::Attached | Extent::CgroupAtExec | Extent::Container
        );
        let is_hosts = || {
            let hosts = MountNamespace::of_process(std::process::id());
            hosts.is_ok_and(|hosts| hosts.vantage().namespace == known.namespace)
        };
        if waited && !is_hosts() {
            // Where it began, which nobody follows.
            return Some(Arc::new(found));
        }
        Some(self.share(found))
    }
}

fn holds(row: &SessionRow, slot: u32, header: &ImageHeader) -> bool {
    row.slot == slot && row.number == header.generation
}
