//! Putting a grant in force: for processes to come, or for a running cgroup.

use std::{path::Path, sync::Arc};

use agent_grant::Grant;
use jiff::Timestamp;

use super::Live;
use crate::{
    api::{EndCause, PathText, StartSession, Target},
    cgroup::Cgroup,
    clock::fix_record_clock,
    daemon::{error::RequestError, requests::peer::Peer, state::Daemon},
    grants::{Host, OwnFiles, Prepared, Reach, Resolver, Spot},
    mounts::{MountNamespace, MountView, Sight},
    process::ProcessHandle,
    store::{Counter, SessionRow},
};

/// What a session will be about.
struct Place {
    /// `None`: the daemon makes one.
    cgroup: Option<Cgroup>,
    mounts: MountNamespace,
}

/// What is seen there when the session begins.
struct Seen {
    place: Place,
    view: MountView,
    sight: Sight,
}

impl Daemon {
    /// Starts a session. Nothing is in force if it fails.
    pub(in crate::daemon) async fn start(
        self: &Arc<Self>,
        request: StartSession,
        peer: &Peer,
    ) -> Result<Arc<Live>, RequestError> {
        self.must_enforce()?;
        self.must_record().await?;
        let caller = peer.process.as_ref().map_or(0, |process| process.pid());
        let place = self.place(&request.target, caller)?;
        let (view, sight) = {
            let mut table = self.superblocks.lock().await;
            self.first_look(&place.mounts, &mut table)?
        };
        let seen = Seen { place, view, sight };
        let uid = peer.uid;
        let turn = self.shares.compiling.acquire().await;
        let (request, prepared, seen) = self
            .blocking(move |daemon| {
                let prepared = daemon.prepare(&request, &seen, caller, uid);
                (request, prepared, seen)
            })
            .await;
        drop(turn);
        let prepared = prepared?;
        let slot = self.sessions().take_slot().ok_or_else(|| {
            RequestError::Conflict(
                "as many sessions run as can: end one with `bailiff stop`".into(),
            )
        })?;
        let live = self
            .install_new(slot, request, prepared, seen, peer.uid)
            .await;
        if live.is_err() {
            self.sessions().release_slot(slot);
        }
        let live = live?;
        self.watch(Arc::clone(&live));
        tracing::info!("session {} started under {}", live.row.name, live.row.grant);
        Ok(live)
    }

    /// Reads and compiles a grant that no session could have changed, for who is at this place.
    fn prepare(
        &self,
        request: &StartSession,
        seen: &Seen,
        caller: u32,
        uid: u32,
    ) -> Result<Prepared, RequestError> {
        let witness = self.witness()?;
        let files = self.grant_files(&request.grant, caller, &seen.view, &witness)?;
        let makers = |spot: &Spot| witness.against_link(spot);
        let resolver = Resolver::new(seen.place.mounts.root(), &seen.view)
            .of_owner(uid)
            .asking(&makers)
            .keeping_from(&files);
        let names = seen.sight.names();
        let (source, inputs) = (&request.grant, &request.inputs);
        Prepared::new(source, inputs, resolver, &self.own, names, &self.compiled)
            .map_err(|error| RequestError::BadGrant(error.to_string()))
    }

    fn place(&self, target: &Target, caller: u32) -> Result<Place, RequestError> {
        let (cgroup, process) = match target {
            Target::New => (None, caller),
            Target::Cgroup(path) => {
                let cgroup = self.taggable(path, caller)?;
                // An empty cgroup gets its processes from this host's own namespace.
                let first = cgroup
                    .processes()
                    .ok()
                    .and_then(|pids| pids.first().copied());
                (Some(cgroup), first.unwrap_or(1))
            }
        };
        let failed = |error| {
            RequestError::failed(format!("cannot see the mounts of process {process}"), error)
        };
        let mounts = MountNamespace::of_process(process).map_err(failed)?;
        Ok(Place { cgroup, mounts })
    }

    /// The cgroup at `path`, if tagging it harms nobody who must stay free.
    fn taggable(&self, path: &str, caller: u32) -> Result<Cgroup, RequestError> {
        let cgroup = self.hierarchy.open(Path::new(path)).map_err(|error| {
            RequestError::NotFound(format!(
                "no cgroup at {path}: {error}; give a path below {}, or as /proc/PID/cgroup \
                 writes it",
                self.hierarchy.root().display()
            ))
        })?;
        if cgroup.path() == self.hierarchy.root() {
            return Err(RequestError::BadRequest(
                "the root cgroup holds the whole host: tag a cgroup below it".into(),
            ));
        }
        let pids = cgroup
            .processes()
            .map_err(|error| RequestError::failed("cannot list the cgroup's processes", error))?;
        let free = [
            (std::process::id(), "the daemon"),
            (1, "init"),
            (caller, "this command"),
        ];
        if let Some((_, who)) = free.iter().find(|(pid, _)| pids.contains(pid)) {
            return Err(RequestError::BadRequest(format!(
                "{who} itself runs in {}: tag a cgroup that holds the agent alone",
                cgroup.path().display()
            )));
        }
        for live in self.live_sessions() {
            let (ours, theirs) = (cgroup.path(), live.cgroup.path());
            if ours.starts_with(theirs) || theirs.starts_with(ours) {
                return Err(RequestError::Conflict(format!(
                    "{} overlaps with the cgroup of the session {}: end that first",
                    ours.display(),
                    live.row.name
                )));
            }
        }
        for pid in pids {
            let Ok(process) = ProcessHandle::open(pid) else {
                continue;
            };
            let label = self.kernel().label(process.fd());
            if let Ok(Some(label)) = label {
                return Err(RequestError::Conflict(format!(
                    "process {pid} belongs to session {} already",
                    label.generation
                )));
            }
        }
        Ok(cgroup)
    }

