//! Tables, and how an older store becomes a newer one.

use std::path::Path;

use rusqlite::Connection;

use super::StoreError;

/// One step each; `PRAGMA user_version` counts those that were taken. Never change one that was
/// released: add another.
const STEPS: &[&str] = &[
    "
    CREATE TABLE counters (
        name  TEXT PRIMARY KEY,
        value INTEGER NOT NULL
    ) WITHOUT ROWID;

    CREATE TABLE sessions (
        number      INTEGER PRIMARY KEY,
        name        TEXT NOT NULL UNIQUE,
        slot        INTEGER NOT NULL,
        own_cgroup  INTEGER NOT NULL,
        cgroup      BLOB NOT NULL,
        cgroup_id   INTEGER NOT NULL,
        grant_name  TEXT NOT NULL,
        mode        TEXT NOT NULL,
        source      TEXT NOT NULL,
        inputs      TEXT NOT NULL,
        resolutions TEXT NOT NULL,
        rules       TEXT NOT NULL,
        command     TEXT NOT NULL,
        uid         INTEGER NOT NULL,
        boot_id     TEXT NOT NULL,
        started     INTEGER NOT NULL,
        ended       INTEGER,
        end_cause   TEXT,
        counts      TEXT
    );
    CREATE INDEX sessions_live ON sessions (number) WHERE ended IS NULL;

    CREATE TABLE events (
        id          INTEGER PRIMARY KEY AUTOINCREMENT,
        time        INTEGER NOT NULL,
        session     TEXT NOT NULL,
        verdict     TEXT NOT NULL,
        right       TEXT NOT NULL,
        reason      TEXT NOT NULL,
        rule        INTEGER,
        rule_id     TEXT,
        rule_reason TEXT,
        object      TEXT NOT NULL,
        path        BLOB,
        truncated   INTEGER NOT NULL,
        device      TEXT,
        inode       INTEGER,
        pid         INTEGER NOT NULL,
        tid         INTEGER NOT NULL,
        parent      INTEGER NOT NULL,
        uid         INTEGER NOT NULL,
        comm        TEXT NOT NULL,
        cgroup      INTEGER NOT NULL,
        count       INTEGER NOT NULL
    );
    CREATE INDEX events_session ON events (session, id);
    CREATE INDEX events_time ON events (time);
",
    "
    CREATE TABLE reach (
        id      INTEGER PRIMARY KEY,
        body    TEXT NOT NULL,
        session TEXT NOT NULL,
        ended   INTEGER
    );
    CREATE TABLE reach_open (
        reach  INTEGER NOT NULL,
        number INTEGER NOT NULL,
        PRIMARY KEY (reach, number)
    ) WITHOUT ROWID;
",
    "
    ALTER TABLE sessions ADD COLUMN sight TEXT NOT NULL DEFAULT '{}';
",
    "
    ALTER TABLE events ADD COLUMN moved INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE sessions ADD COLUMN recorded INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE sessions ADD COLUMN lost INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE sessions ADD COLUMN vanished INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE sessions ADD COLUMN removed INTEGER NOT NULL DEFAULT 0;
",
    "
    ALTER TABLE reach ADD COLUMN opened INTEGER;
",
    "
    CREATE INDEX sessions_slot ON sessions (boot_id, slot, number);
    CREATE INDEX sessions_ended ON sessions (ended);
    CREATE INDEX events_removed ON events (session) WHERE verdict = 'removed';
",
    "
    CREATE TABLE filesystems (key TEXT PRIMARY KEY) WITHOUT ROWID;
",
    "
    ALTER TABLE sessions ADD COLUMN extent TEXT NOT NULL DEFAULT 'cgroup';
    UPDATE sessions SET extent = 'own-cgroup' WHERE own_cgroup;
    ALTER TABLE sessions DROP COLUMN own_cgroup;
",
    "
    CREATE TABLE trusted (
        uid   INTEGER NOT NULL,
        file  BLOB NOT NULL,
        texts TEXT NOT NULL,
        since INTEGER NOT NULL,
        PRIMARY KEY (uid, file)
    ) WITHOUT ROWID;
",
];

pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let failed = |error| StoreError::Open {
        path: path.into(),
        error,
    };
    let found: u32 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(failed)?;
    let known = STEPS.len() as u32;
    if found > known {
        return Err(StoreError::Newer {
            path: path.into(),
            found,
            known,
        });
    }
    for (number, step) in (1u32..).zip(STEPS).skip(found as usize) {
        let transaction = connection.transaction().map_err(failed)?;
        transaction.execute_batch(step).map_err(failed)?;
        transaction
            .pragma_update(None, "user_version", number)
            .map_err(failed)?;
        transaction.commit().map_err(failed)?;
    }
    Ok(())
}
