//! Following what is mounted: one task for each mount namespace that sessions are in, however many.

use std::{
    sync::{Arc, PoisonError, Weak},
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};

use crate::{daemon::state::Daemon, mounts::MountNamespace};

/// A burst of changes has ended when nothing changed for so long …
const QUIET: Duration = Duration::from_millis(20);
/// … or it has lasted so long already.
const LONGEST: Duration = Duration::from_millis(300);
/// Looks that are taken without being woken.
const GLANCE: Duration = Duration::from_secs(5);

impl Daemon {
    /// The one handle of a namespace and root that all sessions in it share; followed from now on, until
    /// the last has ended.
    pub(in crate::daemon) fn share(
        self: &Arc<Self>,
        mounts: MountNamespace,
    ) -> Arc<MountNamespace> {
        let mut shared = self
            .namespaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        shared.retain(|known| known.strong_count() > 0);
        let mut known = shared.iter().filter_map(Weak::upgrade);
        if let Some(known) = known.find(|known| known.vantage() == mounts.vantage()) {
            return known;
        }
        let mounts = Arc::new(mounts);
        shared.push(Arc::downgrade(&mounts));
        tokio::spawn(Arc::clone(self).follow(Arc::downgrade(&mounts)));
        mounts
    }

    /// The namespaces that sessions are in.
    pub(in crate::daemon) fn shared_mounts(&self) -> Vec<Arc<MountNamespace>> {
        let shared = self
            .namespaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        shared.iter().filter_map(Weak::upgrade).collect()
    }

    async fn follow(self: Arc<Self>, mounts: Weak<MountNamespace>) {
        let Some(watch) = mounts.upgrade().map(|mounts| mounts.watch()) else {
            return;
        };
        if let Err(error) = &watch {
            tracing::warn!("mounts are looked at now and then only: {error}");
        }
        loop {
            match &watch {
                Ok(watch) => match timeout(GLANCE, watch.changed()).await {
                    Ok(Ok(())) => {
                        let begun = Instant::now();
                        // Each change would cost every session a look.
                        while begun.elapsed() < LONGEST
                            && timeout(QUIET, watch.changed()).await.is_ok()
                        {
                        }
                    }
                    Ok(Err(error)) => {
                        tracing::warn!("mounts cannot be followed: {error}");
                        sleep(GLANCE).await;
                    }
                    Err(_) if mounts.strong_count() == 0 => return,
                    Err(_) => continue,
                },
                Err(_) => sleep(GLANCE).await,
            }
            let Some(mounts) = mounts.upgrade() else {
                return;
            };
            self.take_in(&mounts).await;
        }
    }
}
