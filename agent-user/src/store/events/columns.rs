//! The columns of the table of events: what each holds of an event.
//!
//! To add one: a row here, and in `schema.rs` a step that adds the column.

use std::sync::LazyLock;

use rusqlite::{Row, Statement, Transaction};

use super::super::sessions::time;
use crate::api::{Event, PathText, RuleRef};

struct Column {
    name: &'static str,
    /// Binds what the column holds of an event to the parameter with this number.
    bind: fn(&Event, &mut Statement<'_>, usize) -> rusqlite::Result<()>,
    /// Gives an event what the column holds.
    read: fn(&mut Event, &Row<'_>) -> rusqlite::Result<()>,
}

macro_rules! columns {
    (|$event:ident, $stored:ident| $($name:ident: $held:expr => $read:expr;)*) => {
        /// All but `id`, which the store gives.
        const COLUMNS: &[Column] = &[$(Column {
            name: stringify!($name),
            bind: |$event, statement, number| statement.raw_bind_parameter(number, $held),
            read: |$event, row| {
                let $stored = row.get(stringify!($name))?;
                $read;
                Ok(())
            },
        },)*];
    };
}

// A column: what it holds, and what becomes of that in an event. A rule is there before what is said of it.
columns! { |event, stored|
    time: event.time.as_microsecond() => event.time = time(stored);
    session: &event.session => event.session = stored;
    verdict: &event.verdict => event.verdict = stored;
    right: &event.right => event.right = stored;
    reason: &event.reason => event.reason = stored;
    rule: rule(event, |rule| rule.number) => event.rule = Option::map(stored, numbered);
    rule_id: rule(event, |rule| &rule.id) => of_rule(event, stored, |rule| &mut rule.id);
    rule_reason: rule(event, |rule| &rule.reason) => of_rule(event, stored, |rule| &mut rule.reason);
    object: &event.object => event.object = stored;
    path: event.path.as_ref().map(PathText::bytes) => event.path = path(stored);
    truncated: event.truncated => event.truncated = stored;
    moved: event.moved => event.moved = stored;
    device: &event.device => event.device = stored;
    inode: event.inode.map(u64::cast_signed) => event.inode = Option::map(stored, i64::cast_unsigned);
    pid: event.process.pid => event.process.pid = stored;
    tid: event.process.tid => event.process.tid = stored;
    parent: event.process.parent => event.process.parent = stored;
    uid: event.process.uid => event.process.uid = stored;
    comm: &event.process.comm => event.process.comm = stored;
    cgroup: event.process.cgroup.cast_signed() => event.process.cgroup = i64::cast_unsigned(stored);
    count: event.count.cast_signed() => event.count = i64::cast_unsigned(stored);
}

static INSERT: LazyLock<String> = LazyLock::new(|| {
    let names = COLUMNS.iter().map(|column| column.name);
    let numbers = (1..=COLUMNS.len()).map(|number| format!("?{number}"));
    let (names, numbers) = (names.collect::<Vec<_>>(), numbers.collect::<Vec<_>>());
    let (names, numbers) = (names.join(", "), numbers.join(", "));
    format!("INSERT INTO events ({names}) VALUES ({numbers})")
});

/// Writes them within a transaction.
pub(in crate::store) fn insert_all(
    transaction: &Transaction<'_>,
    events: &[Event],
) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(&INSERT)?;
    for event in events {
        for (number, column) in (1..).zip(COLUMNS) {
            (column.bind)(event, &mut statement, number)?;
        }
        statement.raw_execute()?;
    }
    Ok(())
}

/// The event of a row that has every column.
pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Event> {
    let mut event = Event::blank();
    event.id = row.get("id")?;
    for column in COLUMNS {
        (column.read)(&mut event, row)?;
    }
    Ok(event)
}

fn rule<'e, T>(event: &'e Event, part: impl FnOnce(&'e RuleRef) -> T) -> Option<T> {
    event.rule.as_ref().map(part)
}

fn numbered(number: u16) -> RuleRef {
    RuleRef {
        number,
        ..RuleRef::default()
    }
}

/// Sets a part of the rule, where there is a rule; what is not stored stays as it is.
fn of_rule<T>(event: &mut Event, stored: Option<T>, part: impl FnOnce(&mut RuleRef) -> &mut T) {
    if let (Some(rule), Some(stored)) = (&mut event.rule, stored) {
        *part(rule) = stored;
    }
}

fn path(stored: Option<Vec<u8>>) -> Option<PathText> {
    stored.map(|bytes| PathText::new(&bytes))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use jiff::Timestamp;
    use serde_json::Value;

    use super::*;
    use crate::{
        api::{EventProcess, SCHEMA, Verdict},
        store::{events::insert, temporary},
    };

    /// An event in which nothing is as in a blank one.
    fn told() -> Event {
        Event {
            schema: SCHEMA,
            id: 1,
            time: Timestamp::from_second(1_700_000_000).unwrap(),
            session: "coder-1".into(),
            verdict: Verdict::Deny.into(),
            right: "file.write".into(),
            reason: "rule".into(),
            rule: Some(RuleRef {
                number: 2,
                id: "secrets".into(),
                reason: Some("Ask.".into()),
                place: None,
            }),
            object: "/etc/\u{fffd}".into(),
            path: Some(PathText::new(b"/etc/\xff")),
            truncated: true,
            moved: true,
            device: Some("8:1".into()),
            inode: Some(u64::MAX),
            process: EventProcess {
                pid: 3,
                tid: 4,
                parent: 5,
                uid: 6,
                comm: "cat".into(),
                cgroup: u64::MAX - 1,
            },
            count: 7,
        }
    }

    /// Every value of a document by its place.
    fn leaves(at: &str, value: Value, found: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    leaves(&format!("{at}.{name}"), value, found);
                }
            }
            leaf => {
                found.insert(at.into(), leaf);
            }
        }
    }

    fn leaves_of(event: &Event) -> BTreeMap<String, Value> {
        let mut found = BTreeMap::new();
        leaves("", serde_json::to_value(event).unwrap(), &mut found);
        found
    }

    #[test]
    fn all_that_an_event_says_is_stored_and_read() {
        let (_directory, store) = temporary();
        let (told, blank) = (told(), leaves_of(&Event::blank()));
        for (place, value) in leaves_of(&told) {
            let differs = blank.get(&place) != Some(&value);
            assert!(
                differs || place == ".schema",
                "{place} is as in a blank event"
            );
        }
        insert(&mut store.lock(), std::slice::from_ref(&told)).unwrap();
        assert_eq!(store.event(1).unwrap(), Some(told));
    }

    #[test]
    fn the_table_has_these_columns() {
        let (_directory, store) = temporary();
        let connection = store.lock();
        let mut columns = connection.prepare("PRAGMA table_info(events)").unwrap();
        let names = columns.query_map([], |row| row.get::<_, String>("name"));
        let of_table = names.unwrap().collect::<rusqlite::Result<BTreeSet<_>>>();
        let known = COLUMNS.iter().map(|column| column.name.to_owned());
        let known = known.chain(["id".to_owned()]).collect::<BTreeSet<_>>();
        assert_eq!(of_table.unwrap(), known, "schema.rs and columns.rs differ");
    }
}
