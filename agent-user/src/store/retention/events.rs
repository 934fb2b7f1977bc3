//! How long events are kept.

use rusqlite::{Connection, Params, Transaction, params};

use crate::{
    api::{Event, Verdict, Vocabulary as _},
    store::events::{insert_all, removed_row},
};

/// Removes events so that what has `used` bytes has `room`: of those sessions first that have most.
pub(super) fn make_room(
    connection: &mut Connection,
    used: i64,
    room: i64,
) -> rusqlite::Result<usize> {
    if used <= room {
        return Ok(0);
    }
    // A tenth more than needed, so that this is rare.
    let share = 1.0 - 0.9 * room as f64 / used as f64;
    let rows = rows_by_session(connection)?;
    let all = rows.iter().map(|(_, count)| count).sum::<u64>();
    let most = ceiling(&rows, (all as f64 * share) as u64);
    let mut removed = 0;
    for (session, count) in rows.iter().filter(|(_, count)| *count > most) {
        removed += remove(
            connection,
            "id IN (SELECT id FROM events WHERE session = ?1 AND verdict <> 'removed'
                    ORDER BY id LIMIT ?2)",
            params![session, (count - most).cast_signed()],
        )?;
    }
    Ok(removed)
}

/// Removes the events for which `condition` holds, and adds them to what their sessions lost so. Each
/// such session keeps one row that says how many of its events went.
pub(super) fn remove(
    connection: &mut Connection,
    condition: &str,
    values: impl Params + Clone,
) -> rusqlite::Result<usize> {
    let condition = format!("verdict <> '{}' AND {condition}", Verdict::Removed.word());
    let transaction = connection.transaction()?;
    transaction.execute(
        &format!(
            "UPDATE sessions SET removed = removed + gone.events
             FROM (SELECT session, sum(count) AS events FROM events
                   WHERE verdict IN ('allow', 'deny', 'would-deny') AND {condition} GROUP BY session) AS gone
             WHERE gone.session = sessions.name"
        ),
        values.clone(),
    )?;
    let gone = counts(
        &transaction,
        &format!("SELECT session, sum(count) FROM events WHERE {condition} GROUP BY session"),
        values.clone(),
    )?;
    let removed = transaction.execute(&format!("DELETE FROM events WHERE {condition}"), values)?;
    for (session, count) in &gone {
        tell(&transaction, &removed_row(session, *count))?;
    }
    transaction.commit()?;
    if removed > 0 {
        tracing::warn!(
            "{removed} events were removed from the store: they were too old, or too many"
        );
    }
    Ok(removed)
}

/// Tells that something was removed, with what was removed of the same before: one row tells of all.
pub(super) fn tell(transaction: &Transaction<'_>, row: &Event) -> rusqlite::Result<()> {
    // As a literal: the index is of these rows alone.
    let sql = format!(
        "DELETE FROM events WHERE verdict = '{}' AND session = ?1 AND object = ?2 RETURNING count",
        Verdict::Removed.word()
    );
    let before = transaction
        .prepare_cached(&sql)?
        .query_map([&row.session, &row.object], |row| row.get::<_, i64>(0))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let before = before.into_iter().map(i64::cast_unsigned).sum::<u64>();
    let row = Event {
        count: row.count + before,
        ..row.clone()
    };
    insert_all(transaction, &[row])
}

/// Rows that tell of removed events of sessions of which nothing else is left become one.
pub(super) fn adopt_orphans(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    let sql = format!(
        "DELETE FROM events WHERE verdict = '{removed}' AND session <> '-'
             AND NOT EXISTS (SELECT 1 FROM sessions WHERE name = events.session)
             AND NOT EXISTS (SELECT 1 FROM events AS other
                 WHERE other.session = events.session AND other.verdict <> '{removed}')
         RETURNING count",
        removed = Verdict::Removed.word()
    );
    let orphans = transaction
        .prepare_cached(&sql)?
        .query_map([], |row| row.get::<_, i64>(0))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    if !orphans.is_empty() {
        let count = orphans.into_iter().map(i64::cast_unsigned).sum();
        tell(&transaction, &removed_row("-", count))?;
    }
    transaction.commit()
}

fn rows_by_session(connection: &Connection) -> rusqlite::Result<Vec<(String, u64)>> {
    let sql = "SELECT session, count(*) FROM events WHERE verdict <> ?1 GROUP BY session";
    counts(connection, sql, [Verdict::Removed.word()])
}

