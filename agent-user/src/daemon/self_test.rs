//! The self-test of every start: one act of each family of hooks has to be refused.

use std::{sync::Arc, thread, time::Instant};

use anyhow::{Context as _, anyhow, bail};

use super::state::Daemon;
use crate::{
    api::doctor::{ActResult, TriedAct},
    grants::{Prepared, Resolver},
    kernel::SELF_CHECK,
    mounts::MountNamespace,
    process::ProcessHandle,
    self_test::{Place, SYSTEM_CALLS, Scratch},
};

impl Daemon {
    /// # Errors
    /// Something was not refused.
    pub(super) async fn self_test(self: &Arc<Self>) -> anyhow::Result<()> {
        let began = Instant::now();
        let outcomes = match self.try_acts().await {
            Ok(outcomes) => outcomes,
            // That hooks refuse was seen before, on a file; whoever was limited stays so.
            Err(error) => {
                tracing::error!("the self-test was not done: {error:#}");
                return Ok(());
            }
        };
        for outcome in &outcomes {
            let TriedAct { family, what, .. } = outcome;
            let note = outcome.note.as_deref().unwrap_or("refused");
            if outcome.result == ActResult::Good {
                tracing::debug!("self-test: {family}: {what}: {note}");
            } else {
                tracing::warn!("self-test: {family}: {what}: {note}");
            }
        }
        let good = outcomes.iter().filter(|o| o.result == ActResult::Good);
        tracing::info!(
            "self-test: {} of {} acts were refused and their twins were not, in {} ms",
            good.count(),
            outcomes.len(),
            began.elapsed().as_millis()
        );
        if let Some(hole) = outcomes.iter().find(|outcome| outcome.is_hole()) {
            bail!(
                "the self-test failed: a session under limits tried this, and it was not refused: \
                 {} ({}). Enforcement would be unsafe on this kernel, so the daemon does not start; \
                 please report this with `uname -r`",
                hole.what,
                hole.family
            );
        }
        Ok(())
    }

    async fn try_acts(self: &Arc<Self>) -> anyhow::Result<Vec<TriedAct>> {
        let (place, mut scratch) = self.blocking(|_| start()).await?;
        let mounts = MountNamespace::of_process(scratch.pid())?;
        let (source, inputs) = place.grant();
        let generation = SELF_CHECK.generation;
        let (prepared, image) = {
            let mut table = self.superblocks.lock().await;
            let (view, sight) = self.first_look(&mounts, &mut table)?;
            let resolver = Resolver::new(mounts.root(), &view);
            let names = sight.names();
            let own = self.own.places()?;
            let prepared = Prepared::new(&source, &inputs, resolver, &own, names, &self.compiled)?;
            let number = |dev| table.number(dev, sight.instance(dev)?);
            let epoch = self.epochs.next(&self.store)?;
            let image = prepared.compiled.image(generation, epoch, names, number);
            (prepared, image.map_err(anyhow::Error::msg)?)
        };
        let entries = prepared.compiled.net_entries(generation);
        {
            let mut kernel = self.kernel();
            kernel.add_net(&entries)?;
            kernel.install(SELF_CHECK.slot, &image)?;
        }
        let outcomes = self
            .blocking(move |daemon| {
                let process = ProcessHandle::open(scratch.pid())?;
                daemon.kernel().set_label(process.fd(), SELF_CHECK)?;
                let mut outcomes = scratch.go()?;
                // `bailiff run` filters them, which did not start this.
                outcomes.retain(|outcome| outcome.family != SYSTEM_CALLS);
                anyhow::Ok(outcomes)
            })
            .await;
        let mut kernel = self.kernel();
        kernel.remove(SELF_CHECK.slot)?;
        kernel.remove_net(generation)?;
        outcomes
    }
}

/// The process that will do the acts, and where. The thread in whose mount namespace it starts is its own,
/// so that no other work of the daemon's is done there.
fn start() -> anyhow::Result<(Place, Scratch)> {
    let work = || {
        let place = Place::private().context("cannot make its files")?;
        let scratch = place.start()?;
        anyhow::Ok((place, scratch))
    };
    let thread = thread::Builder::new().spawn(work)?;
    thread.join().map_err(|_| anyhow!("its thread ended"))?
}
