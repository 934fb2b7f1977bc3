//! Numbers that never come again, not after a restart either.

use rusqlite::{OptionalExtension, params};

use super::{Store, StoreError};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Sessions of this host; a label's generation.
    Session,
    /// First part of a session's network keys.
    Policy,
    /// Images put in force.
    Epoch,
}

impl Counter {
    fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Policy => "policy",
            Self::Epoch => "epoch",
        }
    }
}

impl Store {
    /// The next number: greater than every earlier one and than `floor`, and never 0.
    pub fn next(&self, counter: Counter, floor: u32) -> Result<u32, StoreError> {
        let connection = self.lock();
        let last: Option<u32> = connection
            .query_row("SELECT value FROM counters WHERE name = ?", [counter.name()], |row| {
                row.get(0)
            })
            .optional()?;
        let next = last.unwrap_or(0).max(floor) + 1;
        connection.execute(
            "INSERT INTO counters (name, value) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET value = ?2",
            params![counter.name(), next],
        )?;
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::temporary;

    #[test]
    fn numbers_only_grow() {
        let (directory, store) = temporary();
        assert_eq!(store.next(Counter::Session, 0).unwrap(), 1);
        assert_eq!(store.next(Counter::Session, 0).unwrap(), 2);
        assert_eq!(store.next(Counter::Epoch, 0).unwrap(), 1);
        assert_eq!(store.next(Counter::Session, 40).unwrap(), 41);
        drop(store);
        let store = Store::open(directory.path()).unwrap();
        assert_eq!(store.next(Counter::Session, 0).unwrap(), 42);
    }
}
