//! What happens to a session after its start: processes come, it is halted, it ends.

use std::{
    path::Path,
    sync::{Arc, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use agent_abi::Label;
use jiff::Timestamp;

use super::Live;
use crate::{
    api::{EndCause, Enrol, Extent, RuleCount, Vocabulary as _},
    cgroup::{Cgroup, gone},
    clock::record_now,
    daemon::{error::RequestError, heap, requests::peer::Peer, state::Daemon},
    process::ProcessHandle,
    store::{SessionRow, ended_row},
};

/// The end of a session, for the store.
pub(in crate::daemon) struct Ending {
    number: u32,
    at: Timestamp,
    cause: EndCause,
    counts: Vec<RuleCount>,
}

/// How long a killed session's processes may take to be gone.
const DEATH: Duration = Duration::from_secs(10);
/// Looks for processes to kill.
const KILL_PASSES: usize = 200;

impl Daemon {
    /// Puts the calling process into a session. It is labelled when this returns.
    pub(in crate::daemon) fn enrol(
        &self,
        live: &Live,
        peer: &Peer,
        said: Enrol,
    ) -> Result<(), RequestError> {
        let name = &live.row.name;
        if live.ending.load(Relaxed) {
            return Err(RequestError::Conflict(format!(
                "the session {name} has ended"
            )));
        }
        let cgroup = match (live.row.extent(), live.cgroup()) {
            (Extent::OwnCgroup, Some(cgroup)) => cgroup,
            (Extent::Attached, _) => {
                return Err(RequestError::BadRequest(format!(
                    "the session {name} is of what appears in cgroups: move the process there instead"
                )));
            }
            (Extent::Process, _) | (_, None) => {
                return Err(RequestError::BadRequest(format!(
                    "the session {name} is of the process that `bailiff exec` became: start another"
                )));
            }
            _ => {
                return Err(RequestError::BadRequest(format!(
                    "the session {name} was tagged on a cgroup: move the process there instead"
                )));
            }
        };
        let process = peer.process.as_ref().ok_or_else(|| {
            RequestError::Denied("the calling process cannot be identified".into())
        })?;
        self.own_standard_terminals(process, live.label());
        if said.own_terminal {
            self.own_jobs(process, live.label());
        }
        cgroup.admit(process.pid()).map_err(|error| {
            RequestError::failed("cannot move the process into its cgroup", error)
        })?;
        // A process that is alive now has had this pid all along.
        if !process.alive() {
            return Err(RequestError::Denied("the calling process has ended".into()));
        }
        self.ensure_label(process, live)?;
        live.started();
        Ok(())
    }

    /// The kernel side labels who comes into the cgroup. Where it has not, that is done here.
    fn ensure_label(&self, process: &ProcessHandle, live: &Live) -> Result<(), RequestError> {
        let wanted = Some(live.label());
        if self.kernel().label(process.fd())? == wanted {
            return Ok(());
        }
        tracing::warn!(
            "the move of {} into {} set no label; set it now",
            process.pid(),
            live.row.name
        );
        let mut kernel = self.kernel();
        kernel.set_label(process.fd(), live.label())?;
        if kernel.label(process.fd())? == wanted {
            return Ok(());
        }
        Err(RequestError::Failed(format!(
            "process {} could not be labelled; it stays unlabelled and must not run the command",
            process.pid()
        )))
    }

    /// Kills every process of a session, and waits for its end.
    pub(in crate::daemon) async fn stop(
        self: &Arc<Self>,
        live: &Arc<Live>,
    ) -> Result<(), RequestError> {
        if live.row.extent() == Extent::Attached {
            // It ends with its cgroups: who comes there before is still under its grant.
            self.kill_labelled(live.label()).await?;
            return Ok(());
        }
        live.stopping.store(true, Relaxed);
        if let Some(Err(error)) = live.cgroup().map(Cgroup::kill)
            && !gone(&error)
        {
            return Err(RequestError::failed(
                "cannot kill the session's processes",
                error,
            ));
        }
        self.kill_labelled(live.label()).await?;
        let mut ended = live.ended.subscribe();
        let deadline = tokio::time::Instant::now() + DEATH;
        loop {
            if !self.is_populated(live) {
                self.end(live, EndCause::Stopped).await;
            }
            if *ended.borrow_and_update() {
                // What was born in between outside its cgroup.
                self.kill_labelled(live.label()).await?;
                return Ok(());
            }
            if tokio::time::Instant::now() > deadline {
                return Err(RequestError::Failed(format!(
                    "processes of {} were killed and are not gone yet; the session ends with them",
                    live.row.name
                )));
            }
            let _ = tokio::time::timeout(Duration::from_millis(50), ended.changed()).await;
        }
    }

    /// Whether a session has processes where it is; one that was moved away from its cgroup is not counted.
    pub(in crate::daemon) fn is_populated(&self, live: &Live) -> bool {
        match live.cgroup() {
            Some(cgroup) => cgroup.populated().unwrap_or(false),
            None => self
                .processes_of(live.label())
                .map_or(true, |pids| !pids.is_empty()),
        }
    }

    /// Kills every process that has this label, wherever it was moved; how many.
    pub(super) async fn kill_labelled(
        self: &Arc<Self>,
        label: Label,
    ) -> Result<usize, RequestError> {
        let mut killed = 0;
        for _ in 0..KILL_PASSES {
            let found = self.blocking(move |daemon| daemon.kill_once(label)).await?;
            if found == 0 {
                return Ok(killed);
            }
            killed = killed.max(found);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(RequestError::Failed(format!(
            "processes of session {} are killed and come again: freeze their cgroup \
             (`echo 1 > cgroup.freeze`) and stop the session again",
            label.generation
        )))
    }

    fn kill_once(&self, label: Label) -> Result<usize, RequestError> {
        let mut found = 0;
        for pid in self.processes_of(label)? {
            let Ok(process) = ProcessHandle::open(pid) else {
                continue;
            };
            // The pid may be another's by now; the handle's label tells.
            if self.kernel().label(process.fd())? != Some(label) {
                continue;
            }
            found += 1;
            if let Err(error) = process.kill()
                && process.alive()
            {
                return Err(RequestError::failed(
                    format!("cannot kill process {pid}"),
                    error,
                ));
            }
        }
        Ok(found)
    }

    /// Kills what is left of a session that is not in force, by its label. `None`: nobody has it.
    pub(in crate::daemon) async fn stop_remains(
        self: &Arc<Self>,
        number: u32,
    ) -> Result<Option<usize>, RequestError> {
        let members = self.blocking(|daemon| daemon.kernel().members()).await?;
        let label = members
            .iter()
            .map(|member| member.process.in_force())
            .find(|label| label.generation == number);
        match label {
            Some(label) => self.kill_labelled(label).await.map(Some),
            None => Ok(None),
        }
    }

    /// Frees the processes of a tagged cgroup.
    pub(in crate::daemon) async fn untag(
        self: &Arc<Self>,
        live: &Arc<Live>,
    ) -> Result<(), RequestError> {
        if live.row.extent().is_launched() {
            return Err(RequestError::BadRequest(format!(
                "{} was started under its grant and stays limited; `bailiff stop {}` ends it",
                live.row.name, live.row.name
            )));
        }
        if live.row.extent() == Extent::Attached {
            return Err(RequestError::BadRequest(format!(
                "{} is of an attachment: `bailiff detach`, and start what is in it anew",
                live.row.name
            )));
        }
        self.release(live).await?;
        self.end(live, EndCause::Untagged).await;
        Ok(())
    }

    /// Sets every process of a session free. Doing it again finishes what was begun.
    pub(in crate::daemon) async fn release(
        self: &Arc<Self>,
        live: &Arc<Live>,
    ) -> Result<(), RequestError> {
        {
            // No image of it is put in force any more.
            let _table = self.superblocks.lock().await;
            live.released.store(true, Relaxed);
            let mut kernel = self.kernel();
            if let Some(cgroup) = live.cgroup() {
                kernel.untag_cgroup(cgroup.id())?;
            }
            kernel.release(live.label())?;
        }
        self.let_all_go(live.label());
        let (daemon, label) = (Arc::clone(self), live.label());
        self.blocking(move |_| daemon.clear(label)).await?;
        Ok(())
    }

    /// Takes a session out of the kernel and writes its end down. What still has its label is
    /// refused everything. Does nothing where this was done already.
    pub(in crate::daemon) async fn end(self: &Arc<Self>, live: &Arc<Live>, cause: EndCause) {
        if live.ending.swap(true, Relaxed) {
            return;
        }
        let cause = live.cause(cause);
        // No image of it is put in force any more: `put_in_force` looks at `ending`.
        let table = self.superblocks.lock().await;
        let counts = self.counts(live);
        self.tell_losses(live);
        self.take_out(live);
        drop(table);
        live.leave_mounts();
        if live.row.extent() == Extent::OwnCgroup
            && let Some(cgroup) = live.cgroup()
            && let Err(error) = cgroup.remove()
            && cgroup.exists()
        {
            tracing::warn!("the cgroup of {} was not removed: {error}", live.row.name);
        }
        let number = live.row.number;
        self.bury(number, cause, counts);
        self.blocking(move |daemon| {
            // The kernel waits for whoever looks a path up there.
            daemon.end_private_tmp(number);
            daemon.record_endings();
            daemon.close_reach(number);
        })
        .await;
        // Its last events are told by its grant.
        self.flush_events().await;
        let is_grant_gone = live.leave_grant();
        self.sessions().retire(number);
        if is_grant_gone {
            self.blocking(|_| heap::give_back()).await;
        }
        live.ended.send_replace(true);
        tracing::info!("session {} ended ({})", live.row.name, cause.word());
        // A container's goes with it, and its next start asks again.
        if matches!(cause, EndCause::CgroupRemoved) && live.row.extent() != Extent::Container {
            self.report_end(&live.row.name, cause, &live.row.cgroup);
        }
    }

    /// Has a session's end written down when the store takes it.
    pub(super) fn bury(&self, number: u32, cause: EndCause, counts: Vec<RuleCount>) {
        let ending = Ending {
            number,
            at: record_now(),
            cause,
            counts,
        };
        self.unrecorded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(ending);
    }

    /// Tells operators of an end that nobody asked for.
    pub(super) fn report_end(&self, session: &str, cause: EndCause, cgroup: &Path) {
        let cgroup = cgroup.display().to_string();
        tracing::warn!(
            "session {session} ended ({}): a cgroup that is made at {cgroup} now is in no session",
            cause.word()
        );
        self.writer.write(vec![ended_row(session, cause, &cgroup)]);
    }

    /// Writes down the ends that are not in the store yet. What fails is tried again later.
    pub(in crate::daemon) fn record_endings(&self) {
        let mut unrecorded = self
            .unrecorded
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        unrecorded.retain(|ending| {
            let Ending {
                number,
                at,
                cause,
                counts,
            } = ending;
            let result = self.store.end_session(*number, *at, *cause, counts);
            if let Err(error) = &result {
                tracing::error!("the end of session {number} is not recorded yet: {error}");
            }
            result.is_err()
        });
    }

    fn take_out(&self, live: &Live) {
        let mut kernel = self.kernel();
        let results = [
            live.cgroup()
                .map_or(Ok(()), |cgroup| kernel.untag_cgroup(cgroup.id())),
            kernel.remove(live.row.slot),
            kernel.remove_net(live.row.number),
        ];
        for error in results.into_iter().filter_map(Result::err) {
            tracing::warn!(
                "session {} was not taken out of the kernel whole: {error}",
                live.row.name
            );
        }
    }

    /// The ledger of a session by rule; the last row is what no rule decided.
    pub(in crate::daemon) fn counts(&self, live: &Live) -> Vec<RuleCount> {
        let counts = self.counts_of(&live.row);
        let sum = |of: fn(&RuleCount) -> u64| counts.iter().map(of).sum::<u64>();
        live.allowed.store(sum(|count| count.allowed), Relaxed);
        live.refused.store(sum(|count| count.refused), Relaxed);
        counts
    }

    /// What the ledger says of the session that had this slot last.
    pub(super) fn counts_of(&self, row: &SessionRow) -> Vec<RuleCount> {
        let ledger = self.kernel().ledger(row.slot, row.rules.len());
        let ledger = match ledger {
            Ok(ledger) => ledger,
            Err(error) => {
                tracing::warn!("the ledger of {} cannot be read: {error}", row.name);
                return Vec::new();
            }
        };
        let named = row.rules.iter().map(|rule| {
            let count = ledger
                .get(usize::from(rule.number))
                .copied()
                .unwrap_or_default();
            RuleCount {
                rule: Some(rule.clone()),
                allowed: count.allowed,
                refused: count.refused,
            }
        });
        let none = ledger.last().copied().unwrap_or_default();
        let none = RuleCount {
            rule: None,
            allowed: none.allowed,
            refused: none.refused,
        };
        named.chain([none]).collect()
    }
}
