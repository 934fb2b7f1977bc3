//! The connection that all but the event writer use, also where the disk has no room.
//!
//! Several connections to a database in WAL mode share its index by a file (`-shm`) that a full disk has no
//! room for. A connection that locks the database for itself before it looks at the log keeps the index in
//! memory (<https://www.sqlite.org/wal.html#noshm>): it reads all that is stored, and each write fails until
//! there is room, as in a daemon that was running when the disk became full.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{
    StoreError,
    health::{Identity, log_of},
    schema,
};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Shared,
    /// Nobody else can open it.
    Alone,
}

pub(super) struct Database {
    path: PathBuf,
    held: Mutex<Held>,
    files: Mutex<Files>,
    /// Held while a connection is open that looks whether what is written is kept.
    looking: Mutex<()>,
}

/// Which files are written to.
#[derive(Clone, Copy, Default)]
pub(super) struct Files {
    pub(super) database: Option<Identity>,
    /// Known once it is kept by others than the connection that is held.
    pub(super) log: Option<Identity>,
}

struct Held {
    connection: Connection,
    access: Access,
}

/// The connection of the whole daemon, for a moment.
pub(super) struct Guard<'d>(MutexGuard<'d, Held>);

impl std::ops::Deref for Guard<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0.connection
    }
}

impl std::ops::DerefMut for Guard<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0.connection
    }
}

impl Database {
    /// # Errors
    /// It cannot be read, or is new, or of another version, and cannot be written.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let with = |access| -> Result<Held, StoreError> {
            let mut connection = connect(path, access)?;
            schema::migrate(&mut connection, path)?;
            Ok(Held { connection, access })
        };
        let held = match with(Access::Shared) {
            Err(error) if error.may_pass() => with(Access::Alone).map_err(|_| error)?,
            held => held?,
        };
        Ok(Self {
            path: path.into(),
            held: Mutex::new(held),
            files: Mutex::new(Files {
                database: Identity::of(path),
                log: None,
            }),
            looking: Mutex::default(),
        })
    }

    pub(super) fn files(&self) -> Files {
        *self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn looking(&self) -> MutexGuard<'_, ()> {
        self.looking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn access(&self) -> Access {
        self.held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .access
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn lock(&self) -> Guard<'_> {
        Guard(self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A connection of one's own, if the store can be written.
    pub(super) fn writable(&self) -> Result<Connection, StoreError> {
        self.in_place()?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        probe(&held.connection)?;
        if held.access == Access::Alone {
            // Closed first: while it is open nobody else can open the database.
            held.connection = Connection::open_in_memory()?;
            let shared = connect(&self.path, Access::Shared);
            let again = match shared {
                Ok(connection) => Ok(Held {
                    connection,
                    access: Access::Shared,
                }),
                Err(error) => {
                    held.connection = connect(&self.path, Access::Alone)?;
                    Err(error)
                }
            };
            *held = again?;
        }
        drop(held);
        let connection = connect(&self.path, Access::Shared)?;
        probe(&connection)?;
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.log = Identity::of(&log_of(&self.path));
        Ok(connection)
    }
}

/// Writes something that nobody reads.
pub(super) fn probe(connection: &Connection) -> Result<(), StoreError> {
    connection.execute(
        "INSERT INTO counters (name, value) VALUES ('probe', 1)
         ON CONFLICT (name) DO UPDATE SET value = value + 1",
        [],
    )?;
    Ok(())
}

pub(super) fn connect(path: &Path, access: Access) -> Result<Connection, StoreError> {
    let failed = |error| StoreError::Open {
        path: path.into(),
        error,
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection
        .busy_timeout(Duration::from_secs(10))
        .map_err(failed)?;
    if access == Access::Alone {
        connection
            .execute_batch("PRAGMA locking_mode = EXCLUSIVE")
            .map_err(failed)?;
    }
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON; \
             PRAGMA temp_store = MEMORY;",
        )
        .map_err(failed)?;
    // The index is looked for with the first read.
    connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
        .map_err(failed)?;
    Ok(connection)
}

impl StoreError {
    /// Whether it can go away by itself, as with a disk that is full.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        let (Self::Open { error, .. } | Self::Database(error)) = self else {
            return false;
        };
        let code = error.sqlite_error_code();
        let passing = [
            ErrorCode::DiskFull,
            ErrorCode::SystemIoFailure,
            ErrorCode::CannotOpen,
        ];
        code.is_some_and(|code| passing.contains(&code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Counter, Retention, Store, session_row_for_tests as row, temporary};

    /// What it is without room for its shared index.
    fn alone(directory: &Path) -> Store {
        let path = directory.join("bailiff.db");
        let held = Held {
            connection: connect(&path, Access::Alone).unwrap(),
            access: Access::Alone,
        };
        Store::of(Database {
            path,
            held: Mutex::new(held),
            files: Mutex::default(),
            looking: Mutex::default(),
        })
    }

    #[test]
    fn alone_it_is_read_and_shared_again_when_it_can_be_written() {
        let (directory, store) = temporary();
        store.insert_session(&row(7)).unwrap();
        drop(store);
        let store = alone(directory.path());
        assert_eq!(store.live_sessions().unwrap().len(), 1);
        let limit = |pages: i64| {
            let connection = store.lock();
            let sql = format!("PRAGMA max_page_count = {pages}");
            connection.query_row(&sql, [], |_| Ok(())).unwrap();
        };
        // As small as it is now: one page more is a full disk.
        limit(1);
        let filled = (8..200).map(|number| store.insert_session(&row(number)));
        let error = filled.filter_map(Result::err).next().unwrap();
        assert!(
            error.may_pass() && error.to_string().contains("free some space"),
            "{error}"
        );
        limit(1 << 20);
        let own = store.database.writable().unwrap();
        drop(own);
        // Others may open it now.
        let other = Store::open(directory.path()).unwrap();
        assert!(other.next(Counter::Session, 0).unwrap() > 7);
    }

    #[test]
    fn without_its_shared_index_it_is_opened_alone_until_there_can_be_one() {
        let (directory, store) = temporary();
        store.insert_session(&row(7)).unwrap();
        drop(store);
        // As little to be opened as where there is no room for it.
        let index = directory.path().join("bailiff.db-shm");
        std::os::unix::fs::symlink("/nonexistent/index", &index).unwrap();
        let store = Store::open(directory.path()).unwrap();
        assert_eq!(store.live_sessions().unwrap().len(), 1);
        let writer = store.event_writer(Retention::default(), "boot-1").unwrap();
        assert!(writer.status().error.is_some() && !writer.wants_more());
        std::fs::remove_file(&index).unwrap();
        for _ in 0..200 {
            if writer.wants_more() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(writer.wants_more() && writer.status().error.is_none());
        assert_eq!(store.live_sessions().unwrap().len(), 1);
        assert!(
            Store::open(directory.path())
                .unwrap()
                .next(Counter::Session, 0)
                .is_ok()
        );
    }
}
