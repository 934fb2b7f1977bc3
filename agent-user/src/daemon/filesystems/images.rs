//! Images: built for what each session knows, and put in force.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::time::{Instant, interval_at};

use super::superblocks::Superblocks;
use crate::{
    daemon::{error::RequestError, sessions::Live, state::Daemon},
    grants::OwnPlaces,
    mounts::{MountNamespace, MountView, Shown, Sight},
    store::Counter,
};

/// How long an epoch lasts at most. Remembered directories hold for one epoch and one value of
/// `rename_lock`, whose 32 bits come around after 2^31 renames: at one a microsecond in 36 minutes.
const EPOCH: Duration = Duration::from_secs(10 * 60);

/// Instances of filesystems that are taken at a time.
const INSTANCES: u32 = 4096;

/// What is mounted, as far as it can be told by numbers.
pub(super) struct Look {
    pub(super) view: MountView,
    /// Filesystems that were there before they were given a number, and after.
    numbered: BTreeSet<u32>,
    own: OwnPlaces,
}

impl Look {
    /// Takes what is mounted into a session's sight; true where something has a name now.
    fn show_to(&self, sight: &mut Sight, table: &Superblocks) -> bool {
        sight.take_in(
            &self.view,
            |dev| table.instance(dev),
            |dev| self.numbered.contains(&dev),
            |dev, shown| self.own.are_in(dev, shown),
        )
    }

    /// The same of what a process of the session came to; what has a name now.
    pub(super) fn show_arrival_to(
        &self,
        sight: &mut Sight,
        table: &Superblocks,
        shows_all: bool,
    ) -> Vec<Shown> {
        sight.take_in_arrival(
            &self.view,
            |dev| table.instance(dev),
            |dev| self.numbered.contains(&dev),
            |dev, shown| self.own.are_in(dev, shown),
            shows_all,
        )
    }
}

impl Daemon {
    /// Gives every session's image a new epoch, again and again.
    pub(in crate::daemon) async fn renew_epochs(self: Arc<Self>) {
        let mut ticks = interval_at(Instant::now() + EPOCH, EPOCH);
        loop {
            ticks.tick().await;
            self.rebuild_all().await;
        }
    }

    /// A filesystem went away. Its number can be used again when no image has it.
    pub(in crate::daemon) async fn forget_superblock(
        &self,
        dev: u32,
        instance: u32,
    ) -> Result<(), RequestError> {
        let mut table = self.superblocks.lock().await;
        Ok(table.forget(self.kernel().as_mut(), dev, instance)?)
    }

    /// Replaces every session's image.
    pub(in crate::daemon) async fn rebuild_all(&self) {
        let stale = self.superblocks.lock().await.stale();
        let mut complete = true;
        for live in self.live_sessions() {
            // Who starts a session waits for one image, not for all of them.
            let table = self.superblocks.lock().await;
            if let Err(error) = self.put_in_force(&live, &live.sight(), &table) {
                complete = false;
                tracing::error!("the image of {} was not replaced: {error}", live.row.name);
            }
        }
        if complete {
            self.superblocks.lock().await.all_replaced(&stale);
        }
    }

    /// Something was mounted or unmounted in this namespace: its sessions see what is new.
    pub(in crate::daemon) async fn take_in(&self, mounts: &Arc<MountNamespace>) {
        let mut changed = Vec::new();
        {
            let mut table = self.superblocks.lock().await;
            let look = match self.look(mounts, &mut table) {
                Ok(look) => look,
                Err(error) => {
                    tracing::error!("sessions do not see what was mounted: {error}");
                    return;
                }
            };
            for live in self.live_sessions() {
                if !live.is_in(mounts) {
                    continue;
                }
                let known = live.sight();
                let mut sight = (*known).clone();
                let has_new = look.show_to(&mut sight, &table);
                if sight == *known {
                    continue;
                }
                let kept = self
                    .grow_reach(&live, &look.view)
                    .map_err(RequestError::from)
                    .and_then(|()| self.keep_sight(&live, sight));
                match kept {
                    Ok(()) if has_new => changed.push((live, known)),
                    Ok(()) => {}
                    Err(error) => {
                        tracing::error!("{} does not see what was mounted: {error}", live.row.name);
                    }
                }
            }
        }
        for (live, before) in changed {
            let table = self.superblocks.lock().await;
            if let Err(error) = self.enforce_names(&live, &before, &table) {
                tracing::warn!("{} is refused what was mounted: {error}", live.row.name);
            }
        }
    }

    /// Puts the names that a session has now in force, or none that it had not before.
    pub(super) fn enforce_names(
        &self,
        live: &Live,
        before: &Sight,
        table: &Superblocks,
    ) -> Result<(), RequestError> {
        let result = self.put_in_force(live, &live.sight(), table);
        if result.is_err() {
            let mut sight = (*live.sight()).clone();
            sight.leave_names(before);
            if let Err(error) = self.keep_sight(live, sight) {
                tracing::error!("{}: {error}", live.row.name);
            }
        }
        result
    }

