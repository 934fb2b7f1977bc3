//! A cgroup came into a session that waited: it has begun, and another waits from now on.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use agent_abi::{Label, limits::MAX_SESSIONS};

use super::By;
use crate::{
    api::{EndCause, Extent},
    daemon::{error::RequestError, sessions::Live, state::Daemon},
};

/// Sessions of one attachment that are there at once, the one that waits included.
const MAX_STARTS: usize = 64;

/// Sessions of all attachments: what is left of [`MAX_SESSIONS`] is for those whom somebody starts.
const MAX_ATTACHED: usize = MAX_SESSIONS / 4 * 3;

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
        self.leave_room(&old)?;
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

    /// Whether another session may wait where this one did. Whoever may make cgroups that are meant (those below
    /// a user's service manager) would have all slots else.
    fn leave_room(&self, old: &Live) -> Result<(), RequestError> {
        let attached = self.live_sessions();
        let attached = attached
            .iter()
            .filter(|live| live.row.extent() == Extent::Attached)
            .collect::<Vec<_>>();
        let same = attached
            .iter()
            .filter(|live| live.row.cgroup == old.row.cgroup);
        let (same, all) = (same.count(), attached.len());
        if same >= MAX_STARTS || all >= MAX_ATTACHED {
            return Err(RequestError::Conflict(format!(
                "{same} sessions of {} are there, and {all} of attachments",
                old.row.cgroup.display()
            )));
        }
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
