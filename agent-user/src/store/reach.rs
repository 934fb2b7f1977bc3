//! What sessions could make and write: kept longer than the sessions, since what they made stays.

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
    /// When the last of those that ended did.
    pub ended: Option<Timestamp>,
    /// Numbers of those that have not.
    pub open: Vec<u32>,
}

impl Store {
    /// Every reach that a session of this host ever had.
    pub fn reaches(&self) -> Result<Vec<KeptReach>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare("SELECT id, body, session, ended FROM reach")?;
        let rows = statement.query_map([], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, String>(2)?,
                row.get::<_, Option<i64>>(3)?,
            ))
        })?;
        let mut kept = Vec::new();
        for row in rows {
            let (id, body, session, ended) = row?;
            kept.push(KeptReach {
                id,
                reach: serde_json::from_str(&body)?,
                session,
                ended: ended.and_then(|at| Timestamp::from_microsecond(at).ok()),
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

    /// A session has a reach from now on; where another had the same, `known` is its id. Gives the id.
    pub fn open_reach(
        &self,
        known: Option<i64>,
        reach: &Reach,
        number: u32,
        session: &str,
    ) -> Result<i64, StoreError> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        let id = match known {
            Some(id) => {
                transaction.execute(
                    "UPDATE reach SET session = ?2 WHERE id = ?1",
                    params![id, session],
                )?;
                id
            }
            None => {
                transaction.execute(
                    "INSERT INTO reach (body, session) VALUES (?1, ?2)",
                    params![serde_json::to_string(reach)?, session],
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
