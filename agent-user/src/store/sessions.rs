//! Sessions: what a later daemon needs to go on with them, and what history needs.

use std::{ffi::OsString, os::unix::ffi::OsStringExt, path::PathBuf};

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

use super::{Store, StoreError};
use crate::{
    api::{EndCause, Extent, GrantSource, Inputs, Mode, RuleCount, RuleRef, Word},
    clock::record_now,
    grants::Resolutions,
    mounts::Sight,
};

/// A session as stored.
#[derive(Clone, Debug)]
pub struct SessionRow {
    pub number: u32,
    pub name: String,
    pub slot: u32,
    pub extent: Word<Extent>,
    pub cgroup: PathBuf,
    pub cgroup_id: u64,
    pub grant: String,
    pub mode: Word<Mode>,
    /// The grant as it was when the session started.
    pub source: GrantSource,
    pub inputs: Inputs,
    /// What its prefixes were found to name.
    pub resolutions: Resolutions,
    /// By which names it knows filesystems.
    pub sight: Sight,
    pub rules: Vec<RuleRef>,
    pub command: Vec<String>,
    pub uid: u32,
    pub boot_id: String,
    pub started: Timestamp,
    pub ended: Option<Timestamp>,
    pub end_cause: Option<Word<EndCause>>,
    /// The ledger, once the session has ended.
    pub counts: Option<Vec<RuleCount>>,
}

impl SessionRow {
    /// What belongs to it; what another version wrote is taken for a cgroup that was found.
    pub fn extent(&self) -> Extent {
        self.extent.known().unwrap_or(Extent::Cgroup)
    }
}

/// What became of a session's refusals, for comparison with its ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Stored, ever.
    pub recorded: u64,
    /// Found no room in the kernel.
    pub lost: u64,
    /// Read by a daemon that ended before the store took them.
    pub vanished: u64,
    /// Stored, and removed since.
    pub removed: u64,
}

const COLUMNS: &str = "number, name, slot, extent, cgroup, cgroup_id, grant_name, \
     mode, source, inputs, resolutions, rules, command, uid, boot_id, started, ended, end_cause, counts, sight";

/// By name (`?1`) or number (`?2`); a name comes first.
const BY_NAME_OR_NUMBER: &str = "WHERE name = ?1 OR number = ?2 ORDER BY name <> ?1 LIMIT 1";

/// The number that `key` is, written as Bailiff writes it.
fn as_number(key: &str) -> Option<u32> {
    let number = key.parse::<u32>().ok()?;
    (number.to_string() == key).then_some(number)
}

