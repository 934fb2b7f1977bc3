//! How long events are kept.

use rusqlite::Connection;

use crate::clock::days_ago;

/// Bounds of the store; what is beyond them goes, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    pub days: u32,
    pub megabytes: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            days: 90,
            megabytes: 1024,
        }
    }
}

impl Retention {
    /// Removes what is too old or too much. Returns how many rows went.
    pub(super) fn apply(self, connection: &Connection) -> rusqlite::Result<usize> {
        let oldest = days_ago(self.days).as_microsecond();
        let mut removed = connection.execute("DELETE FROM events WHERE time < ?", [oldest])?;
        let used = used_bytes(connection)?;
        let limit = i64::from(self.megabytes) << 20;
        if used > limit {
            // A tenth more than needed, so that this is rare.
            let share = 1.0 - 0.9 * limit as f64 / used as f64;
            let rows: i64 =
                connection.query_row("SELECT count(*) FROM events", [], |r| r.get(0))?;
            removed += connection.execute(
                "DELETE FROM events WHERE id IN (SELECT id FROM events ORDER BY id LIMIT ?)",
                [(rows as f64 * share) as i64],
            )?;
        }
        Ok(removed)
    }
}

fn used_bytes(connection: &Connection) -> rusqlite::Result<i64> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    Ok((pragma("page_count")? - pragma("freelist_count")?) * pragma("page_size")?)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{
        api::{Event, EventFilter},
        store::{
            events::{insert, tests::event},
            temporary,
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
        assert_eq!(Retention::default().apply(&store.lock()).unwrap(), 1);
        let left = store.events(&EventFilter::default()).unwrap();
        assert_eq!(left[0].object, "/new");
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
        .apply(&store.lock())
        .unwrap();
        let left = store.events(&EventFilter::default()).unwrap();
        assert!((100..1200).contains(&left.len()), "{}", left.len());
        assert_eq!(left.last().unwrap().id, 2000);
        assert!(used_bytes(&store.lock()).unwrap() <= 1 << 20);
    }
}
