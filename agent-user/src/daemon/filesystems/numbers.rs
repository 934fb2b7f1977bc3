//! Numbers that no two of the daemons of one boot give, also while the store cannot be written.

use crate::{
    daemon::{error::RequestError, state::Daemon},
    store::{Counter, Store, StoreError},
};

/// The first of `count` numbers above `floor`, which is what the kernel side noted as given at least.
/// Where the disk is full, that and what is stored say what was given: what such numbers tell apart (images
/// in force, filesystems that are mounted) does not outlive the kernel side's notes.
pub(in crate::daemon) fn reserve(
    store: &Store,
    counter: Counter,
    floor: u32,
    count: u32,
) -> Result<u32, StoreError> {
    match store.reserve(counter, floor, count) {
        Err(error) if error.may_pass() => {
            let stored = store.gauge(counter.name())?.unwrap_or(0);
            let stored = u32::try_from(stored).unwrap_or(u32::MAX);
            Ok(floor.max(stored).saturating_add(1))
        }
        first => first,
    }
}

impl Daemon {
    /// The first of `count` numbers above `floor`, noted where a later daemon looks.
    pub(in crate::daemon) fn reserve(
        &self,
        counter: Counter,
        floor: u32,
        count: u32,
    ) -> Result<u32, RequestError> {
        let noted = self.kernel().last_number(counter.into())?;
        let first = reserve(&self.store, counter, floor.max(noted), count)?;
        let last = first.saturating_add(count - 1);
        self.kernel().note_number(counter.into(), last)?;
        Ok(first)
    }
}
