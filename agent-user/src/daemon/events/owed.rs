//! What became of refusals that are not stored, told to the session that they were of.

use std::{mem, sync::atomic::Ordering::Relaxed};

use agent_abi::{ledger::Count, limits::MAX_RULES, share::NOBODYS_ACCOUNT};

use crate::{
    api::RuleCount,
    daemon::{sessions::Live, state::Daemon},
    store::{SessionRow, StoreError, lost_row},
};

/// Under which name the store keeps how many drops were told that no session is to blame for.
const REPORTED: &str = "reported-drops";

/// A session of which an earlier daemon had read refusals that it may not have stored.
pub(in crate::daemon) struct Owed {
    number: u32,
    slot: u32,
    pub(in crate::daemon) name: String,
    /// What it had been refused at an earlier look: once everything that waited then is stored, what is
    /// missing of that will not come.
    refused: u64,
}

impl Owed {
    pub(in crate::daemon) fn of(row: &SessionRow, refused: u64) -> Self {
        Self {
            number: row.number,
            slot: row.slot,
            name: row.name.clone(),
            refused,
        }
    }

    /// Says what is missing for certain. True: that is all of it.
    ///
    /// What a session is refused meanwhile may be stored already and hides what is missing, until it was
    /// refused nothing between two looks, or has ended.
    pub(in crate::daemon) fn tell(&mut self, daemon: &Daemon) -> Result<bool, StoreError> {
        let Some(refused) = self.refused_by_now(daemon)? else {
            return Ok(false);
        };
        let before = mem::replace(&mut self.refused, refused);
        // Where the session was removed from the store, nobody knows any more how many it had taken.
        let Some(tally) = daemon.store.tally(self.number)? else {
            return Ok(true);
        };
        let known = tally.recorded + tally.lost + tally.vanished;
        let count = before.saturating_sub(known);
        if count > 0 {
            daemon.store.add_vanished(self.number, count)?;
            let why = "the daemon ended before the store could take them";
            let row = lost_row(&self.name, count, why);
            daemon.writer.write(vec![row]);
        }
        Ok(before == refused)
    }

    /// `None`: it is ending.
    fn refused_by_now(&self, daemon: &Daemon) -> Result<Option<u64>, StoreError> {
        if let Some(live) = daemon.sessions().in_force_by_number(self.number) {
            let ledger = daemon.ledger_sum(self.slot).map(|sum| sum.refused);
            // Its slot may be another's by the time it was asked.
            return Ok(ledger.filter(|_| !live.ending.load(Relaxed)));
        }
        let row = daemon.store.session(&self.number.to_string())?;
        let Some(row) = row else {
            return Ok(Some(self.refused));
        };
        let sum = |counts: Vec<RuleCount>| counts.iter().map(|count| count.refused).sum::<u64>();
        // What was known of it before is more where its ledger was another's at its end.
        Ok(row.counts.map(|counts| sum(counts).max(self.refused)))
    }
}

impl Daemon {
    /// All that the ledger has of a slot.
    pub(in crate::daemon) fn ledger_sum(&self, slot: u32) -> Option<Count> {
        let ledger = self.kernel().ledger(slot, MAX_RULES).ok()?;
        let sum = |of: fn(&Count) -> u64| ledger.iter().map(of).sum();
        Some(Count {
            allowed: sum(|count| count.allowed),
            refused: sum(|count| count.refused),
        })
    }

    /// Says what a session lost in the kernel's buffer, once.
    pub(in crate::daemon) fn tell_losses(&self, live: &Live) {
        let told = live.told_lost.load(Relaxed);
        if let Some(lost) = self.tell_more_lost(&live.row, told) {
            live.told_lost.store(lost, Relaxed);
        }
    }

    /// The same for every session in force.
    pub(in crate::daemon) fn tell_all_losses(&self) {
        for live in self.live_sessions() {
            self.tell_losses(&live);
        }
    }

    /// The same for whoever had its slot last; what was lost in all, if that is more than was told.
    pub(in crate::daemon) fn tell_more_lost(&self, row: &SessionRow, told: u64) -> Option<u64> {
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

    /// What earlier daemons told that was lost on nobody's account.
    pub(super) fn nobodys_told(&self) -> u64 {
        self.store.gauge(REPORTED).ok().flatten().unwrap_or(0)
    }

    /// Says what was lost of what is on no session's account, once. Gives what is told by now.
    pub(super) fn tell_nobodys(&self, told: u64) -> u64 {
        let Ok(lost) = self.kernel().lost(NOBODYS_ACCOUNT) else {
            return told;
        };
        // After a restart of the host the kernel counts from zero.
        let new = lost.checked_sub(told).unwrap_or(lost);
        if new > 0 {
            let why = "the kernel's buffer had no room for what no session is to blame for";
            self.writer.write(vec![lost_row("-", new, why)]);
        }
        if lost != told
            && let Err(error) = self.store.set_gauge(REPORTED, lost)
        {
            tracing::warn!("{error}");
        }
        lost
    }
}
