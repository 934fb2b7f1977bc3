//! Putting a grant in force: for processes to come, or for a running cgroup.

use std::{
    collections::BTreeSet,
    mem,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering::Relaxed},
};

use jiff::Timestamp;

use super::{Live, container::Made, surroundings};
use crate::{
    api::{EndCause, Extent, GrantSource, Inputs, PathText, StartSession, Target},
    cgroup::Cgroup,
    clock::fix_record_clock,
    daemon::{error::RequestError, heap, requests::peer::Peer, state::Daemon},
    grants::{Host, Making, Prepared, Reach, Resolver, Spot},
    mounts::{MountNamespace, MountView, Sight},
    process::ProcessHandle,
    store::{Counter, SessionRow},
};

/// What a session will be about.
struct Place {
    extent: Extent,
    /// `None`: the daemon makes one.
    cgroup: Option<Cgroup>,
    /// The first of the processes that run there already.
    first: Option<u32>,
    container: Option<Made>,
}

/// From where a session's paths are named, and what is seen there.
pub(in crate::daemon) struct Seen {
    pub(in crate::daemon) mounts: MountNamespace,
    pub(in crate::daemon) view: MountView,
    pub(in crate::daemon) sight: Sight,
}

/// Which grant, and for whom.
pub(in crate::daemon) struct Wanted<'a> {
    pub(in crate::daemon) grant: &'a GrantSource,
    pub(in crate::daemon) inputs: &'a Inputs,
    /// Who read its files.
    pub(in crate::daemon) reader: u32,
    /// Whose links are followed besides root's.
    pub(in crate::daemon) uid: u32,
    /// Files that may be where sessions could write them, since somebody trusts what was read from them.
    pub(in crate::daemon) trusted: BTreeSet<Vec<u8>>,
    /// See [`Daemon::is_image`].
    pub(in crate::daemon) is_image: bool,
}

impl Place {
    /// Whether the session begins where its mounts are seen. Else it does where its first program is executed.
    fn is_decided(&self) -> bool {
        match self.extent {
            Extent::Attached | Extent::Container => false,
            Extent::CgroupAtExec => self.first.is_some(),
            Extent::OwnCgroup | Extent::Cgroup | Extent::Process => true,
        }
    }
}

impl Daemon {
    /// Starts a session. Nothing is in force if it fails.
    pub(in crate::daemon) async fn start(
        self: &Arc<Self>,
        mut request: StartSession,
        peer: &Peer,
    ) -> Result<Arc<Live>, RequestError> {
        let caller = peer.process.as_ref().map_or(0, |process| process.pid());
        let (mut place, mounts) = self.place(&request.target, caller)?;
        if let (
            Some(made),
            Target::Container {
                root,
                binds,
                layers,
                ..
            },
        ) = (&mut place.container, &mut request.target)
        {
            let whole = root.take().into_iter().chain(mem::take(layers));
            made.bound = self
                .bound(mem::take(binds), whole.collect(), caller)
                .await?;
        }
        if let Some(process) = place.first {
            request.inputs = surroundings::fill_in(request.inputs, process);
        }
        let live = self.begin(request, place, mounts, Some(peer)).await?;
        if live.row.extent() == Extent::Process
            && let Err(error) = self.arm_caller(&live, peer)
        {
            // It may have the label already.
            if let Err(error) = self.release(&live).await {
                tracing::error!("the caller of {} stays limited: {error}", live.row.name);
            }
            self.end(&live, EndCause::NeverStarted).await;
            return Err(error);
        }
        self.watch(Arc::clone(&live));
        tracing::info!("session {} started under {}", live.row.name, live.row.grant);
        Ok(live)
    }

    /// Starts a session that waits for cgroups to come, which the kernel side finds by their paths. Its mounts
    /// are those of the host until something executes in it.
    pub(in crate::daemon) async fn start_attached(
        self: &Arc<Self>,
        request: StartSession,
        subject: PathBuf,
    ) -> Result<Arc<Live>, RequestError> {
        let place = Place {
            extent: Extent::Attached,
            cgroup: Some(self.hierarchy.known(subject, 0)),
            first: None,
            container: None,
        };
        let mounts = surroundings::mounts_of_host()?;
        let live = self.begin(request, place, mounts, None).await?;
        live.attached.store(true, Relaxed);
        self.watch(Arc::clone(&live));
        Ok(live)
    }

