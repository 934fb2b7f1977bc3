//! What the kernel side says has to be seen to, whatever becomes of events.

use std::{sync::Arc, time::Duration};

use agent_abi::EventKind;
use tokio::time::sleep;

use crate::{
    daemon::state::Daemon,
    kernel::{EventSource, OwnedEvent},
};

/// How soon a stream that cannot be read is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// Sees to notices for as long as the daemon lives.
pub(in crate::daemon) async fn follow(daemon: Arc<Daemon>, mut notices: Box<dyn EventSource>) {
    loop {
        match notices.wait().await {
            Ok(batch) => {
                for notice in batch {
                    daemon.see_to(&notice).await;
                }
            }
            Err(error) => {
                tracing::error!("notices cannot be read: {error}");
                sleep(RETRY).await;
            }
        }
    }
}

impl Daemon {
    async fn see_to(self: &Arc<Self>, notice: &OwnedEvent) {
        let event = &notice.event;
        if event.kind == EventKind::SuperblockGone as u8 {
            let (dev, instance) = (event.dev, event.detail.words[0] as u32);
            if let Err(error) = self.forget_superblock(dev, instance).await {
                tracing::warn!("a filesystem that is gone keeps its number: {error}");
            }
        } else if event.kind == EventKind::CgroupGone as u8 {
            let live = self.sessions().by_cgroup_id(event.cgroup);
            match live {
                Some(live) => live.stirred.notify_one(),
                // Whose it was among those of attachments, the kernel side has forgotten already.
                None => self.stir_attached(),
            }
        } else if event.kind == EventKind::Arrival as u8 {
            self.arrived.notify_one();
        } else if event.kind == EventKind::CgroupCame as u8 {
            let (daemon, number) = (Arc::clone(self), event.generation);
            // A start takes its time, and other notices wait behind this one.
            tokio::spawn(async move {
                if let Err(error) = daemon.renew(number).await {
                    tracing::warn!(
                        "what comes next will be in the session of what came last: {error}"
                    );
                }
            });
        } else if event.kind == EventKind::Unsettled as u8 {
            tracing::warn!("a process could not be labelled when it came: all are looked at");
            if let Err(error) = self.blocking(Self::settle_labels).await {
                tracing::error!("processes may lack labels: {error}");
            }
        }
    }
}
