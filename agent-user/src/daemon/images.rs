//! Images: built for what each session sees, and put in force.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::time::{Instant, interval_at};

use super::{error::RequestError, sessions::Live, state::Daemon, superblocks::Superblocks};
use crate::mounts::MountView;

/// How long an epoch lasts at most. Remembered directories hold for one epoch and one value of
/// `rename_lock`, whose 32 bits come around after 2^31 renames: at one a microsecond in 36 minutes.
const EPOCH: Duration = Duration::from_secs(10 * 60);

impl Daemon {
    /// Gives every session's image a new epoch, again and again.
    pub(super) async fn renew_epochs(self: Arc<Self>) {
        let mut ticks = interval_at(Instant::now() + EPOCH, EPOCH);
        loop {
            ticks.tick().await;
            self.rebuild_all().await;
        }
    }

    /// Something was mounted or unmounted where this session is: its image follows.
    pub(super) async fn rebuild(&self, live: &Live) -> Result<(), RequestError> {
        let mut table = self.superblocks.lock().await;
        self.install(live, &mut table)
    }

    /// Filesystems went away: their numbers can be used again when no image has them.
    pub(super) async fn forget_superblock(&self, dev: u32) -> Result<(), RequestError> {
        let mut table = self.superblocks.lock().await;
        if table.number(dev).is_none() {
            return Ok(());
        }
        table.forget(&mut self.kernel(), dev)?;
        self.install_all(&mut table);
        Ok(())
    }

    /// Replaces every session's image.
    pub(super) async fn rebuild_all(&self) {
        let mut table = self.superblocks.lock().await;
        self.install_all(&mut table);
    }

    fn install_all(&self, table: &mut Superblocks) {
        let mut complete = true;
        // Without new numbers first: an image that is yet to be replaced may use them otherwise.
        for live in self.sessions().live() {
            if let Err(error) = self.put_in_force(&live, &live.view(), table) {
                complete = false;
                tracing::error!("the image of {} was not replaced: {error}", live.row.name);
            }
        }
        if complete {
            table.all_replaced();
            for live in self.sessions().live() {
                if let Err(error) = self.install(&live, table) {
                    tracing::error!("the image of {} was not replaced: {error}", live.row.name);
                }
            }
        }
    }

    /// Builds the image of a session for its mounts as they are now.
    pub(super) fn install(&self, live: &Live, table: &mut Superblocks) -> Result<(), RequestError> {
        let view = live
            .mounts
            .view()
            .map_err(|error| RequestError::failed("cannot read the session's mounts", error))?;
        self.number(&view, table)?;
        self.grow_reach(live, &view)?;
        self.put_in_force(live, &view, table)?;
        live.set_view(view);
        Ok(())
    }

    /// Gives numbers to the filesystems of a view.
    pub(super) fn number(
        &self,
        view: &MountView,
        table: &mut Superblocks,
    ) -> Result<(), RequestError> {
        let mut kernel = self.kernel();
        table.reconcile(&kernel.superblocks()?);
        let without = table.add(&mut kernel, view.devices())?;
        if without > 0 && table.has_stale() {
            let live = self.sessions().live();
            let seen = live
                .iter()
                .flat_map(|live| live.view().devices().collect::<Vec<_>>());
            table.keep_only(
                &mut kernel,
                &seen.chain(view.devices()).collect::<BTreeSet<_>>(),
            )?;
            drop(kernel);
            let replaced = live
                .iter()
                .all(|live| self.put_in_force(live, &live.view(), table).is_ok());
            if replaced {
                table.all_replaced();
            }
            kernel = self.kernel();
            let without = table.add(&mut kernel, view.devices())?;
            if without > 0 {
                tracing::warn!("{without} filesystems have no number: they are refused whole");
            }
        }
        Ok(())
    }

    fn put_in_force(
        &self,
        live: &Live,
        view: &MountView,
        table: &Superblocks,
    ) -> Result<(), RequestError> {
        let Some(compiled) = &live.compiled else {
            return Ok(());
        };
        if live.ending.load(Relaxed) {
            return Ok(());
        }
        let epoch = self.next_epoch();
        let image = compiled
            .image(live.row.number, epoch, view, |dev| table.number(dev))
            .map_err(|error| RequestError::BadGrant(error.to_string()))?;
        Ok(self.kernel().install(live.row.slot, &image)?)
    }

    /// Never the same twice while the host is up.
    fn next_epoch(&self) -> u32 {
        self.next_epoch.fetch_add(1, Relaxed)
    }

    pub(super) fn live_sessions(&self) -> Vec<Arc<Live>> {
        self.sessions().live()
    }
}