    async fn begin(
        self: &Arc<Self>,
        request: StartSession,
        place: Place,
        mounts: MountNamespace,
        peer: Option<&Peer>,
    ) -> Result<Arc<Live>, RequestError> {
        self.must_enforce()?;
        self.must_record().await?;
        // Whoever read the files of the grant: where nobody asks, the daemon.
        let process = peer.and_then(|peer| peer.process.as_ref());
        let reader = match peer {
            Some(_) => process.map_or(0, |process| process.pid()),
            None => std::process::id(),
        };
        let asker = peer.map(|peer| peer.uid);
        let uid = asker.unwrap_or(0);
        let is_image = Self::is_image(&mounts)?;
        let mut seen = self.see(mounts).await?;
        seen.sight.decided = place.is_decided();
        seen.sight.apart = place.extent == Extent::Container;
        let turn = self.shares.compiling.acquire().await;
        let (request, prepared, seen) = self
            .blocking(move |daemon| {
                let prepared = daemon.trust_in(&request, asker).and_then(|trusted| {
                    let wanted = Wanted {
                        grant: &request.grant,
                        inputs: &request.inputs,
                        reader,
                        uid,
                        trusted,
                        is_image,
                    };
                    daemon.prepare(&wanted, &seen)
                });
                (request, prepared, seen)
            })
            .await;
        drop(turn);
        let (prepared, host) = prepared?;
        let is_new = prepared.is_new;
        let slot = self.sessions().take_slot().ok_or_else(|| {
            RequestError::Conflict(
                "as many sessions run as can: end one with `bailiff stop`".into(),
            )
        })?;
        let live = self.install_new(slot, request, prepared, (place, seen, host), peer);
        let live = live.await;
        if live.is_err() {
            self.sessions().release_slot(slot);
        }
        let live = live?;
        if is_new {
            // Compiling took many times what is left of it; nobody waits until that is given back.
            tokio::task::spawn_blocking(heap::give_back);
        }
        Ok(live)
    }

    /// What whoever begins here sees.
    pub(in crate::daemon) async fn see(
        &self,
        mounts: MountNamespace,
    ) -> Result<Seen, RequestError> {
        let mut table = self.superblocks.lock().await;
        let (view, sight) = self.first_look(&mounts, &mut table)?;
        Ok(Seen {
            mounts,
            view,
            sight,
        })
    }

    /// Reads and compiles a grant that no session could have changed, for who is at this place; and by what it
    /// was told what sessions could have changed.
    pub(in crate::daemon) fn prepare(
        &self,
        wanted: &Wanted<'_>,
        seen: &Seen,
    ) -> Result<(Prepared, Host), RequestError> {
        let witness = self.witness()?;
        let files = self.grant_files(wanted, &seen.view, &witness)?;
        let makers = |spot: &Spot| witness.against_link(spot);
        let resolver = Resolver::new(seen.mounts.root(), &seen.view)
            .of_owner(wanted.uid)
            .asking(&makers)
            .keeping_from(&files);
        let resolver = match wanted.is_image {
            true => resolver.keeping_to_mounts(),
            false => resolver,
        };
        let names = seen.sight.names();
        let (source, inputs) = (wanted.grant, wanted.inputs);
        let own = witness.host().own_places();
        let prepared = Prepared::new(source, inputs, resolver, own, names, &self.compiled)
            .map_err(|error| RequestError::BadGrant(error.to_string()))?;
        Ok((prepared, witness.into_host()))
    }

    fn place(&self, target: &Target, caller: u32) -> Result<(Place, MountNamespace), RequestError> {
        let extent = match target {
            Target::New => Extent::OwnCgroup,
            Target::Cgroup(_) => Extent::Cgroup,
            Target::CgroupAtExec(_) => Extent::CgroupAtExec,
            Target::Container { .. } => Extent::Container,
            Target::Caller => Extent::Process,
        };
        let mut container = None;
        let cgroup = match target {
            Target::New => None,
            Target::Caller => Some(self.cgroup_of(caller)),
            Target::Cgroup(path) | Target::CgroupAtExec(path) => Some(self.taggable(path, caller)?),
            Target::Container {
                process,
                id,
                root,
                destinations,
                ..
            } => {
                let (path, first) = self.place_of_container(*process, id)?;
                container = Some(Made::new(first, root.as_deref(), destinations));
                Some(self.taggable(&path, caller)?)
            }
        };
        let (first, mounts) = match &cgroup {
            // What its runtime is doing there is not the container's.
            _ if extent == Extent::Container => (None, surroundings::mounts_of_host()?),
            Some(cgroup) if extent.is_tagged() => surroundings::first_process(cgroup)?,
            _ => (None, surroundings::mounts_of(caller)?),
        };
        let place = Place {
            extent,
            cgroup,
            first,
            container,
        };
        Ok((place, mounts))
    }

