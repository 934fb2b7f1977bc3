//! Events: written in batches, read by filter.

mod columns;
mod filter;
mod no_act;

use std::collections::BTreeMap;

use agent_abi::Reason;
use jiff::Timestamp;
use rusqlite::{Connection, Row, ToSql, params};

use super::{Store, StoreError};
use crate::api::{Event, EventFilter, RefusalKind};

pub(super) use columns::insert_all;
use columns::read;
use filter::condition;
pub use no_act::{ended_row, lost_row};
pub(super) use no_act::{removed_row, removed_sessions_row};

/// Writes all of them, or none.
pub(super) fn insert(connection: &mut Connection, events: &[Event]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    insert_all(&transaction, events)?;
    let mut tally = transaction
        .prepare_cached("UPDATE sessions SET recorded = recorded + ?2 WHERE name = ?1")?;
    for (session, count) in refusals_by_session(events) {
        tally.execute(params![session, count.cast_signed()])?;
    }
    drop(tally);
    transaction.commit()
}

/// How many refusals of each session, as its ledger counts them: what is refused because the session has
/// ended is in no ledger.
fn refusals_by_session(events: &[Event]) -> BTreeMap<&str, u64> {
    let mut sums = BTreeMap::new();
    for event in events {
        if event.refused() && event.reason != Reason::SessionEnded {
            *sums.entry(event.session.as_str()).or_default() += event.count;
        }
    }
    sums
}

/// Counts over all that is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Rows.
    pub recorded: u64,
    /// Events that rows say were dropped.
    pub lost: u64,
}

/// The first `?2` refusals of the session `?1` that differ in right and object, each with the number of all
/// that do.
const FIRST_REFUSALS: &str = "
    WITH different AS (
        SELECT min(id) AS first, count(*) OVER () AS all_different FROM events
        WHERE session = ?1 AND verdict IN ('deny', 'would-deny')
        GROUP BY right, object ORDER BY first LIMIT ?2
    )
    SELECT events.*, all_different FROM different JOIN events ON id = first ORDER BY id";

/// What a session was refused by right and rule: how many different objects, how often, and the first of them.
const REFUSAL_KINDS: &str = "
    WITH kinds AS (
        SELECT min(id) AS first, count(DISTINCT object) AS different, sum(count) AS times FROM events
        WHERE session = ?1 AND verdict IN ('deny', 'would-deny')
        GROUP BY right, rule_id
    )
    SELECT events.*, different, times FROM kinds JOIN events ON id = first ORDER BY id";

impl Store {
    /// The newest events that pass `filter`, oldest first.
    pub fn events(&self, filter: &EventFilter) -> Result<Vec<Event>, StoreError> {
        let (condition, values) = condition(filter);
        // A reader that follows wants the oldest first; all others the newest.
        let order = if filter.after.is_some() {
            "ASC"
        } else {
            "DESC"
        };
        let limit = filter.limit.map_or(-1, i64::from);
        let sql =
            format!("SELECT * FROM events WHERE {condition} ORDER BY id {order} LIMIT {limit}");
        let connection = self.lock();
        let mut statement = connection.prepare_cached(&sql)?;
        let values = values
            .iter()
            .map(AsRef::as_ref)
            .collect::<Vec<&dyn ToSql>>();
        let mut events = statement
            .query_map(&*values, read)?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        if filter.after.is_none() {
            events.reverse();
        }
        Ok(events)
    }

