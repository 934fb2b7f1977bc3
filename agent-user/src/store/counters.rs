//! Numbers that never come again, not after a restart either.

use rusqlite::{OptionalExtension, Transaction, params};

use super::{Store, StoreError};

/// What is counted. The numbers are the keys of the kernel side's map of the last ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Counter {
    /// Sessions of this host; a label's generation.
    Session = 0,
    /// Images put in force.
    Epoch = 1,
    /// Filesystems that were told apart.
    Filesystem = 2,
}

const _: () = assert!((Counter::Filesystem as usize) < agent_abi::limits::NOTED_NUMBERS);

impl From<Counter> for u32 {
    fn from(counter: Counter) -> Self {
        counter as Self
    }
}

impl Counter {
    /// Under which name it is stored.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Epoch => "epoch",
            Self::Filesystem => "filesystem",
        }
    }
}

impl Store {
    /// The next number: greater than every earlier one and than `floor`, and never 0.
    pub fn next(&self, counter: Counter, floor: u32) -> Result<u32, StoreError> {
        self.reserve(counter, floor, 1)
    }

    /// The first of `count` numbers that are this caller's alone.
    ///
    /// # Errors
    /// [`StoreError::Exhausted`]: so many are not left. None comes again.
    pub fn reserve(&self, counter: Counter, floor: u32, count: u32) -> Result<u32, StoreError> {
        // At once: others ask meanwhile. A store can know sessions that it did not number: what it found
        // running when it was new.
        let sql = match counter {
            Counter::Session => concat!(
                "WITH floor (value) AS (SELECT max(?2, coalesce(max(number), 0)) FROM sessions)",
                "INSERT INTO counters (name, value) SELECT ?1, value + ?3 FROM floor WHERE true
                 ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value - ?3) + ?3
                 RETURNING value"
            ),
            _ => {
                "INSERT INTO counters (name, value) VALUES (?1, ?2 + ?3)
                 ON CONFLICT (name) DO UPDATE SET value = max(value, ?2) + ?3
                 RETURNING value"
            }
        };
        // To its end: a number is the caller's when it is stored, not when it is told.
        let values = params![counter.name(), floor, count];
        let last: i64 = self.lock().query_one(sql, values, |row| row.get(0))?;
        // The greatest is not given: as a session's it is the self-check's.
        match u32::try_from(last) {
            Ok(last) if last < u32::MAX => Ok(last - count + 1),
            _ => Err(StoreError::Exhausted(counter.name())),
        }
    }

    /// A number that was kept under a name.
    pub fn gauge(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let sql = "SELECT value FROM counters WHERE name = ?";
        let value = self
            .lock()
            .query_row(sql, [name], |row| row.get::<_, i64>(0))
            .optional()?;
        Ok(value.map(i64::cast_unsigned))
    }

    /// Keeps a number under a name.
    pub fn set_gauge(&self, name: &str, value: u64) -> Result<(), StoreError> {
        self.lock().execute(
            "INSERT INTO counters (name, value) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET value = ?2",
            params![name, value.cast_signed()],
        )?;
        Ok(())
    }
}

/// Remembers the greatest number of a session before rows go: one that the store did not give may be in no
/// counter.
pub(super) fn keep_session_numbers(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let sql = "INSERT INTO counters (name, value)
                   SELECT ?1, coalesce(max(number), 0) FROM sessions WHERE true
               ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)";
    transaction.execute(sql, [Counter::Session.name()])?;
    Ok(())
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
        assert_eq!(store.reserve(Counter::Epoch, 0, 100).unwrap(), 1);
        assert_eq!(store.reserve(Counter::Epoch, 0, 100).unwrap(), 101);
        assert_eq!(store.next(Counter::Session, 40).unwrap(), 41);
        drop(store);
        let store = Store::open(directory.path()).unwrap();
        assert_eq!(store.next(Counter::Session, 0).unwrap(), 42);
    }

    #[test]
    fn what_is_used_up_does_not_begin_again() {
        let (_directory, store) = temporary();
        let exhausted = |result| matches!(result, Err(StoreError::Exhausted(_)));
        let last = u32::MAX - 1;
        assert_eq!(store.next(Counter::Session, last - 1).unwrap(), last);
        for _ in 0..3 {
            assert!(exhausted(store.next(Counter::Session, 0)));
        }
        assert!(exhausted(store.next(Counter::Filesystem, u32::MAX)));
        let first = u32::MAX - 3;
        assert_eq!(store.reserve(Counter::Epoch, first - 1, 3).unwrap(), first);
        assert!(exhausted(store.reserve(Counter::Epoch, 0, 3)));
        let said = store.next(Counter::Session, 0).unwrap_err().to_string();
        assert!(said.contains("another session"), "{said}");
    }

    #[test]
    fn a_number_that_cannot_be_stored_is_not_given() {
        let (_directory, store) = temporary();
        assert_eq!(store.next(Counter::Epoch, 0).unwrap(), 1);
        // Fails when it is stored and not before, as a write to a full disk does.
        store
            .lock()
            .execute_batch(
                "CREATE TABLE late (of INTEGER REFERENCES sessions DEFERRABLE INITIALLY DEFERRED);
                 CREATE TRIGGER fails AFTER UPDATE ON counters BEGIN INSERT INTO late VALUES (-1); END",
            )
            .unwrap();
        assert!(store.next(Counter::Epoch, 0).is_err());
        store.lock().execute_batch("DROP TRIGGER fails").unwrap();
        assert_eq!(store.next(Counter::Epoch, 0).unwrap(), 2);
    }
}