    /// Where a process is, to be shown and for nothing else.
    fn cgroup_of(&self, process: u32) -> Cgroup {
        let path = self.hierarchy.of_process(process);
        let path = path.unwrap_or_else(|_| "?".into());
        let cgroup = self.hierarchy.open(&path);
        cgroup.unwrap_or_else(|_| self.hierarchy.known(path, 0))
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
            let Some(theirs) = live.cgroup() else {
                continue;
            };
            let (ours, theirs) = (cgroup.path(), theirs.path());
            if ours.starts_with(theirs) || theirs.starts_with(ours) {
                return Err(RequestError::Conflict(format!(
                    "{} overlaps with the cgroup of the session {}: end that first",
                    ours.display(),
                    live.row.name
                )));
            }
        }
        let tagged = self.kernel().tagged_cgroups()?;
        if let Some((_, label)) = tagged.iter().find(|(id, _)| *id == cgroup.id()) {
            return Err(RequestError::Conflict(format!(
                "{} is of session {} already",
                cgroup.path().display(),
                label.generation
            )));
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
        (place, seen, host): (Place, Seen, Host),
        peer: Option<&Peer>,
    ) -> Result<Arc<Live>, RequestError> {
        // Also of sessions that the store does not know, if it was lost.
        let floor = self.kernel().last_number(Counter::Session.into())?;
        let number = self
            .blocking(move |daemon| daemon.store.next(Counter::Session, floor))
            .await?;
        self.kernel().note_number(Counter::Session.into(), number)?;
        let name = format!("{}-{number}", file_name(&prepared.name));
        let Seen {
            mounts,
            view,
            sight,
        } = seen;
        let extent = place.extent;
        let own_cgroup = extent == Extent::OwnCgroup;
        let cgroup = match (place.cgroup, peer) {
            (Some(cgroup), _) => cgroup,
            (None, Some(peer)) => self.make_cgroup(&name, peer)?,
            (None, None) => {
                return Err(RequestError::Failed(format!("{name} is for no cgroup")));
            }
        };
        let row = SessionRow {
            number,
            name,
            slot,
            extent: extent.into(),
            cgroup: cgroup.path().into(),
            cgroup_id: cgroup.id(),
            grant: prepared.name,
            mode: prepared.mode.into(),
            source: prepared.source,
            inputs: request.inputs,
            resolutions: prepared.resolutions,
            sight: sight.clone(),
            rules: prepared.rules,
            command: request.command,
            uid: peer.map_or(0, |peer| peer.uid),
            boot_id: self.boot_id.clone(),
            started: Timestamp::now(),
            ended: None,
            end_cause: None,
            counts: None,
        };
        let stored = row.clone();
        let (grant, compiled) = (prepared.grant, prepared.compiled);
        let asked = Arc::clone(&compiled);
        if let Err(error) = self
            .blocking(move |daemon| {
                daemon.note_disks(Some(&view))?;
                let making = asked.making(&grant);
                let reach = reach_of(&stored, making, &view, Some(&host));
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
        let mounts = self.share(mounts);
        let mut live = Live::new(
            row,
            cgroup,
            Some(compiled),
            Some(mounts),
            sight,
            extent.is_tagged(),
        );
        live.container = place.container;
        let live = Arc::new(live);
        if live.may_set_clock() {
            fix_record_clock();
        }
        self.make_private_tmp(&live, peer).await;
        if let Err(error) = self.put_in_kernel(&live).await {
            self.sessions().insert(Arc::clone(&live));
            if extent.is_tagged()
                && let Err(error) = self.release(&live).await
            {
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
        self.know_beginning(live)?;
        // Before, so that nothing is refused meanwhile; and what was opened until the label was there.
        if let Some(cgroup) = live.tagged_cgroup() {
            self.own_open_terminals(cgroup, live.label());
        }
        if live.tag().is_armed() {
            self.blocking(Self::mark_launchers).await;
        }
        if let Some(cgroup) = live.cgroup() {
            let (daemon, cgroup, label) = (Arc::clone(self), cgroup.id(), live.tag());
            self.blocking(move |_| daemon.tag(cgroup, label)).await?;
        }
        if let Some(cgroup) = live.tagged_cgroup() {
            self.own_open_terminals(cgroup, live.label());
        }
        Ok(())
    }
}

/// What a session can make, at most.
pub(in crate::daemon) fn reach_of(
    row: &SessionRow,
    making: &Making,
    view: &MountView,
    host: Option<&Host>,
) -> Reach {
    // Where operators keep grants, by the names that the session has for it.
    let places = host.map(|host| host.own_places().known_by(view.names()));
    let mut kept_from = places.map_or_else(Vec::new, |places| places.config);
    kept_from.extend(row.resolutions.kept_from.iter().map(PathText::bytes));
    // What is tagged may be anybody's, and so may what root starts.
    let uid = Some(row.uid).filter(|uid| row.extent().is_launched() && *uid != 0);
    Reach::of(making, &kept_from, view, host, uid)
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
    // `coder+` is `coder` with rules of a command line.
    let name = name
        .trim_start_matches('.')
        .trim_end_matches('-')
        .to_owned();
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
        assert_eq!(file_name("coder+"), "coder");
        assert_eq!(file_name("---"), "session");
        assert_eq!(file_name("../../etc"), "-..-etc");
        assert_eq!(file_name("a b/c"), "a-b-c");
        assert_eq!(file_name("..."), "session");
    }
}
