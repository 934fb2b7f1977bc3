//! How long sessions and events are kept.

mod events;
mod sessions;

use rusqlite::Connection;

use crate::clock::days_ago;

/// Bounds of the store; what is beyond them goes, oldest first. What sessions could reach is kept, and counts
/// apart: later sessions are judged by it.
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
    /// Removes what is too old or too much. Returns how many events and sessions went; rows tell of both.
    ///
    /// Sessions have half of the store at most, as far as they may go, and events the rest, half at least:
    /// neither pushes the other out.
    pub(super) fn apply(
        self,
        connection: &mut Connection,
        boot_id: &str,
    ) -> rusqlite::Result<usize> {
        let oldest = days_ago(self.days).as_microsecond();
        let mut removed = events::remove(connection, "time < ?1", [oldest])?;
        removed += sessions::remove_old(connection, boot_id, oldest)?;
        let limit = i64::from(self.megabytes) << 20;
        if used_bytes(connection)? > limit {
            let reach = bytes_of(connection, "reach")? + bytes_of(connection, "reach_open")?;
            if used_bytes(connection)? - reach > limit {
                removed += sessions::make_room(connection, boot_id, limit / 2)?;
                let others = reach + bytes_of(connection, "sessions")?;
                let room = (limit + reach - others).max(limit / 2);
                let used = used_bytes(connection)? - others;
                removed += events::make_room(connection, used, room)?;
            }
        }
        events::adopt_orphans(connection)?;
        Ok(removed)
    }
}

fn used_bytes(connection: &Connection) -> rusqlite::Result<i64> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    Ok((pragma("page_count")? - pragma("freelist_count")?) * pragma("page_size")?)
}

/// What a table has of the file, with its indexes.
fn bytes_of(connection: &Connection, table: &str) -> rusqlite::Result<i64> {
    let sql = "SELECT coalesce(sum(pgsize), 0) FROM dbstat
               WHERE name IN (SELECT name FROM sqlite_schema WHERE tbl_name = ?1)";
    connection.query_row(sql, [table], |row| row.get(0))
}
