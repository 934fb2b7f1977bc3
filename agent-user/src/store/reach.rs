//! What sessions could make and write: kept longer than the sessions, since what they made stays.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::params;

use super::{Store, StoreError};
use crate::grants::Reach;

/// One reach, and the sessions that had it.
#[derive(Clone, Debug)]
pub struct KeptReach {
    pub id: i64,
    pub reach: Reach,
    /// The latest of them.
    pub session: String,
    /// When the first of them began, where that is known.
    pub opened: Option<Timestamp>,
    /// When the last of those that ended did.
    pub ended: Option<Timestamp>,
    /// Numbers of those that have not.
    pub open: Vec<u32>,
}

/// The key of none: that it was asked which there are.
const ASKED: &str = "";

impl Store {
    /// Every reach that a session of this host ever had.
    pub fn reaches(&self) -> Result<Vec<KeptReach>, StoreError> {
        let connection = self.lock();
        let mut statement =
            connection.prepare("SELECT id, body, session, ended, opened FROM reach")?;
        let rows = statement.query_map([], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, String>(2)?,
                row.get::<_, Option<i64>>(3)?,
                row.get::<_, Option<i64>>(4)?,
            ))
        })?;
        let time = |at: i64| Timestamp::from_microsecond(at).ok();
        let mut kept = Vec::new();
        for row in rows {
            let (id, body, session, ended, opened) = row?;
            kept.push(KeptReach {
                id,
                reach: serde_json::from_str(&body)?,
                session,
                opened: opened.and_then(time),
                ended: ended.and_then(time),
                open: Vec::new(),
            });
        }
        let mut statement = connection.prepare("SELECT reach, number FROM reach_open")?;
        let open = statement.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)))?;
        for row in open {
            let (id, number) = row?;
            if let Some(kept) = kept.iter_mut().find(|kept| kept.id == id) {
                kept.open.push(number);
            }
        }
        Ok(kept)
    }

    /// Filesystems that were there before any session could make something, by their keys; `None` where that
    /// was not asked yet.
    pub fn filesystems(&self) -> Result<Option<BTreeSet<String>>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare("SELECT key FROM filesystems")?;
        let keys = statement.query_map([], |row| row.get::<_, String>(0))?;
        let keys = keys.collect::<Result<BTreeSet<_>, _>>()?;
        Ok(Some(keys).filter(|keys| keys.contains(ASKED)))
    }

    /// More of them.
    pub fn add_filesystems(&self, keys: &BTreeSet<String>) -> Result<(), StoreError> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        for key in keys.iter().map(String::as_str).chain([ASKED]) {
            transaction.execute("INSERT OR IGNORE INTO filesystems (key) VALUES (?1)", [key])?;
        }
        Ok(transaction.commit()?)
    }

    /// A session that began at `opened` has a reach; where another had the same, `known` is its id.
    /// Gives the id.
    pub fn open_reach(
        &self,
        known: Option<i64>,
        reach: &Reach,
        number: u32,
        session: &str,
        opened: Timestamp,
    ) -> Result<i64, StoreError> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        let id = match known {
            Some(id) => {
                // What is not known stays so: `MIN` of NULL is NULL.
                transaction.execute(
                    "UPDATE reach SET session = ?2, opened = MIN(opened, ?3) WHERE id = ?1",
                    params![id, session, opened.as_microsecond()],
                )?;
                id
            }
            None => {
                transaction.execute(
                    "INSERT INTO reach (body, session, opened) VALUES (?1, ?2, ?3)",
                    params![
                        serde_json::to_string(reach)?,
                        session,
                        opened.as_microsecond()
                    ],
                )?;
                transaction.last_insert_rowid()
            }
        };
        transaction.execute(
            "INSERT OR IGNORE INTO reach_open (reach, number) VALUES (?1, ?2)",
            params![id, number],
        )?;
        transaction.commit()?;
        Ok(id)
    }

    /// A session has ended.
    pub fn close_reach(&self, number: u32, at: Timestamp) -> Result<(), StoreError> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        transaction.execute(
            "UPDATE reach SET ended = MAX(COALESCE(ended, ?2), ?2)
             WHERE id IN (SELECT reach FROM reach_open WHERE number = ?1)",
            params![number, at.as_microsecond()],
        )?;
        transaction.execute("DELETE FROM reach_open WHERE number = ?1", [number])?;
        Ok(transaction.commit()?)
    }
}

#[cfg(test)]
mod tests {
    use agent_grant::{Inputs, Source, load, shipped_includes};

    use super::*;
    use crate::{grants::Making, mounts::MountView, store::temporary};

    #[test]
    fn that_there_was_no_disk_is_an_answer_too() {
        let (_directory, store) = temporary();
        assert_eq!(store.filesystems().unwrap(), None);
        store.add_filesystems(&BTreeSet::new()).unwrap();
        assert_eq!(store.filesystems().unwrap().unwrap().len(), 1);
        store.add_filesystems(&["a".into()].into()).unwrap();
        assert!(store.filesystems().unwrap().unwrap().contains("a"));
    }

    #[test]
    fn the_first_that_had_a_reach_opened_it() {
        let (_directory, store) = temporary();
        let source = Source::new("x", "version = 1\nname = \"x\"\n");
        let grant = load(source, &Inputs::default(), &shipped_includes).unwrap();
        let reach = Reach::of(&Making::of(&grant), &[], &MountView::default(), None, None);
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let open = |known, number, seconds| {
            let opened = store.open_reach(known, &reach, number, "x-1", at(seconds));
            opened.unwrap()
        };
        let opened = || store.reaches().unwrap()[0].opened;
        let id = open(None, 1, 20);
        assert_eq!(opened(), Some(at(20)));
        open(Some(id), 2, 30);
        assert_eq!(opened(), Some(at(20)));
        open(Some(id), 3, 10);
        assert_eq!(opened(), Some(at(10)));
        // Of an earlier version: when it was is not known, and stays so.
        let connection = store.lock();
        connection
            .execute("UPDATE reach SET opened = NULL", [])
            .unwrap();
        drop(connection);
        open(Some(id), 4, 40);
        assert_eq!(opened(), None);
    }
}