impl Store {
    pub fn insert_session(&self, row: &SessionRow) -> Result<(), StoreError> {
        use std::os::unix::ffi::OsStrExt;
        self.lock().execute(
            "INSERT INTO sessions (number, name, slot, extent, cgroup, cgroup_id,
                 grant_name, mode, source, inputs, resolutions, rules, command, uid, boot_id, started, sight)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
            params![
                row.number,
                row.name,
                row.slot,
                row.extent,
                row.cgroup.as_os_str().as_bytes(),
                row.cgroup_id.cast_signed(),
                row.grant,
                row.mode,
                serde_json::to_string(&row.source)?,
                serde_json::to_string(&row.inputs)?,
                serde_json::to_string(&row.resolutions)?,
                serde_json::to_string(&row.rules)?,
                serde_json::to_string(&row.command)?,
                row.uid,
                row.boot_id,
                row.started.as_microsecond(),
                serde_json::to_string(&row.sight)?,
            ],
        )?;
        Ok(())
    }

    /// Keeps what a session knows filesystems by.
    pub fn set_sight(&self, number: u32, sight: &Sight) -> Result<(), StoreError> {
        self.lock().execute(
            "UPDATE sessions SET sight = ?2 WHERE number = ?1",
            params![number, serde_json::to_string(sight)?],
        )?;
        Ok(())
    }

    /// The same, with what its prefixes were found to name from there.
    pub fn set_place(
        &self,
        number: u32,
        resolutions: &Resolutions,
        sight: &Sight,
    ) -> Result<(), StoreError> {
        self.lock().execute(
            "UPDATE sessions SET sight = ?2, resolutions = ?3 WHERE number = ?1",
            params![
                number,
                serde_json::to_string(sight)?,
                serde_json::to_string(resolutions)?
            ],
        )?;
        Ok(())
    }

    /// `None`: there is no such session.
    pub fn tally(&self, number: u32) -> Result<Option<Tally>, StoreError> {
        let sql = "SELECT recorded, lost, vanished, removed FROM sessions WHERE number = ?";
        let read = |row: &Row<'_>| {
            let count = |index| row.get::<_, i64>(index).map(i64::cast_unsigned);
            Ok(Tally {
                recorded: count(0)?,
                lost: count(1)?,
                vanished: count(2)?,
                removed: count(3)?,
            })
        };
        Ok(self.lock().query_row(sql, [number], read).optional()?)
    }

    /// How many of a session's events found no room in the kernel, in all. False: the store knows of
    /// others than `told` already.
    pub fn raise_lost(&self, number: u32, told: u64, lost: u64) -> Result<bool, StoreError> {
        let sql = "UPDATE sessions SET lost = ?3 WHERE number = ?1 AND lost = ?2";
        let values = params![number, told.cast_signed(), lost.cast_signed()];
        Ok(self.lock().execute(sql, values)? > 0)
    }

    /// The session that had this slot last.
    pub fn last_of_slot(&self, slot: u32, boot_id: &str) -> Result<Option<u32>, StoreError> {
        let sql = "SELECT max(number) FROM sessions WHERE slot = ? AND boot_id = ?";
        let found = self.lock();
        Ok(found.query_row(sql, params![slot, boot_id], |row| row.get(0))?)
    }

    /// Adds to the events of a session that nobody will store.
    pub fn add_vanished(&self, number: u32, count: u64) -> Result<(), StoreError> {
        let sql = "UPDATE sessions SET vanished = vanished + ?2 WHERE number = ?1";
        self.lock()
            .execute(sql, params![number, count.cast_signed()])?;
        Ok(())
    }

    /// Marks a session as ended; does nothing where it was already.
    pub fn end_session(
        &self,
        number: u32,
        at: Timestamp,
        cause: EndCause,
        counts: &[RuleCount],
    ) -> Result<(), StoreError> {
        self.lock().execute(
            "UPDATE sessions SET ended = ?2, end_cause = ?3, counts = ?4
             WHERE number = ?1 AND ended IS NULL",
            params![
                number,
                at.as_microsecond(),
                Word::from(cause),
                serde_json::to_string(counts)?
            ],
        )?;
        Ok(())
    }

    /// Marks what an earlier boot left as ended.
    pub fn end_earlier_boots(&self, boot_id: &str) -> Result<usize, StoreError> {
        Ok(self.lock().execute(
            "UPDATE sessions SET ended = ?2, end_cause = ?3
             WHERE ended IS NULL AND boot_id <> ?1",
            params![
                boot_id,
                record_now().as_microsecond(),
                Word::from(EndCause::Reboot)
            ],
        )?)
    }

    /// Sessions that no one has ended.
    pub fn live_sessions(&self) -> Result<Vec<SessionRow>, StoreError> {
        self.select_sessions("WHERE ended IS NULL ORDER BY number", [])
    }

    /// The newest sessions that have ended.
    pub fn ended_sessions(&self, limit: u32) -> Result<Vec<SessionRow>, StoreError> {
        self.select_sessions(
            "WHERE ended IS NOT NULL ORDER BY number DESC LIMIT ?",
            [limit],
        )
    }

    /// By name or number.
    pub fn session(&self, key: &str) -> Result<Option<SessionRow>, StoreError> {
        let rows = self.select_sessions(BY_NAME_OR_NUMBER, params![key, as_number(key)])?;
        Ok(rows.into_iter().next())
    }

    /// What a session was called, and its rules; `None`: the store does not know it.
    pub fn name_and_rules(
        &self,
        number: u32,
    ) -> Result<Option<(String, Vec<RuleRef>)>, StoreError> {
        let sql = "SELECT name, rules FROM sessions WHERE number = ?";
        let row = self
            .lock()
            .query_row(sql, [number], |row| {
                Ok((row.get(0)?, row.get::<_, String>(1)?))
            })
            .optional()?;
        row.map(|(name, rules)| Ok((name, serde_json::from_str(&rules)?)))
            .transpose()
    }

    fn select_sessions(
        &self,
        tail: &str,
        params: impl rusqlite::Params,
    ) -> Result<Vec<SessionRow>, StoreError> {
        let connection = self.lock();
        let mut statement =
            connection.prepare_cached(&format!("SELECT {COLUMNS} FROM sessions {tail}"))?;
        let rows = statement.query_map(params, |row| Ok(read(row)))?;
        rows.map(|row| row?).collect()
    }

    /// The newest session's name.
    pub fn latest_session(&self) -> Result<Option<String>, StoreError> {
        let sql = "SELECT name FROM sessions ORDER BY number DESC LIMIT 1";
        Ok(self
            .lock()
            .query_row(sql, [], |row| row.get(0))
            .optional()?)
    }
}

fn read(row: &Row<'_>) -> Result<SessionRow, StoreError> {
    let json = |column: &str| row.get::<_, String>(column);
    let counts = row.get::<_, Option<String>>("counts")?;
    Ok(SessionRow {
        number: row.get("number")?,
        name: row.get("name")?,
        slot: row.get("slot")?,
        extent: row.get("extent")?,
        cgroup: OsString::from_vec(row.get("cgroup")?).into(),
        cgroup_id: row.get::<_, i64>("cgroup_id")?.cast_unsigned(),
        grant: row.get("grant_name")?,
        mode: row.get("mode")?,
        source: serde_json::from_str(&json("source")?)?,
        inputs: serde_json::from_str(&json("inputs")?)?,
        resolutions: serde_json::from_str(&json("resolutions")?)?,
        sight: serde_json::from_str(&json("sight")?)?,
        rules: serde_json::from_str(&json("rules")?)?,
        command: serde_json::from_str(&json("command")?)?,
        uid: row.get("uid")?,
        boot_id: row.get("boot_id")?,
        started: time(row.get("started")?),
        ended: row.get::<_, Option<i64>>("ended")?.map(time),
        end_cause: row.get("end_cause")?,
        counts: counts.map(|c| serde_json::from_str(&c)).transpose()?,
    })
}

