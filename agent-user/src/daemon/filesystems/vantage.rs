//! Where a session begins that waits for a service or a container: where its first program is executed.
//!
//! Until then its grant was compiled as the host sees it, and nothing of it has run. The first process that waits
//! in front of a program decides: links of the grant are followed there, filesystems are named as they are seen
//! there, and that is in force before the process goes on. It is decided once, and what is mounted there later has
//! no name: a session that may mount would choose it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::time::timeout;

use super::arrivals::Arrival;
use crate::{
    api::{Extent, Mode},
    attachments::{UnitBinds, binds, service_of},
    daemon::{
        error::RequestError,
        sessions::{
            Live,
            begin::{Seen, Wanted, reach_of},
            container::{Bound, Made, taken_elsewhere},
        },
        state::Daemon,
    },
    grants::Prepared,
    mounts::MountNamespace,
};

/// How long systemd may take to say what it mounts for a service.
const PATIENCE: Duration = Duration::from_secs(5);

impl Daemon {
    /// Whether it is still open where this session begins: nothing has been executed in it.
    pub(super) fn is_open(&self, live: &Live) -> Result<bool, RequestError> {
        if live.sight().decided {
            return Ok(false);
        }
        Ok(!self.has_executed(live)?)
    }

    /// Also what has ended since was counted, be it one program; a program that was refused was not executed.
    fn has_executed(&self, live: &Live) -> Result<bool, RequestError> {
        let counted = self
            .ledger_sum(live.row.slot)
            .ok_or_else(|| RequestError::Failed("what it did so far cannot be read".into()))?;
        let enforces = live.row.mode.known() == Some(Mode::Enforce);
        if counted.allowed > 0 || !enforces && counted.refused > 0 {
            return Ok(true);
        }
        let members = self.kernel().members()?;
        Ok(members.iter().any(|member| member.process == live.label()))
    }

    /// Lets a session begin where a process waits. False: that waits there no more.
    ///
    /// # Errors
    /// What is there cannot be told, or its grant means nothing there. Nothing of it may be executed.
    pub(super) async fn begin_there(
        self: &Arc<Self>,
        live: &Arc<Live>,
        arrival: Arrival,
    ) -> Result<bool, RequestError> {
        let known = live.sight();
        let is_image = Self::is_image(&arrival.mounts)?;
        if known.apart && !is_image {
            return Err(RequestError::Failed(
                "its root directory is the host's there: it is a container without one of its own, or a hook of its \
                 runtime (`createContainer`) of which that is not known since the daemon was started anew"
                    .into(),
            ));
        }
        if live.container.is_none() && live.row.extent() == Extent::Container {
            return Err(RequestError::Failed(
                "what its engine made is not known since the daemon was started anew: start the container anew, too"
                    .into(),
            ));
        }
        let made = live.container.as_ref().and_then(|made| made.root);
        if made.is_some_and(|made| made != arrival.mounts.vantage().root) {
            return Err(RequestError::Failed(
                "its root directory is none that its engine made: a link in its image leads there from where \
                 something is mounted"
                    .into(),
            ));
        }
        if known.vantage == Some(arrival.mounts.vantage()) {
            if !arrival.is_waiting(self)? {
                return Ok(false);
            }
            self.decide(live)?;
            return Ok(true);
        }
        let Arrival {
            mounts,
            process,
            waiting,
        } = arrival;
        // A container sees what its engine mounts, also in the cgroup of a service.
        let bound = match live.row.extent() {
            Extent::Container => Vec::new(),
            _ => self.bound_by_manager(waiting.pid).await?,
        };
        let mut seen = self.see(mounts).await?;
        let led_away = |made: &Made| made.led_away(&seen.view).map(str::to_owned);
        if let Some(destination) = live.container.as_ref().and_then(led_away) {
            return Err(RequestError::Failed(format!(
                "what is to be mounted at {destination} is not there: a link in its image leads elsewhere. Mount it at \
                 the directory that is meant"
            )));
        }
        let of_container = |made: &Made| made.taken_elsewhere(&seen.view);
        let of_service = || taken_elsewhere(&bound, &seen.view, is_image);
        let taken = live.container.as_ref().and_then(of_container);
        if let Some(why) = taken.or_else(of_service) {
            return Err(RequestError::Failed(why));
        }
        let turn = self.shares.compiling.acquire().await;
        let asked = Arc::clone(live);
        let (prepared, after) = self
            .blocking(move |daemon| {
                let wanted = Wanted {
                    trusted: BTreeSet::new(),
                    grant: &asked.row.source,
                    inputs: &asked.row.inputs,
                    reader: std::process::id(),
                    uid: asked.row.uid,
                    is_image,
                };
                (daemon.prepare(&wanted, &seen), seen)
            })
            .await;
        drop(turn);
        seen = after;
        let (prepared, host) = prepared?;
        if prepared.rules != live.row.rules {
            return Err(RequestError::Failed(
                "its grant reads otherwise there".into(),
            ));
        }
        let Seen {
            mounts,
            view,
            sight,
        } = seen;
        let arrival = Arrival {
            mounts,
            process,
            waiting,
        };
        // While it was compiled a dead daemon's successor, or patience that ended, may have let somebody go on.
        if !arrival.is_waiting(self)? {
            return Ok(false);
        }
        if self.has_executed(live)? {
            return Err(RequestError::Failed(
                "something of it was executed elsewhere meanwhile".into(),
            ));
        }
        let Prepared {
            compiled,
            resolutions,
            grant,
            ..
        } = prepared;
        let (row, making) = (&live.row, compiled.making(&grant));
        let mut row = row.clone();
        row.resolutions = resolutions.clone();
        self.note_disks(Some(&view))?;
        let reach = reach_of(&row, making, &view, Some(&host));
        self.open_reach(row.number, &row.name, &reach, row.started)?;
        self.store.set_place(row.number, &resolutions, &sight)?;
        // Not followed.
        live.begin_at(Arc::new(arrival.mounts), compiled, resolutions);
        live.set_sight(sight);
        {
            let table = self.superblocks.lock().await;
            self.put_in_force(live, &live.sight(), &table)?;
        }
        self.decide(live)?;
        for remark in live.remarks() {
            tracing::warn!("{}: {remark}", row.name);
        }
        tracing::info!("{} begins where process {} is", row.name, waiting.pid);
        Ok(true)
    }