    /// What a session knows from now on; in the store before it is in force, since the next daemon must
    /// not see anything for the first time that this one has seen.
    pub(super) fn keep_sight(&self, live: &Live, sight: Sight) -> Result<(), RequestError> {
        self.store.set_sight(live.row.number, &sight)?;
        live.set_sight(sight);
        Ok(())
    }

    /// What a session that begins here sees, and by which names it will know it.
    pub(in crate::daemon) fn first_look(
        &self,
        mounts: &MountNamespace,
        table: &mut Superblocks,
    ) -> Result<(MountView, Sight), RequestError> {
        let look = self.look(mounts, table)?;
        let mut sight = Sight::begin(mounts.vantage(), mounts.owner());
        look.show_to(&mut sight, table);
        Ok((look.view, sight))
    }

    /// Looks at what is mounted, and gives numbers to filesystems that have none.
    ///
    /// A filesystem can go, and another come with its device number, before it has a number. What is
    /// still mounted afterwards is what has it: from then on it is forgotten as it goes (`sb_delete`). So it is
    /// looked once more where one got its number now.
    ///
    /// What a session mounted for itself gets none: it is its own by its device.
    pub(super) fn look(
        &self,
        mounts: &MountNamespace,
        table: &mut Superblocks,
    ) -> Result<Look, RequestError> {
        let failed = |error| RequestError::failed("cannot read the session's mounts", error);
        let own = self
            .own
            .places()
            .map_err(|error| RequestError::failed("cannot find the daemon's own files", error))?;
        let mut view = mounts.view().map_err(failed)?;
        let mut devices = view.devices().collect::<BTreeSet<_>>();
        let of_sessions = self.kernel().session_filesystems()?;
        devices.retain(|dev| !of_sessions.contains(dev));
        if self.number(&devices, table)? {
            view = mounts.view().map_err(failed)?;
        }
        let view = view.with_sessions(of_sessions);
        Ok(Look {
            numbered: view.devices().filter(|dev| devices.contains(dev)).collect(),
            view,
            own,
        })
    }

    /// Gives numbers to filesystems; whether one was given that had none.
    fn number(
        &self,
        devices: &BTreeSet<u32>,
        table: &mut Superblocks,
    ) -> Result<bool, RequestError> {
        if table.instances_left() < devices.len() {
            let floor = table.highest_instance();
            let first = self.reserve(Counter::Filesystem, floor, INSTANCES)?;
            table.take_instances(first..first.saturating_add(INSTANCES));
        }
        let mut kernel = self.kernel();
        let mut there = Vec::new();
        for entry in table.entries() {
            if kernel.has_superblock(entry)? {
                there.push(entry);
            }
        }
        table.reconcile(&there);
        if devices.iter().all(|dev| table.instance(*dev).is_some()) {
            return Ok(false);
        }
        let without = table.add(kernel.as_mut(), devices.iter().copied())?;
        if without == 0 || !table.has_stale() {
            return Ok(true);
        }
        let live = self.sessions().live();
        let seen = live
            .iter()
            .flat_map(|live| live.sight().devices().collect::<Vec<_>>());
        table.keep_only(
            kernel.as_mut(),
            &seen.chain(devices.iter().copied()).collect(),
        )?;
        drop(kernel);
        let stale = table.stale();
        let replaced = live
            .iter()
            .all(|live| self.put_in_force(live, &live.sight(), table).is_ok());
        if replaced {
            table.all_replaced(&stale);
        }
        let without = table.add(self.kernel().as_mut(), devices.iter().copied())?;
        if without > 0 {
            tracing::warn!("{without} filesystems have no number: they are refused whole");
        }
        Ok(true)
    }

    /// Builds the image of a session for what it knows, and puts it in force.
    pub(in crate::daemon) fn put_in_force(
        &self,
        live: &Live,
        sight: &Sight,
        table: &Superblocks,
    ) -> Result<(), RequestError> {
        let Some(compiled) = live.compiled() else {
            return Ok(());
        };
        if live.ending.load(Relaxed) || live.released.load(Relaxed) {
            return Ok(());
        }
        let epoch = self.epochs.next(&self.store)?;
        let number = |dev| table.number(dev, sight.instance(dev)?);
        let image = compiled
            .image(live.row.number, epoch, &sight.names_in_force(), number)
            .map_err(|error| RequestError::BadGrant(error.to_string()))?;
        Ok(self.kernel().install(live.row.slot, &image)?)
    }

    pub(in crate::daemon) fn live_sessions(&self) -> Vec<Arc<Live>> {
        self.sessions().live()
    }
}