pub(super) fn time(microseconds: i64) -> Timestamp {
    Timestamp::from_microsecond(microseconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        api::SourceFile,
        store::{plan_of, temporary},
    };

    pub(crate) fn row(number: u32) -> SessionRow {
        let text = "version = 1\n".to_owned();
        SessionRow {
            number,
            name: format!("coder-{number}"),
            slot: 3,
            extent: Extent::OwnCgroup.into(),
            cgroup: format!("/sys/fs/cgroup/bailiff/coder-{number}").into(),
            cgroup_id: u64::MAX - 1,
            grant: "coder".into(),
            mode: "enforce".into(),
            source: GrantSource {
                main: SourceFile {
                    name: "coder".into(),
                    origin: "coder.toml".into(),
                    text: text.into(),
                    file: None,
                },
                includes: vec![],
            },
            inputs: Inputs {
                cwd: Some("/w".into()),
                ..Inputs::default()
            },
            resolutions: Resolutions::default(),
            sight: Sight::default(),
            rules: vec![RuleRef {
                number: 0,
                id: "ws".into(),
                reason: None,
                place: None,
            }],
            command: vec!["make".into()],
            uid: 0,
            boot_id: "boot-1".into(),
            started: Timestamp::from_second(1_700_000_000).unwrap(),
            ended: None,
            end_cause: None,
            counts: None,
        }
    }

    #[test]
    fn a_session_comes_back_as_it_was_stored() {
        let (_directory, store) = temporary();
        store.insert_session(&row(7)).unwrap();
        let found = store.session("coder-7").unwrap().unwrap();
        assert_eq!(found.source, row(7).source);
        assert_eq!(found.cgroup_id, u64::MAX - 1);
        assert_eq!(found.rules, row(7).rules);
        assert_eq!(store.session("7").unwrap().unwrap().name, "coder-7");
        assert!(store.session("8").unwrap().is_none());
        assert_eq!(store.latest_session().unwrap().as_deref(), Some("coder-7"));
    }

    #[test]
    fn a_name_comes_before_a_number_that_is_written_alike() {
        let (_directory, store) = temporary();
        store.insert_session(&row(7)).unwrap();
        let named = SessionRow {
            name: "7".into(),
            ..row(8)
        };
        store.insert_session(&named).unwrap();
        assert_eq!(store.session("7").unwrap().unwrap().number, 8);
        assert_eq!(store.session("8").unwrap().unwrap().number, 8);
        for key in ["07", "+7", " 7", "7.0", "4294967303", "-7", ""] {
            assert!(store.session(key).unwrap().is_none(), "{key}");
        }
        let (name, rules) = store.name_and_rules(7).unwrap().unwrap();
        assert_eq!((&*name, rules), ("coder-7", row(7).rules));
        assert!(store.name_and_rules(9).unwrap().is_none());
    }

    #[test]
    fn no_session_is_looked_for_in_all() {
        let (_directory, store) = temporary();
        let plan = plan_of(
            &store,
            &format!("SELECT {COLUMNS} FROM sessions {BY_NAME_OR_NUMBER}"),
            params!["7", 7],
        );
        assert!(plan.contains("SEARCH") && !plan.contains("SCAN"), "{plan}");
    }

    #[test]
    fn a_session_ends_once() {
        let (_directory, store) = temporary();
        store.insert_session(&row(1)).unwrap();
        let at = Timestamp::from_second(1_700_000_100).unwrap();
        store.end_session(1, at, EndCause::Finished, &[]).unwrap();
        store
            .end_session(1, Timestamp::now(), EndCause::Stopped, &[])
            .unwrap();
        let found = store.session("1").unwrap().unwrap();
        assert_eq!(
            (found.ended, found.end_cause),
            (Some(at), Some(EndCause::Finished.into()))
        );
        assert!(store.live_sessions().unwrap().is_empty());
        assert_eq!(store.ended_sessions(10).unwrap().len(), 1);
    }

    #[test]
    fn a_reboot_ends_what_ran_before() {
        let (_directory, store) = temporary();
        store.insert_session(&row(1)).unwrap();
        store
            .insert_session(&SessionRow {
                boot_id: "boot-2".into(),
                ..row(2)
            })
            .unwrap();
        assert_eq!(store.end_earlier_boots("boot-2").unwrap(), 1);
        assert_eq!(store.live_sessions().unwrap()[0].number, 2);
        let ended = store.session("1").unwrap().unwrap();
        assert_eq!(ended.end_cause, Some(EndCause::Reboot.into()));
    }
}
