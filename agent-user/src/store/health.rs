//! Whether what is written to the store is kept: its files are where they are looked for, can be read, and
//! reach the disk. A write that succeeds says none of that: it may end in memory, or in a file without a name.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rusqlite::Connection;

use super::{
    StoreError,
    database::{Access, Database, connect, probe},
};

/// Which file a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// `None`: there is nothing, or nobody can tell what.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
        })
    }
}

/// The log of a database, which SQLite keeps beside it.
pub(super) fn log_of(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

/// Refuses what cannot be a store before it is opened: SQLite says of a directory that it cannot be opened,
/// and of a pipe that the disk fails.
pub(super) fn refuse_other_kinds(path: &Path) -> Result<(), StoreError> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => Err(StoreError::NotAFile {
            path: path.into(),
            kind: if found.is_dir() {
                "a directory"
            } else {
                "a pipe, socket or device"
            },
        }),
        _ => Ok(()),
    }
}

impl Database {
    /// Whether what is stored is still what its path leads to, and can be read from there.
    pub(super) fn look(&self) -> Result<(), StoreError> {
        // SQLite keeps a closed connection's descriptor while others are open (`setPendingFd()`): there are as
        // many as there ever were at once.
        let _one_at_a_time = self.looking();
        self.look_alone()
    }

    fn look_alone(&self) -> Result<(), StoreError> {
        self.in_place()?;
        // A connection of its own reads the files; an older one may go by what it remembers.
        match self.own_connection()? {
            Some(own) => read(&own),
            None => read(&self.lock()),
        }
    }

    /// Whether what is written now is kept.
    pub(super) fn examine(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.looking();
        self.look_alone()?;
        match self.own_connection()? {
            Some(own) => probe(&own)?,
            None => probe(&self.lock())?,
        }
        self.sync()
    }

    pub(super) fn in_place(&self) -> Result<(), StoreError> {
        let files = self.files();
        let same =
            |path: &Path, known: Option<Identity>| known.is_none() || known == Identity::of(path);
        let path = self.path();
        if same(path, files.database) && same(&log_of(path), files.log) {
            Ok(())
        } else {
            Err(StoreError::Moved { path: path.into() })
        }
    }

    /// Waits until what was written is on the disk. Of the database itself SQLite takes care, when it moves
    /// the log into it; opening that here and closing it would give up its locks.
    fn sync(&self) -> Result<(), StoreError> {
        let log = log_of(self.path());
        let synced = fs::File::open(&log).and_then(|file| file.sync_data());
        match synced {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::Sync {
                path: self.path().into(),
                source: error,
            }),
            _ => Ok(()),
        }
    }

    /// `None`: nobody else can open the database now.
    fn own_connection(&self) -> Result<Option<Connection>, StoreError> {
        match self.access() {
            Access::Shared => connect(self.path(), Access::Shared).map(Some),
            Access::Alone => Ok(None),
        }
    }
}

/// Reads of each table what is at its end.
fn read(connection: &Connection) -> Result<(), StoreError> {
    for sql in [
        "SELECT max(id) FROM events",
        "SELECT max(number) FROM sessions",
        "SELECT max(value) FROM counters",
    ] {
        connection.query_row(sql, [], |_| Ok(()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use crate::store::{Retention, Store, StoreError, session_row_for_tests as row, temporary};

    #[test]
    fn a_store_that_was_moved_or_replaced_is_not_where_it_is_looked_for() {
        let (directory, store) = temporary();
        store.insert_session(&row(7)).unwrap();
        let at = |name: &str| directory.path().join(name);
        let writer = store.event_writer(Retention::default(), "boot-1").unwrap();
        assert!(store.examine().is_ok());
        for name in ["bailiff.db", "bailiff.db-wal"] {
            fs::rename(at(name), at("away")).unwrap();
            let error = store.examine().unwrap_err();
            assert!(matches!(error, StoreError::Moved { .. }), "{name}: {error}");
            fs::write(at(name), "").unwrap();
            assert!(matches!(store.look(), Err(StoreError::Moved { .. })));
            fs::rename(at("away"), at(name)).unwrap();
            assert!(store.examine().is_ok(), "{name}");
        }
        // The writer sees it by itself, and that it is over.
        fs::rename(at("bailiff.db"), at("away")).unwrap();
        let soon = |bad: bool| {
            (0..200).any(|_| {
                std::thread::sleep(Duration::from_millis(50));
                writer.status().error.is_some() == bad
            })
        };
        assert!(soon(true) && !writer.wants_more());
        fs::rename(at("away"), at("bailiff.db")).unwrap();
        assert!(soon(false) && writer.wants_more());
    }

    #[test]
    fn a_store_that_is_damaged_while_it_is_open_is_seen_to_be() {
        let (directory, store) = temporary();
        for number in 1..200 {
            store.insert_session(&row(number)).unwrap();
        }
        assert!(store.examine().is_ok());
        for name in ["bailiff.db", "bailiff.db-wal"] {
            let path = directory.path().join(name);
            let length = fs::metadata(&path).unwrap().len() as usize;
            let file = fs::File::options().write(true).open(&path).unwrap();
            std::os::unix::fs::FileExt::write_all_at(&file, &vec![0xa5; length], 0).unwrap();
        }
        let error = store.look().unwrap_err().to_string();
        assert!(error.contains("move it away"), "{error}");
    }

    #[test]
    fn what_is_no_file_is_refused_with_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bailiff.db");
        let refused = || {
            let error = Store::open(directory.path()).err().unwrap();
            assert!(
                matches!(error, StoreError::NotAFile { .. }) && error.to_string().contains("mv "),
                "{error}"
            );
        };
        fs::create_dir(&path).unwrap();
        refused();
        fs::remove_dir(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        refused();
        fs::remove_file(&path).unwrap();
        assert!(Store::open(directory.path()).is_ok());
    }
}
