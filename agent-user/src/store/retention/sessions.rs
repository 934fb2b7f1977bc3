//! How long sessions are kept that have ended.
//!
//! What later daemons need stays: sessions that have not ended, and those of this boot that had their slots
//! last, whose ledgers the kernel still has ([`Store::last_of_slot`](super::super::Store::last_of_slot)).
//! The numbers that sessions got are counted apart, and never come again.

use rusqlite::{Connection, Transaction, params};

use super::{bytes_of, events::tell};
use crate::{
    api::{Verdict, Vocabulary as _},
    store::{counters::keep_session_numbers, events::removed_sessions_row},
};

/// Of rows that may go, for the boot `?1`.
const MAY_GO: &str = "ended IS NOT NULL AND number NOT IN
    (SELECT max(number) FROM sessions WHERE boot_id = ?1 GROUP BY slot)";

/// Removes sessions that ended before `oldest` and of which no event is left. Returns how many.
pub(super) fn remove_old(
    connection: &mut Connection,
    boot_id: &str,
    oldest: i64,
) -> rusqlite::Result<usize> {
    let transaction = connection.transaction()?;
    keep_session_numbers(&transaction)?;
    let sql = format!(
        "DELETE FROM sessions WHERE ended < ?2 AND {MAY_GO} AND NOT EXISTS
             (SELECT 1 FROM events WHERE session = sessions.name AND verdict <> '{}')",
        Verdict::Removed.word()
    );
    let removed = transaction.execute(&sql, params![boot_id, oldest])?;
    tell_removed(&transaction, removed)?;
    transaction.commit()?;
    Ok(removed)
}

/// Lets sessions have no more than `share` bytes, as far as they may go: first what only sessions in force
/// need is taken from those that have ended, oldest first, then the oldest themselves go. Returns how many
/// went.
pub(super) fn make_room(
    connection: &mut Connection,
    boot_id: &str,
    share: i64,
) -> rusqlite::Result<usize> {
    let used = bytes_of(connection, "sessions")?;
    if used <= share {
        return Ok(0);
    }
    // A tenth more than needed, so that this is rare.
    let mut excess = used - share / 10 * 9;
    let transaction = connection.transaction()?;
    let shrunk = shrink(&transaction, &mut excess)?;
    let removed = remove_oldest(&transaction, boot_id, &mut excess)?;
    tell_removed(&transaction, removed)?;
    transaction.commit()?;
    if shrunk > 0 {
        tracing::warn!(
            "the grants of {shrunk} sessions that have ended were removed from the store: there were too many"
        );
    }
    Ok(removed)
}

/// Takes grant, resolutions and names of filesystems from sessions, until `excess` bytes are freed. What the
/// grant was called stays.
fn shrink(transaction: &Transaction<'_>, excess: &mut i64) -> rusqlite::Result<usize> {
    let whole = sizes(
        transaction,
        "SELECT number, octet_length(source) + octet_length(resolutions) + octet_length(sight)
         FROM sessions WHERE ended IS NOT NULL AND json_extract(source, '$.main.text') <> ''
         ORDER BY number",
        [],
    )?;
    let mut shrink = transaction.prepare(
        "UPDATE sessions SET resolutions = '[]', sight = '{}',
             source = json_set(source, '$.main.text', '', '$.includes', json('[]'))
         WHERE number = ?1
         RETURNING octet_length(source)",
    )?;
    let mut shrunk = 0;
    for (number, bytes) in whole {
        if *excess <= 0 {
            break;
        }
        let left = shrink.query_row([number], |row| row.get::<_, i64>(0))?;
        *excess -= bytes - left;
        shrunk += 1;
    }
    Ok(shrunk)
}

/// Removes sessions until `excess` bytes are freed.
fn remove_oldest(
    transaction: &Transaction<'_>,
    boot_id: &str,
    excess: &mut i64,
) -> rusqlite::Result<usize> {
    if *excess <= 0 {
        return Ok(0);
    }
    keep_session_numbers(transaction)?;
    let all = sizes(
        transaction,
        &format!(
            "SELECT number, octet_length(source) + octet_length(resolutions) + octet_length(sight)
                 + octet_length(inputs) + octet_length(rules) + octet_length(command)
                 + octet_length(cgroup) + coalesce(octet_length(counts), 0) + 2 * octet_length(name)
             FROM sessions WHERE {MAY_GO} ORDER BY number"
        ),
        [boot_id],
    )?;
    let mut remove = transaction.prepare("DELETE FROM sessions WHERE number = ?1")?;
    let mut removed = 0;
    for (number, bytes) in all {
        if *excess <= 0 {
            break;
        }
        removed += remove.execute([number])?;
        *excess -= bytes;
    }
    Ok(removed)
}

