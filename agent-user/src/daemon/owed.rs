//! What became of refusals that are not stored, told to the session that they were of.

use std::sync::atomic::Ordering::Relaxed;

use super::{sessions::Live, state::Daemon};
use crate::{
    api::RuleCount,
    store::{SessionRow, StoreError, lost_row},
};

/// What a session had been refused when this daemon began: what is missing of it once everything that
/// waited is stored, an earlier one had read and did not store.
pub(super) struct Owed {
    number: u32,
    pub(super) name: String,
    refused: u64,
}

impl Owed {
    pub(super) fn of(row: &SessionRow, counts: &[RuleCount]) -> Self {
        Self {
            number: row.number,
            name: row.name.clone(),
            refused: counts.iter().map(|count| count.refused).sum(),
        }
    }

    /// Says what is missing. Doing it again finds nothing more.
    pub(super) fn tell(&self, daemon: &Daemon) -> Result<(), StoreError> {
        let tally = daemon.store.tally(self.number)?.unwrap_or_default();
        let known = tally.recorded + tally.lost + tally.vanished;
        let count = self.refused.saturating_sub(known);
        if count > 0 {
            daemon.store.add_vanished(self.number, count)?;
            let why = "the daemon ended before the store could take them";
            let row = lost_row(&self.name, count, why);
            daemon.writer.write(vec![row]);
        }
        Ok(())
    }
}

impl Daemon {
    /// Says what a session lost in the kernel's buffer, once.
    pub(super) fn tell_losses(&self, live: &Live) {
        let told = live.told_lost.load(Relaxed);
        if let Some(lost) = self.tell_more_lost(&live.row, told) {
            live.told_lost.store(lost, Relaxed);
        }
    }

    /// The same for whoever had its slot last; what was lost in all, if that is more than was told.
    pub(super) fn tell_more_lost(&self, row: &SessionRow, told: u64) -> Option<u64> {
        let lost = self.kernel().lost(row.slot).ok()?;
        let new = lost.checked_sub(told).filter(|new| *new > 0)?;
        let name = &row.name;
        match self.store.raise_lost(row.number, told, lost) {
            Ok(true) => {}
            // Somebody else tells it, at this moment.
            Ok(false) => return None,
            Err(error) => {
                tracing::warn!("what {name} lost is not noted yet: {error}");
                return None;
            }
        }
        let why = match self.writer.status().error {
            Some(error) => format!("they found no room while nothing could be stored: {error}"),
            None => "more was refused at once than its share of the kernel's buffer holds".into(),
        };
        tracing::warn!("{new} events of {name} were lost: {why}");
        self.writer.write(vec![lost_row(name, new, &why)]);
        Some(lost)
    }
}
