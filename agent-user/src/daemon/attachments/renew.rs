//! A cgroup came into a session that waited: it has begun, and another waits from now on.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use agent_abi::Label;

use super::By;
use crate::{
    api::{EndCause, Extent},
    daemon::{error::RequestError, state::Daemon},
};

impl Daemon {
    /// Something is in this session from now on.
    pub(super) fn came(&self, number: u32) {
        if let Some(live) = self.sessions().in_force_by_number(number) {
            live.started();
        }
    }

    /// A cgroup came into this session: lets another wait where it did. Where that cannot be, what comes next is in this one too.
    pub(in crate::daemon) async fn renew(
        self: &Arc<Self>,
        number: u32,
    ) -> Result<(), RequestError> {
        let mut state = self.attachments.lock().await;
        self.came(number);
        let of_number = |by: &By| matches!(by, By::Session(live) if live.row.number == number);
        let Some(place) = state.held.iter().position(|held| of_number(&held.by)) else {
            return Ok(());
        };
        let held = &state.held[place];
        let By::Session(old) = &held.by else {
            return Ok(());
        };
        let old = Arc::clone(old);
        // The text that is in force, which its file may differ from by now.
        let new = self
            .start_waiting(&held.attachment, old.row.source.clone())
            .await?;
        state.held[place].by = By::Session(Arc::clone(&new));
        if let Err(error) = self.hold(&state).await {
            state.held[place].by = By::Session(old);
            self.end(&new, EndCause::NeverStarted).await;
            return Err(error);
        }
        old.attached.store(false, Relaxed);
        old.stirred.notify_one();
        Ok(())
    }

    /// A cgroup is gone: sessions of attachments look whether it was their last.
    pub(in crate::daemon) fn stir_attached(&self) {
        for live in self.live_sessions() {
            if live.row.extent() == Extent::Attached {
                live.stirred.notify_one();
            }
        }
    }

    /// Cgroups that give this label.
    pub(in crate::daemon) fn places_of(&self, label: Label) -> Result<Vec<u64>, RequestError> {
        let tagged = self.kernel().tagged_cgroups()?;
        let own = tagged
            .into_iter()
            .filter(|(_, tag)| tag.in_force() == label);
        Ok(own.map(|(cgroup, _)| cgroup).collect())
    }
}