/// What a query of sessions and numbers finds.
fn counts(
    connection: &Connection,
    sql: &str,
    values: impl Params,
) -> rusqlite::Result<Vec<(String, u64)>> {
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map(values, |row| {
        Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned()))
    })?;
    rows.collect()
}

/// How many rows each session may keep so that `excess` go: those go first who have most, so that one that
/// floods the store does not push others out.
fn ceiling(rows: &[(String, u64)], excess: u64) -> u64 {
    let mut counts = rows.iter().map(|(_, count)| *count).collect::<Vec<_>>();
    counts.sort_unstable();
    let mut below = counts.iter().sum::<u64>();
    let keep = below.saturating_sub(excess);
    // From the largest down: if all above this one are cut to its size, is it enough?
    let mut above = 0;
    while let Some(count) = counts.pop() {
        below -= count;
        above += 1;
        let next = counts.last().copied().unwrap_or(0);
        if below + above * next <= keep {
            return (keep - below) / above;
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{
        api::EventFilter,
        store::{
            Retention,
            events::{insert, tests::event},
            retention::used_bytes,
            session_row_for_tests, temporary,
        },
    };

    #[test]
    fn what_is_old_goes() {
        let (_directory, store) = temporary();
        let old = event("file.read", b"/old", "deny");
        let new = Event {
            time: Timestamp::now(),
            ..event("file.read", b"/new", "deny")
        };
        insert(&mut store.lock(), &[old, new]).unwrap();
        assert_eq!(
            Retention::default()
                .apply(&mut store.lock(), "boot-1")
                .unwrap(),
            1
        );
        let left = store.events(&EventFilter::default()).unwrap();
        let said = left
            .iter()
            .map(|event| (event.verdict.as_str(), &*event.object, event.count));
        assert_eq!(
            said.collect::<Vec<_>>(),
            [("deny", "/new", 1), ("removed", "-", 1)]
        );
    }

    #[test]
    fn who_has_most_gives_first() {
        let rows = |counts: &[u64]| {
            let named = counts.iter().map(|count| (String::new(), *count));
            named.collect::<Vec<_>>()
        };
        assert_eq!(ceiling(&rows(&[10, 1000, 20]), 500), 500);
        assert_eq!(ceiling(&rows(&[600, 1000, 20]), 1000), 300);
        assert_eq!(ceiling(&rows(&[7]), 7), 0);
        assert_eq!(ceiling(&rows(&[]), 7), 0);
    }

    #[test]
    fn what_is_removed_is_counted_for_its_session() {
        let (_directory, store) = temporary();
        store.insert_session(&session_row_for_tests(1)).unwrap();
        let old = event("file.read", b"/old", "deny");
        insert(&mut store.lock(), &[old.clone(), old]).unwrap();
        assert_eq!(store.tally(1).unwrap().unwrap().recorded, 2);
        Retention::default()
            .apply(&mut store.lock(), "boot-1")
            .unwrap();
        let tally = store.tally(1).unwrap().unwrap();
        assert_eq!((tally.recorded, tally.removed), (2, 2));
        // One row tells of all that went, whenever it went.
        insert(&mut store.lock(), &[event("file.read", b"/old", "deny")]).unwrap();
        Retention::default()
            .apply(&mut store.lock(), "boot-1")
            .unwrap();
        let left = store.events(&EventFilter::default()).unwrap();
        assert_eq!(
            (left.len(), left[0].verdict.as_str(), left[0].count),
            (1, "removed", 3)
        );
    }

    #[test]
    fn what_is_too_much_goes_oldest_first() {
        let (_directory, store) = temporary();
        let one = Event {
            time: Timestamp::now(),
            ..event("file.read", &[b'x'; 900], "deny")
        };
        insert(&mut store.lock(), &vec![one; 2000]).unwrap();
        Retention {
            days: 9,
            megabytes: 1,
        }
        .apply(&mut store.lock(), "boot-1")
        .unwrap();
        let mut left = store.events(&EventFilter::default()).unwrap();
        assert!(left.pop().unwrap().verdict == Verdict::Removed);
        assert!((100..1200).contains(&left.len()), "{}", left.len());
        assert_eq!(left.last().unwrap().id, 2000);
        assert!(used_bytes(&store.lock()).unwrap() <= 1 << 20);
    }
}
