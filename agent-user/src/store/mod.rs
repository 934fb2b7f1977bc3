//! What the daemon remembers: sessions, counters and events, in one SQLite file.

mod counters;
mod database;
mod events;
mod health;
mod reach;
mod retention;
mod schema;
mod sessions;
mod trust;
mod words;
mod writer;

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::sys::statvfs::statvfs;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;

pub use counters::Counter;
use database::{Database, Guard};
pub use events::{Stats, ended_row, lost_row};
pub use reach::KeptReach;
pub use retention::Retention;
pub use sessions::{SessionRow, Tally};
pub use trust::KeptTrust;
pub use writer::{EventWriter, WriterStatus};

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    #[error("cannot use the store {}: {source}", path.display())]
    Directory { path: PathBuf, source: io::Error },
    #[error("cannot use the store {}: {}", path.display(), describe(error))]
    Open {
        path: PathBuf,
        error: rusqlite::Error,
    },
    #[error(
        "the store {} is {kind}, not a file: move it away (`mv {0} {0}.away`) and start the daemon again, \
         which makes a new store; sessions that are in force stay limited meanwhile", path.display()
    )]
    NotAFile { path: PathBuf, kind: &'static str },
    #[error(
        "the store {} is not the file any more that is written to (it was moved, removed or replaced): \
         move it back with the files beside it, or restart the daemon, which uses what is there, or makes a \
         new store", path.display()
    )]
    Moved { path: PathBuf },
    #[error(
        "what is written to the store {} does not reach the disk: {source} (the kernel's log may say \
         why: `dmesg`)", path.display()
    )]
    Sync { path: PathBuf, source: io::Error },
    #[error(
        "the store {} was written by a newer bailiff (version {found}, this one knows {known}): \
         upgrade, or give another directory with `--state`",
        path.display()
    )]
    Newer {
        path: PathBuf,
        found: u32,
        known: u32,
    },
    #[error(
        "cannot start the thread that writes events: {0}. Raise the limit on tasks (`ulimit -u`, `TasksMax=`)"
    )]
    Thread(io::Error),
    #[error("the store cannot be used: {}", describe(.0))]
    Database(#[from] rusqlite::Error),
    #[error("a stored value cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    #[error(
        "no number is left for another {0}: stop the daemon, restart the host, and move the store away"
    )]
    Exhausted(&'static str),
}

/// The store; one connection for all but the event writer.
pub struct Store {
    database: Arc<Database>,
}

impl Store {
    /// Opens the store in `directory`, making both where they are not there. Where the disk is full,
    /// what is stored is read, and each write fails until there is room.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Directory {
            path: directory.into(),
            source,
        };
        fs::create_dir_all(directory).map_err(failed)?;
        // Paths and commands of every session are in here.
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        let path = directory.join("bailiff.db");
        health::refuse_other_kinds(&path)?;
        Database::open(&path).map(Self::of)
    }

    fn of(database: Database) -> Self {
        Self {
            database: Arc::new(database),
        }
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        self.database.path()
    }

    /// Whether what is stored can be read from where it should be.
    pub fn look(&self) -> Result<(), StoreError> {
        self.database.look()
    }

    /// Whether what is written now is kept. Waits for the disk.
    pub fn examine(&self) -> Result<(), StoreError> {
        self.database.examine()
    }

    /// Bytes that the filesystem of the store has left; `None` where it does not say.
    #[must_use]
    pub fn room(&self) -> Option<u64> {
        let found = statvfs(self.path()).ok()?;
        // In memory without a bound there are none at all.
        if found.blocks() == 0 {
            return None;
        }
        // Root may use what is kept back from others.
        Some(found.blocks_free() * found.fragment_size())
    }

    /// Starts the thread that writes events, and removes what is not kept any longer, in this boot.
    pub fn event_writer(
        &self,
        retention: Retention,
        boot_id: &str,
    ) -> Result<EventWriter, StoreError> {
        EventWriter::start(Arc::clone(&self.database), retention, boot_id)
    }

    fn lock(&self) -> Guard<'_> {
        self.database.lock()
    }
}

fn extended_code(error: &rusqlite::Error) -> Option<i32> {
    error.sqlite_error().map(|error| error.extended_code)
}

/// SQLite's message, and what to do where that is known.
fn describe(error: &rusqlite::Error) -> String {
    use rusqlite::ErrorCode::{
        CannotOpen, DatabaseCorrupt, DiskFull, NotADatabase, ReadOnly, SystemIoFailure,
    };
    let remedy = match error.sqlite_error_code() {
        Some(DiskFull) => "the disk is full: free some space",
        // Of its shared memory, which is a file.
        Some(SystemIoFailure) if extended_code(error) == Some(SQLITE_IOERR_SHMSIZE) => {
            "the disk is full: free some space"
        }
        Some(ReadOnly) => "the filesystem or file is read-only",
        Some(CannotOpen) => "see whether the directory can be written",
        Some(SystemIoFailure) => "the disk fails: its kernel's log may say why, `dmesg`",
        Some(DatabaseCorrupt | NotADatabase) => {
            "the file is damaged: move it away with the files beside it whose names begin alike, and \
             restart the daemon, which makes a new store; sessions that are in force stay limited"
        }
        _ => return error.to_string(),
    };
    format!("{error} ({remedy})")
}

#[cfg(test)]
pub(crate) use events::tests::event as events_for_tests;
#[cfg(test)]
pub(crate) use sessions::tests::row as session_row_for_tests;

#[cfg(test)]
pub(crate) fn temporary() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    (directory, store)
}

/// How SQLite would go about a query.
#[cfg(test)]
fn plan_of(store: &Store, sql: &str, values: impl rusqlite::Params) -> String {
    let connection = store.lock();
    let mut statement = connection
        .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
        .unwrap();
    let steps = statement
        .query_map(values, |row| row.get::<_, String>("detail"))
        .unwrap();
    steps.map(Result::unwrap).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn only_root_reads_the_directory() {
        let (directory, _store) = temporary();
        let mode = fs::metadata(directory.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn opens_what_it_made_and_refuses_what_is_newer() {
        let (directory, store) = temporary();
        drop(store);
        drop(Store::open(directory.path()).unwrap());
        let raw = Connection::open(directory.path().join("bailiff.db")).unwrap();
        raw.pragma_update(None, "user_version", 999).unwrap();
        let error = Store::open(directory.path()).err().unwrap();
        assert!(error.to_string().contains("upgrade"), "{error}");
    }

    #[test]
    fn says_what_to_do_with_a_damaged_file() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("bailiff.db"), vec![7u8; 8192]).unwrap();
        let error = Store::open(directory.path()).err().unwrap();
        assert!(error.to_string().contains("move it away"), "{error}");
    }
}