    /// The first `limit` refusals of a session, and how many different ones there are.
    pub fn refusals(&self, session: &str, limit: u32) -> Result<(Vec<Event>, u64), StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(FIRST_REFUSALS)?;
        let rows = statement.query_map(params![session, limit.max(1)], |row| {
            let all = row.get::<_, i64>("all_different")?.cast_unsigned();
            Ok((read(row)?, all))
        })?;
        let (mut first, mut count) = (Vec::new(), 0);
        for row in rows {
            let (event, all) = row?;
            count = all;
            first.push(event);
        }
        first.truncate(limit as usize);
        Ok((first, count))
    }

    /// The latest refusals that pass `filter`, the latest first.
    pub fn latest_refusals(
        &self,
        filter: &EventFilter,
        limit: u32,
    ) -> Result<Vec<Event>, StoreError> {
        let (condition, values) = condition(filter);
        let sql = format!(
            "SELECT * FROM events
             WHERE verdict IN ('deny', 'would-deny') AND {condition}
             ORDER BY id DESC LIMIT {limit}"
        );
        let connection = self.lock();
        let mut statement = connection.prepare_cached(&sql)?;
        let values = values.iter().map(AsRef::as_ref);
        let values = values.collect::<Vec<&dyn ToSql>>();
        Ok(statement
            .query_map(&*values, read)?
            .collect::<rusqlite::Result<Vec<_>>>()?)
    }

    /// The kinds of a session's refusals, in the order in which they were first met.
    pub fn refusal_kinds(&self, session: &str) -> Result<Vec<RefusalKind>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(REFUSAL_KINDS)?;
        let kinds = statement.query_map([session], |row| {
            Ok(RefusalKind {
                different: row.get::<_, i64>("different")?.cast_unsigned(),
                times: row.get::<_, i64>("times")?.cast_unsigned(),
                first: read(row)?,
            })
        })?;
        Ok(kinds.collect::<rusqlite::Result<Vec<_>>>()?)
    }

    /// What was refused last before an event: of its process, or else of its session. What was let
    /// through, and other crashes, explain no crash.
    pub fn refused_before(&self, event: &Event) -> Result<Option<Event>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT * FROM events
             WHERE verdict = 'deny' AND session = ?1 AND id < ?2 AND right <> ?3
             ORDER BY pid = ?4 DESC, id DESC LIMIT 1",
        )?;
        let values = params![event.session, event.id, event.right, event.process.pid];
        Ok(statement.query_map(values, read)?.next().transpose()?)
    }

    /// Why events of a session were lost, as the latest row says that tells of some.
    pub fn why_lost(&self, session: &str) -> Result<Option<String>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT reason FROM events WHERE session = ?1 AND verdict = 'lost' ORDER BY id DESC LIMIT 1",
        )?;
        Ok(statement
            .query_map([session], |row| row.get(0))?
            .next()
            .transpose()?)
    }

    pub fn event(&self, id: i64) -> Result<Option<Event>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached("SELECT * FROM events WHERE id = ?")?;
        Ok(statement.query_map([id], read)?.next().transpose()?)
    }

    pub fn last_event_id(&self) -> Result<i64, StoreError> {
        let sql = "SELECT coalesce(max(id), 0) FROM events";
        Ok(self.lock().query_row(sql, [], |row| row.get(0))?)
    }

    /// Counts of rows, and of events lost, since a time.
    pub fn stats(&self, since: Timestamp) -> Result<Stats, StoreError> {
        let sql = "SELECT count(*), coalesce(sum(count) FILTER (WHERE verdict = 'lost'), 0)
                   FROM events WHERE time >= ?";
        let read = |row: &Row<'_>| -> rusqlite::Result<Stats> {
            let (recorded, lost) = (row.get::<_, i64>(0)?, row.get::<_, i64>(1)?);
            Ok(Stats {
                recorded: recorded.cast_unsigned(),
                lost: lost.cast_unsigned(),
            })
        };
        Ok(self.lock().query_row(sql, [since.as_microsecond()], read)?)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        api::{EventProcess, PathText, RuleRef},
        store::{plan_of, temporary},
    };

    pub(crate) fn event(right: &str, path: &[u8], verdict: &str) -> Event {
        Event {
            id: 0,
            time: Timestamp::from_second(1_700_000_000).unwrap(),
            session: "coder-1".into(),
            verdict: verdict.into(),
            right: right.into(),
            reason: "rule".into(),
            rule: Some(RuleRef {
                number: 2,
                id: "secrets".into(),
                reason: Some("Ask.".into()),
                place: None,
            }),
            object: String::from_utf8_lossy(path).into(),
            path: Some(PathText::new(path)),
            device: Some("8:1".into()),
            inode: Some(u64::MAX),
            process: EventProcess {
                pid: 9,
                comm: "cat".into(),
                ..EventProcess::default()
            },
            count: 1,
            ..lost_row("-", 0, "")
        }
    }

    pub(super) fn filled() -> (tempfile::TempDir, Store) {
        let (directory, store) = temporary();
        let events = [
            event("file.read", b"/w/.env", "deny"),
            event("file.write", b"/etc/\xff", "deny"),
            event("net.connect", b"10.0.0.1:443/tcp", "would-deny"),
            event("file.read", b"/w/.env", "deny"),
            lost_row("coder-1", 12, "full"),
        ];
        insert(&mut store.lock(), &events).unwrap();
        (directory, store)
    }

    #[test]
    fn the_first_refusals_are_told_once_each() {
        let (_directory, store) = filled();
        let (first, count) = store.refusals("coder-1", 2).unwrap();
        assert_eq!(count, 3);
        assert_eq!(
            first.iter().map(|event| event.id).collect::<Vec<_>>(),
            [1, 2]
        );
    }

    #[test]
    fn the_latest_refusals_come_first_and_are_no_losses() {
        let (_directory, store) = filled();
        let ids = |filter: &EventFilter, limit| {
            let latest = store.latest_refusals(filter, limit).unwrap();
            latest.iter().map(|event| event.id).collect::<Vec<_>>()
        };
        let all = EventFilter::default();
        assert_eq!(ids(&all, 9), [4, 3, 2, 1]);
        assert_eq!(ids(&all, 1), [4]);
        let right = Some("file.write".into());
        assert_eq!(
            ids(
                &EventFilter {
                    right,
                    ..all.clone()
                },
                9
            ),
            [2]
        );
        let path = Some("/w/*".into());
        assert_eq!(
            ids(
                &EventFilter {
                    path,
                    ..all.clone()
                },
                9
            ),
            [4, 1]
        );
        let session = Some("other-2".into());
        assert_eq!(ids(&EventFilter { session, ..all }, 9), [0_i64; 0]);
    }

    #[test]
    fn refusals_are_of_few_kinds() {
        let (_directory, store) = temporary();
        let of = |right: &str, path: &[u8], rule: Option<&str>| Event {
            rule: rule.map(|id| RuleRef {
                id: id.into(),
                ..RuleRef::default()
            }),
            ..event(right, path, "deny")
        };
        let events = [
            of("file.read", b"/w/.env", Some("secrets")),
            of("file.read", b"/etc/a", None),
            of("file.read", b"/w/.env", Some("secrets")),
            of("file.read", b"/w/.env.local", Some("secrets")),
            of("file.write", b"/etc/a", None),
        ];
        insert(&mut store.lock(), &events).unwrap();
        let kinds = store.refusal_kinds("coder-1").unwrap();
        let kinds = kinds
            .iter()
            .map(|kind| (kind.first.id, kind.different, kind.times));
        assert_eq!(kinds.collect::<Vec<_>>(), [(1, 2, 3), (2, 1, 1), (5, 1, 1)]);
        assert!(store.refusal_kinds("other-2").unwrap().is_empty());
    }

    #[test]
    fn of_many_refusals_few_are_read() {
        let (_directory, store) = temporary();
        let events = (0..100_000).map(|number| {
            event(
                "file.read",
                format!("/w/{}", number % 50_000).as_bytes(),
                "deny",
            )
        });
        insert(&mut store.lock(), &events.collect::<Vec<_>>()).unwrap();
        let (first, count) = store.refusals("coder-1", 10).unwrap();
        assert_eq!((first.len(), count), (10, 50_000));
        assert!(first.iter().map(|event| event.id).eq(1..=10));
        assert_eq!(store.refusals("coder-1", 0).unwrap(), (vec![], 50_000));
        assert_eq!(store.refusals("other-2", 10).unwrap(), (vec![], 0));
        // Of the table of events one index is looked through, and ten rows are read.
        let plan = plan_of(&store, FIRST_REFUSALS, params!["coder-1", 10]);
        assert!(!plan.contains("SCAN events"), "{plan}");
    }

    #[test]
    fn what_was_refused_before_a_crash_is_of_its_process_or_of_its_session() {
        let (_directory, store) = temporary();
        let of = |pid, right: &str, verdict: &str, session: &str| Event {
            session: session.into(),
            process: EventProcess {
                pid,
                ..EventProcess::default()
            },
            ..event(right, b"-", verdict)
        };
        let events = [
            of(7, "process.core", "deny", "coder-1"),
            of(7, "process.jit", "deny", "coder-1"),
            of(8, "file.read", "deny", "coder-1"),
            of(9, "file.read", "would-deny", "coder-1"),
            of(9, "file.read", "deny", "other-2"),
            of(7, "process.core", "deny", "coder-1"),
            of(9, "process.core", "deny", "coder-1"),
            of(7, "file.write", "deny", "coder-1"),
        ];
        insert(&mut store.lock(), &events).unwrap();
        let before = |id| {
            let event = store.event(id).unwrap().unwrap();
            store
                .refused_before(&event)
                .unwrap()
                .map(|before| before.id)
        };
        assert_eq!(before(1), None);
        assert_eq!(before(6), Some(2));
        assert_eq!(before(7), Some(3));
    }

    #[test]
    fn losses_are_counted() {
        let (_directory, store) = filled();
        let stats = store.stats(Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(
            stats,
            Stats {
                recorded: 5,
                lost: 12
            }
        );
    }
}