    async fn install_new(
        self: &Arc<Self>,
        slot: u32,
        request: StartSession,
        prepared: Prepared,
        seen: Seen,
        uid: u32,
    ) -> Result<Arc<Live>, RequestError> {
        // Also of sessions that the store does not know, if it was lost.
        let (installed, last) = {
            let kernel = self.kernel();
            (
                kernel.installed()?,
                kernel.last_number(Counter::Session.into())?,
            )
        };
        let generations = installed.iter().map(|(_, header)| header.generation);
        let floor = generations.chain([last]).max().unwrap_or(0);
        let number = self
            .blocking(move |daemon| daemon.store.next(Counter::Session, floor))
            .await?;
        self.kernel().note_number(Counter::Session.into(), number)?;
        let name = format!("{}-{number}", file_name(&prepared.name));
        let Seen { place, view, sight } = seen;
        let own_cgroup = place.cgroup.is_none();
        let cgroup = match place.cgroup {
            Some(cgroup) => cgroup,
            None => self
                .hierarchy
                .create_for(&name)
                .map_err(|error| RequestError::failed("cannot make the session's cgroup", error))?,
        };
        let row = SessionRow {
            number,
            name,
            slot,
            own_cgroup,
            cgroup: cgroup.path().into(),
            cgroup_id: cgroup.id(),
            grant: prepared.name,
            mode: prepared.mode.into(),
            source: request.grant,
            inputs: request.inputs,
            resolutions: prepared.resolutions,
            sight: sight.clone(),
            rules: prepared.rules,
            command: request.command,
            uid,
            boot_id: self.boot_id.clone(),
            started: Timestamp::now(),
            ended: None,
            end_cause: None,
            counts: None,
        };
        let stored = row.clone();
        let grant = prepared.grant;
        if let Err(error) = self
            .blocking(move |daemon| {
                daemon.note_disks(Some(&view))?;
                let host = daemon.host()?;
                let reach = reach_of(&stored, &grant, &view, Some(&host), &daemon.own);
                daemon.open_reach(number, &stored.name, &reach, stored.started)?;
                let inserted = daemon.store.insert_session(&stored);
                if inserted.is_err() {
                    daemon.close_reach(number);
                }
                Ok::<_, RequestError>(inserted?)
            })
            .await
        {
            if own_cgroup {
                let _ = cgroup.remove();
            }
            return Err(error);
        }
        let compiled = Some(prepared.compiled);
        let mounts = self.share(place.mounts);
        let live = Arc::new(Live::new(
            row,
            cgroup,
            compiled,
            Some(mounts),
            sight,
            !own_cgroup,
        ));
        if live.may_set_clock() {
            fix_record_clock();
        }
        if let Err(error) = self.put_in_kernel(&live).await {
            self.sessions().insert(Arc::clone(&live));
            if !own_cgroup && let Err(error) = self.release(&live).await {
                tracing::error!("processes of {} stay limited: {error}", live.row.name);
            }
            self.end(&live, EndCause::NeverStarted).await;
            return Err(error);
        }
        Ok(live)
    }

    async fn put_in_kernel(self: &Arc<Self>, live: &Arc<Live>) -> Result<(), RequestError> {
        let entries = live
            .compiled()
            .map(|compiled| compiled.net_entries(live.row.number));
        {
            let mut kernel = self.kernel();
            kernel.reset_ledger(live.row.slot)?;
            kernel.reset_lost(live.row.slot)?;
            kernel.add_net(&entries.unwrap_or_default())?;
        }
        {
            let table = self.superblocks.lock().await;
            self.put_in_force(live, &live.sight(), &table)?;
            // From here on every rebuild includes it.
            self.sessions().insert(Arc::clone(live));
        }
        // Before, so that nothing is refused meanwhile; and what was opened until the label was there.
        if !live.row.own_cgroup {
            self.own_open_terminals(&live.cgroup, live.label());
        }
        let (daemon, cgroup, label) = (Arc::clone(self), live.cgroup.id(), live.label());
        self.blocking(move |_| daemon.tag(cgroup, label)).await?;
        if !live.row.own_cgroup {
            self.own_open_terminals(&live.cgroup, live.label());
        }
        Ok(())
    }
}

/// What a session can make, at most.
pub(in crate::daemon) fn reach_of(
    row: &SessionRow,
    grant: &Grant,
    view: &MountView,
    host: Option<&Host>,
    own: &OwnFiles,
) -> Reach {
    // Where operators keep grants, by the names that the session has for it.
    let places = own.places().map(|places| places.known_by(view.names()));
    let mut kept_from = places.map_or_else(|_| Vec::new(), |places| places.config);
    kept_from.extend(row.resolutions.kept_from.iter().map(PathText::bytes));
    // What is tagged may be anybody's, and so may what root starts.
    let uid = Some(row.uid).filter(|uid| row.own_cgroup && *uid != 0);
    Reach::of(grant, &kept_from, view, host, uid)
}

/// A grant's name as part of a file name.
fn file_name(grant: &str) -> String {
    let keep = |c: char| {
        if c.is_ascii_alphanumeric() || "_-.".contains(c) {
            c
        } else {
            '-'
        }
    };
    let name = grant.chars().map(keep).collect::<String>();
    let name = name.trim_start_matches('.').to_owned();
    if name.is_empty() {
        "session".into()
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::file_name;

    #[test]
    fn a_grants_name_makes_a_file_name() {
        assert_eq!(file_name("coder"), "coder");
        assert_eq!(file_name("../../etc"), "-..-etc");
        assert_eq!(file_name("a b/c"), "a-b-c");
        assert_eq!(file_name("..."), "session");
    }
}
