//! What one session leaves for the next: which links and grants a session could have made.

use std::sync::{MutexGuard, PoisonError};

use agent_abi::FileRights;
use agent_grant::Grant;
use jiff::Timestamp;

use super::{error::RequestError, sessions::Live, start::reach_of, state::Daemon};
use crate::{
    api::{GrantSource, PathText},
    grants::{GrantFile, Reach, Spot},
    mounts::{MountNamespace, MountView},
    render::escape::escape_bytes,
    store::{KeptReach, SessionRow, Store, StoreError},
};

/// Every reach that a session of this host has or had.
#[derive(Default)]
pub(super) struct Reaches(Vec<KeptReach>);

impl Reaches {
    pub(super) fn load(store: &Store) -> Result<Self, StoreError> {
        Ok(Self(store.reaches()?))
    }

    /// A session that could have done this to what is there: one that runs, or one that had not ended
    /// when it was made.
    fn doer(&self, rights: FileRights, spot: &Spot) -> Option<&str> {
        let doer = self.0.iter().find(|kept| {
            let later = kept.ended.is_some_and(|ended| spot.born_after(ended));
            (!kept.open.is_empty() || !later) && kept.reach.could(rights, spot, kept.opened)
        });
        doer.map(|kept| kept.session.as_str())
    }
}

impl Daemon {
    fn reaches(&self) -> MutexGuard<'_, Reaches> {
        self.reaches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session that could have made a link, or whatever is at its place.
    pub(super) fn maker(&self, spot: &Spot) -> Option<String> {
        let reaches = self.reaches();
        let doer = reaches.doer(FileRights::CREATE, spot);
        doer.map(str::to_owned)
    }

    /// Writes down what a session can make, before it can; it began at `opened`.
    pub(super) fn open_reach(
        &self,
        number: u32,
        session: &str,
        reach: &Reach,
        opened: Timestamp,
    ) -> Result<(), StoreError> {
        let mut reaches = self.reaches();
        let known = reaches.0.iter().position(|kept| kept.reach == *reach);
        let known_id = known.map(|index| reaches.0[index].id);
        let id = self
            .store
            .open_reach(known_id, reach, number, session, opened)?;
        match known {
            Some(index) => {
                let kept = &mut reaches.0[index];
                session.clone_into(&mut kept.session);
                kept.opened = kept.opened.map(|at| at.min(opened));
                if !kept.open.contains(&number) {
                    kept.open.push(number);
                }
            }
            None => reaches.0.push(KeptReach {
                id,
                reach: reach.clone(),
                session: session.into(),
                opened: Some(opened),
                ended: None,
                open: vec![number],
            }),
        }
        Ok(())
    }

    /// A session of a version that did not write it down.
    pub(super) fn ensure_reach(&self, row: &SessionRow, grant: &Grant, view: &MountView) {
        let known = |kept: &KeptReach| kept.open.contains(&row.number);
        if self.reaches().0.iter().any(known) {
            return;
        }
        if let Err(error) = self.open_reach(
            row.number,
            &row.name,
            &reach_of(row, grant, view, &self.own),
            row.started,
        ) {
            tracing::error!("what {} can make is not written down: {error}", row.name);
        }
    }

    /// A session sees mounts that it did not see before: it may reach further.
    pub(super) fn grow_reach(&self, live: &Live, view: &MountView) -> Result<(), StoreError> {
        let number = live.row.number;
        let grown: Vec<_> = {
            let reaches = self.reaches();
            let own = reaches.0.iter().filter(|kept| kept.open.contains(&number));
            // Of several the one that sees most has all mounts of the others.
            let most = own.max_by_key(|kept| kept.id);
            most.and_then(|kept| kept.reach.seeing(view))
                .into_iter()
                .collect()
        };
        for reach in grown {
            self.open_reach(number, &live.row.name, &reach, live.row.started)?;
        }
        Ok(())
    }

    /// A session has ended, and what is left of it can do nothing.
    pub(super) fn close_reach(&self, number: u32) {
        let now = Timestamp::now();
        if let Err(error) = self.store.close_reach(number, now) {
            tracing::error!("the end of session {number} is not recorded: {error}");
            return;
        }
        for kept in &mut self.reaches().0 {
            if kept.open.contains(&number) {
                kept.open.retain(|open| *open != number);
                kept.ended = kept.ended.max(Some(now));
            }
        }
    }

    /// After a start: sessions that no daemon saw ending ended at the latest now.
    pub(super) fn close_reaches_of_the_dead(&self) {
        let live = self.sessions().live();
        let numbers: std::collections::BTreeSet<_> = self
            .reaches()
            .0
            .iter()
            .flat_map(|kept| kept.open.clone())
            .filter(|number| !live.iter().any(|live| live.row.number == *number))
            .collect();
        for number in numbers {
            self.close_reach(number);
        }
    }

    /// The files of a grant, as a session with this view knows them: it will be kept from them.
    /// `caller` is the process that read them.
    ///
    /// Refused are files that a session could have written, and those that the session could change
    /// by another name.
    pub(super) fn grant_files(
        &self,
        grant: &GrantSource,
        caller: u32,
        view: &MountView,
    ) -> Result<Vec<Vec<u8>>, RequestError> {
        let files: Vec<_> = [&grant.main]
            .into_iter()
            .chain(&grant.includes)
            .filter_map(|source| source.file.as_ref().map(PathText::bytes))
            .collect();
        if files.is_empty() {
            return Ok(Vec::new());
        }
        let failed =
            |error| RequestError::failed("cannot see where the files of the grant are", error);
        let place = MountNamespace::of_process(caller).map_err(failed)?;
        let seen = place.view().map_err(failed)?;
        let mut kept_from = Vec::new();
        for path in &files {
            let file = GrantFile::at(place.root(), &seen, path).map_err(failed)?;
            let shown = escape_bytes(path);
            if file.names > 1 {
                return Err(RequestError::BadGrant(format!(
                    "the grant's file {shown} has {} names (hard links), and a session could change \
                     it by another: use a copy",
                    file.names
                )));
            }
            let making = FileRights::CREATE.union(FileRights::WRITE);
            let doer = {
                let reaches = self.reaches();
                let links = file.links.iter();
                let mut by = links.map(|spot| (FileRights::CREATE, spot));
                let own = file.spot.iter().map(|spot| (making, spot));
                let doer = by
                    .by_ref()
                    .chain(own)
                    .find_map(|(rights, spot)| reaches.doer(rights, spot));
                doer.map(str::to_owned)
            };
            if let Some(session) = doer {
                return Err(RequestError::BadGrant(format!(
                    "the grant's file {shown} lies where the session {session} could have written \
                     it: read it, and use a copy, in a place where no session writes, such as \
                     /etc/bailiff/grants, or made here when that session has ended (`cp F F.new && \
                     mv F.new F`; written in place it stays the same file)"
                )));
            }
            kept_from.extend(file.known_in(view));
        }
        Ok(kept_from)
    }
}