fn sizes(
    transaction: &Transaction<'_>,
    sql: &str,
    values: impl rusqlite::Params,
) -> rusqlite::Result<Vec<(u32, i64)>> {
    let mut statement = transaction.prepare(sql)?;
    let rows = statement.query_map(values, |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// One row tells of all that went, whenever it went.
fn tell_removed(transaction: &Transaction<'_>, count: usize) -> rusqlite::Result<()> {
    if count > 0 {
        tell(transaction, &removed_sessions_row(count as u64))?;
        tracing::warn!(
            "{count} sessions were removed from the store: they ended long ago, or were too many"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use crate::{
        api::{EndCause, Event, EventFilter, Verdict},
        store::{
            Counter, Retention, SessionRow, Store,
            events::{insert, tests::event},
            session_row_for_tests, temporary,
        },
    };

    /// A boot of which no session is.
    const BOOT: &str = "boot-9";
    const SMALL: Retention = Retention {
        days: 90,
        megabytes: 1,
    };

    /// A session of `bytes` of grant.
    fn of_grant(number: u32, bytes: usize) -> SessionRow {
        let mut row = session_row_for_tests(number);
        row.source.main.text = "x".repeat(bytes).into();
        row
    }

    /// A session that began with a command so long.
    fn of_command(number: u32, bytes: usize) -> SessionRow {
        SessionRow {
            command: vec!["x".repeat(bytes)],
            ..session_row_for_tests(number)
        }
    }

    fn end(store: &Store, numbers: impl IntoIterator<Item = u32>, at: Timestamp) {
        for number in numbers {
            store
                .end_session(number, at, EndCause::Finished, &[])
                .unwrap();
        }
    }

    fn long_ago() -> Timestamp {
        Timestamp::from_second(1_700_000_000).unwrap()
    }

    fn record(store: &Store, session: &str, count: usize) {
        let one = Event {
            time: Timestamp::now(),
            session: session.into(),
            ..event("file.read", b"/w/x", "deny")
        };
        insert(&mut store.lock(), &vec![one; count]).unwrap();
    }

    fn apply(store: &Store, retention: Retention, boot_id: &str) {
        retention.apply(&mut store.lock(), boot_id).unwrap();
    }

    fn numbers(store: &Store) -> Vec<u32> {
        let mut rows = store.live_sessions().unwrap();
        rows.extend(store.ended_sessions(10_000).unwrap());
        let mut numbers = rows.iter().map(|row| row.number).collect::<Vec<_>>();
        numbers.sort_unstable();
        numbers
    }

    /// What rows tell that something was removed: session, object and number.
    fn told(store: &Store) -> Vec<(String, String, u64)> {
        let events = store.events(&EventFilter::default()).unwrap();
        let removed = events
            .into_iter()
            .filter(|event| event.verdict == Verdict::Removed);
        let told = removed.map(|event| (event.session, event.object, event.count));
        told.collect()
    }

    fn refusals(store: &Store) -> usize {
        let events = store.events(&EventFilter::default()).unwrap();
        events.iter().filter(|event| event.refused()).count()
    }

    #[test]
    fn sessions_that_are_too_much_leave_events_and_lose_their_grants_first() {
        let (_directory, store) = temporary();
        for number in 1..=40 {
            store.insert_session(&of_grant(number, 100_000)).unwrap();
        }
        end(&store, 2..=40, Timestamp::now());
        record(&store, "coder-2", 1000);
        apply(&store, SMALL, BOOT);
        assert_eq!(refusals(&store), 1000);
        assert_eq!(numbers(&store), Vec::from_iter(1..=40));
        assert_eq!(told(&store), []);
        let row = |number: u32| store.session(&number.to_string()).unwrap().unwrap();
        let oldest = row(2).source.main;
        assert_eq!((&*oldest.name, &*oldest.text), ("coder", ""));
        // One in force keeps its own, and so do the newest.
        assert_eq!(row(1).source.main.text.len(), 100_000);
        assert_eq!(row(40).source.main.text.len(), 100_000);
        let used = super::super::used_bytes(&store.lock()).unwrap();
        assert!(used <= 1 << 20, "{used}");
    }

    #[test]
    fn the_oldest_go_where_nothing_can_be_taken_from_them_and_one_row_tells() {
        let (_directory, store) = temporary();
        for number in 1..=40 {
            let row = SessionRow {
                slot: number,
                ..of_command(number, 50_000)
            };
            store.insert_session(&row).unwrap();
        }
        // One is in force.
        end(&store, 2..=40, Timestamp::now());
        record(&store, "coder-2", 10);
        apply(&store, SMALL, BOOT);
        let left = numbers(&store);
        assert_eq!(left[0], 1);
        assert!((5..12).contains(&left.len()), "{left:?}");
        assert_eq!(left[1..], Vec::from_iter(left[1]..=40));
        assert_eq!(refusals(&store), 10);
        let gone = 40 - left.len() as u64;
        assert_eq!(told(&store), [("-".into(), "sessions".into(), gone)]);
        // Later more go, and the same row tells of all.
        for number in 41..=60 {
            store.insert_session(&of_command(number, 50_000)).unwrap();
        }
        end(&store, 41..=60, Timestamp::now());
        apply(&store, SMALL, BOOT);
        let gone = 60 - numbers(&store).len() as u64;
        assert_eq!(told(&store), [("-".into(), "sessions".into(), gone)]);
        assert_eq!(store.next(Counter::Session, 0).unwrap(), 61);
    }

    #[test]
    fn sessions_in_force_stay_and_leave_half_of_the_store_to_events() {
        let (_directory, store) = temporary();
        for number in 1..=4 {
            store.insert_session(&of_grant(number, 500_000)).unwrap();
        }
        record(&store, "coder-1", 1000);
        apply(&store, SMALL, BOOT);
        assert_eq!(numbers(&store), [1, 2, 3, 4]);
        assert_eq!(refusals(&store), 1000);
        assert_eq!(
            store.live_sessions().unwrap()[3].source.main.text.len(),
            500_000
        );
        // More than half does not stay.
        record(&store, "coder-1", 5000);
        apply(&store, SMALL, BOOT);
        assert!((1000..5000).contains(&refusals(&store)));
    }

    #[test]
    fn those_that_ended_long_ago_go_with_their_last_event() {
        let (_directory, store) = temporary();
        for number in 1..=6 {
            store
                .insert_session(&session_row_for_tests(number))
                .unwrap();
        }
        // 1 is in force; 2 ended lately; of 3 there is an event; 5 and 6 had the slot last, each of a boot.
        let other = SessionRow {
            boot_id: "boot-2".into(),
            ..session_row_for_tests(7)
        };
        store.insert_session(&other).unwrap();
        end(&store, [2], Timestamp::now());
        end(&store, 3..=7, long_ago());
        record(&store, "coder-3", 1);
        apply(&store, Retention::default(), "boot-1");
        assert_eq!(numbers(&store), [1, 2, 3, 6]);
        assert_eq!(store.last_of_slot(3, "boot-1").unwrap(), Some(6));
        assert_eq!(told(&store), [("-".into(), "sessions".into(), 3)]);
        // After a restart of the host nothing of it is needed.
        apply(&store, Retention::default(), "boot-3");
        assert_eq!(numbers(&store), [1, 2, 3]);
        assert_eq!(told(&store), [("-".into(), "sessions".into(), 4)]);
        assert_eq!(store.next(Counter::Session, 0).unwrap(), 8);
    }

    #[test]
    fn what_a_session_lost_is_told_when_it_is_gone() {
        let (_directory, store) = temporary();
        for number in 1..=2 {
            store
                .insert_session(&session_row_for_tests(number))
                .unwrap();
        }
        end(&store, 1..=2, long_ago());
        let old = event("file.read", b"/old", "deny");
        insert(&mut store.lock(), &[old.clone(), old]).unwrap();
        // The events go, then the session, whose row that told of them is nobody's.
        apply(&store, Retention::default(), BOOT);
        assert_eq!(numbers(&store), [0; 0]);
        let mut said = told(&store);
        said.sort();
        let expected = [
            ("-".into(), "-".into(), 2),
            ("-".into(), "sessions".into(), 2),
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn events_that_come_when_the_session_is_gone_are_stored_and_told() {
        let (_directory, store) = temporary();
        store.insert_session(&session_row_for_tests(1)).unwrap();
        end(&store, [1], long_ago());
        apply(&store, Retention::default(), BOOT);
        assert_eq!(store.name_and_rules(1).unwrap(), None);
        record(&store, "session-1", 3);
        apply(&store, Retention::default(), BOOT);
        assert_eq!(refusals(&store), 3);
    }

    #[test]
    fn what_sessions_could_reach_is_counted_apart() {
        let (_directory, store) = temporary();
        let body = "x".repeat(3_000_000);
        store
            .lock()
            .execute(
                "INSERT INTO reach (body, session) VALUES (?1, 'coder-1')",
                [body],
            )
            .unwrap();
        store.insert_session(&of_grant(1, 1000)).unwrap();
        end(&store, [1], Timestamp::now());
        record(&store, "coder-1", 1000);
        apply(&store, SMALL, BOOT);
        assert_eq!(refusals(&store), 1000);
        let row = store.session("1").unwrap().unwrap();
        assert_eq!(row.source.main.text.len(), 1000);
    }

    #[test]
    fn what_is_old_is_found_by_index() {
        let (_directory, store) = temporary();
        let sql = format!(
            "SELECT number FROM sessions WHERE ended < ?2 AND {}",
            super::MAY_GO
        );
        let plan = crate::store::plan_of(&store, &sql, rusqlite::params![BOOT, 1]);
        assert!(!plan.contains("SCAN sessions"), "{plan}");
        let sql = "SELECT max(number) FROM sessions WHERE slot = ? AND boot_id = ?";
        let plan = crate::store::plan_of(&store, sql, rusqlite::params![3, BOOT]);
        assert!(plan.contains("sessions_slot"), "{plan}");
    }
}
