//! Whether what sessions are limited by is there: looked at before each start, when asked, and every
//! few seconds.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use super::{error::RequestError, state::Daemon};
use crate::{kernel::Enforcement, store::lost_row};

/// How often it is looked at, at least.
const LOOK: Duration = Duration::from_secs(5);

fn report(found: &Enforcement) {
    match found {
        Enforcement::InForce => tracing::info!("what limits sessions is attached and pinned again"),
        Enforcement::NotLasting(why) => tracing::error!("NOT LASTING: {why}"),
        Enforcement::Off(why) => tracing::error!("NOT ENFORCED: {why}"),
    }
}

impl Daemon {
    /// Looks, and says so loudly where it is not as it should be.
    pub(super) fn enforcement(&self) -> Enforcement {
        let found = self.kernel().examine();
        if found != Enforcement::InForce {
            report(&found);
        }
        found
    }

    /// # Errors
    /// A session that began now would not be limited, or not for long.
    pub(super) fn must_enforce(&self) -> Result<(), RequestError> {
        match self.enforcement() {
            Enforcement::InForce => Ok(()),
            Enforcement::NotLasting(why) | Enforcement::Off(why) => Err(RequestError::NotEnforced(
                format!("no session starts, since it would not be limited for sure: {why}"),
            )),
        }
    }

    /// # Errors
    /// Nothing that a session did now could be written down, nor that there is one.
    pub(super) async fn must_record(self: &Arc<Self>) -> Result<(), RequestError> {
        if self.writer.status().error.is_none()
            && let Err(error) = self.blocking(|daemon| daemon.store.examine()).await
        {
            self.writer.note_failure(&error);
        }
        match self.writer.status().error {
            None => Ok(()),
            Some(error) => Err(RequestError::NotRecorded(format!(
                "no session starts, since it could not be recorded: {error}; `bailiff status` tells \
                 when it can be again"
            ))),
        }
    }

    /// Looks again and again, for ever.
    pub(super) async fn watch_enforcement(self: Arc<Self>) {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = Enforcement::InForce;
        loop {
            ticks.tick().await;
            let found = self.blocking(|daemon| daemon.kernel().examine()).await;
            if found != last {
                report(&found);
            }
            last = found;
        }
    }

    /// Writes down that sessions were not limited for a time, so that no report says otherwise.
    pub(super) fn record_interruption(&self) {
        if !self.kernel().was_interrupted() || self.sessions().live().is_empty() {
            return;
        }
        tracing::error!("no programs were attached before this start: sessions were not limited");
        let why = "sessions were not limited for a time: the programs were not attached";
        for live in self.live_sessions() {
            if let Err(error) = self.store.add_vanished(live.row.number, 1) {
                tracing::warn!("{error}");
            }
            self.writer.write(vec![lost_row(&live.row.name, 1, why)]);
        }
    }
}
