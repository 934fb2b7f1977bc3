//! What people read: aligned, coloured on a terminal, plain in a pipe, safe everywhere.

pub mod columns;
pub mod diagnostic;
pub mod escape;
pub mod shell;
pub mod style;
pub mod table;

pub use escape::escape;
pub use table::Table;

use jiff::{Timestamp, tz::TimeZone};

/// A time of today by the clock, an earlier one with its date.
#[must_use]
pub fn local_time(time: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let local = time.to_zoned(zone.clone());
    let format = if local.date() == now.to_zoned(zone.clone()).date() {
        "%H:%M:%S"
    } else {
        "%Y-%m-%d %H:%M:%S"
    };
    local.strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_shown_where_it_is_not_today() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let show = |seconds| {
            local_time(
                Timestamp::from_second(seconds).unwrap(),
                now,
                &TimeZone::UTC,
            )
        };
        assert_eq!(show(1_699_999_999), "22:13:19");
        assert_eq!(show(1_600_000_000), "2020-09-13 12:26:40");
    }
}