    /// What of the host a service's manager mounts for the service that a process is in.
    ///
    /// # Errors
    /// That cannot be told, or a session could have chosen what it is.
    async fn bound_by_manager(self: &Arc<Self>, pid: u32) -> Result<Vec<Bound>, RequestError> {
        let cgroup = self.hierarchy.of_process(pid);
        let cgroup =
            cgroup.map_err(|error| RequestError::failed("cannot find its cgroup", error))?;
        let Some(unit) = service_of(&cgroup).map(str::to_owned) else {
            return Ok(Vec::new());
        };
        // Others wait behind it.
        let found = timeout(PATIENCE, self.blocking(move |_| binds(&unit))).await;
        let found = found.unwrap_or_else(|_| Err("systemd does not say what it mounts".into()));
        let found = found.map_err(RequestError::Failed)?;
        if found == UnitBinds::default() {
            return Ok(Vec::new());
        }
        self.bound(found.binds, found.root.into_iter().collect(), 1)
            .await
    }

    /// Whether the root directory there is another than the host's: whoever made what is in it made its links.
    pub(in crate::daemon) fn is_image(mounts: &MountNamespace) -> Result<bool, RequestError> {
        let hosts = MountNamespace::of_process(std::process::id());
        let hosts = hosts.map_err(|error| RequestError::failed("cannot look here", error))?;
        Ok(mounts.vantage().root != hosts.vantage().root)
    }

    /// Nobody passes from here on.
    fn decide(&self, live: &Live) -> Result<(), RequestError> {
        self.let_none_pass(live.label());
        let mut sight = (*live.sight()).clone();
        sight.decided = true;
        self.keep_sight(live, sight)?;
        if !self.began_elsewhere(live) {
            self.know_beginning(live)?;
        }
        Ok(())
    }

    /// Whether a session that waited began in another mount namespace than the host's. That may go while the
    /// session lives on, and its number be another's: it is known by its sequence alone.
    pub(in crate::daemon) fn began_elsewhere(&self, live: &Live) -> bool {
        let hosts = || MountNamespace::of_process(std::process::id()).ok();
        let known = live.sight().vantage.map(|vantage| vantage.namespace);
        live.tag().is_armed() && known != hosts().map(|hosts| hosts.vantage().namespace)
    }
}
