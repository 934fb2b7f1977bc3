//! Times: those of the kernel's events count from boot, people's do not.

use std::{
    fs,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::{SignedDuration, Timestamp, ToSpan, tz::TimeZone};
use nix::time::{ClockId, clock_gettime};

/// Places a reading of `CLOCK_BOOTTIME` on the calendar.
#[derive(Clone, Copy, Debug)]
pub struct BootClock {
    /// The moment at which the boot clock stood at zero.
    zero: Timestamp,
}

impl BootClock {
    /// As the two clocks stand to each other now.
    #[must_use]
    pub fn now() -> Self {
        Self {
            zero: Timestamp::now() - since_boot(),
        }
    }

    /// The calendar time of `nanoseconds` after boot.
    #[must_use]
    pub fn at(self, nanoseconds: u64) -> Timestamp {
        self.zero + SignedDuration::from_nanos(i64::try_from(nanoseconds).unwrap_or(i64::MAX))
    }
}

fn since_boot() -> SignedDuration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(SignedDuration::ZERO, |time| {
        SignedDuration::new(time.tv_sec(), time.tv_nsec() as i32)
    })
}

/// Time since boot in the unit of `/proc/PID/stat`: 1/100 s (`USER_HZ`, on every architecture that
/// Bailiff knows).
#[must_use]
pub fn ticks_since_boot() -> u64 {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |time| {
        let (seconds, nanoseconds) = (time.tv_sec().max(0), time.tv_nsec().max(0));
        seconds.unsigned_abs() * 100 + nanoseconds.unsigned_abs() / 10_000_000
    })
}

/// Tells one boot of this host from another.
#[must_use]
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| "unknown".into(), |id| id.trim().into())
}

/// A point in time that a user wrote: `1h` or `2d 3h` ago, `14:30` today, a date, a timestamp.
pub fn parse_time(text: &str) -> Result<Timestamp, String> {
    let text = text.trim();
    let now = jiff::Zoned::now();
    if text == "now" {
        return Ok(now.timestamp());
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    if let Ok(span) = text.trim_end_matches("ago").trim().parse::<jiff::Span>() {
        return now
            .checked_sub(span.abs())
            .map(|t| t.timestamp())
            .map_err(|e| e.to_string());
    }
    if let Ok(time) = text.parse::<jiff::civil::DateTime>() {
        return time
            .to_zoned(TimeZone::system())
            .map(|t| t.timestamp())
            .map_err(|e| e.to_string());
    }
    if let Ok(time) = text.parse::<jiff::civil::Time>() {
        let today = now.date().to_datetime(time).to_zoned(TimeZone::system());
        return today.map(|t| t.timestamp()).map_err(|e| e.to_string());
    }
    Err(
        "not a time: write a span before now (`15m`, `1h`, `2d`), a time of today (`14:30`), \
         or a date (`2026-05-01`, `2026-05-01T14:30`)"
            .into(),
    )
}

/// How long something lasted or has lasted: `42s`, `5m`, `3h12m`, `2d4h`.
#[must_use]
pub fn short_duration(from: Timestamp, to: Timestamp) -> String {
    let seconds = (to - from)
        .total(jiff::Unit::Second)
        .map_or(0, |s| s.max(0.0) as u64);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m"),
        3600..86400 => format!("{hours}h{}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
    }
}

/// The clock by which the record is dated and kept: the host's, until a session may set that.
#[derive(Default)]
struct RecordClock {
    /// As it stood then.
    fixed: Option<BootClock>,
}

impl RecordClock {
    fn fix(&mut self, now: BootClock) {
        self.fixed.get_or_insert(now);
    }

    fn clock(&self, now: BootClock) -> BootClock {
        self.fixed.unwrap_or(now)
    }
}

/// One for the process, as the host's clock is one.
static RECORD: Mutex<RecordClock> = Mutex::new(RecordClock { fixed: None });

fn record() -> MutexGuard<'static, RecordClock> {
    RECORD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on somebody may set the host's clock whose acts are recorded, and leave it so when he has ended. Until
/// the next start of the daemon no setting of it dates anything.
pub fn fix_record_clock() {
    record().fix(BootClock::now());
}

/// Dates what happened at some time after boot.
#[must_use]
pub fn record_clock() -> BootClock {
    record().clock(BootClock::now())
}

/// The time that something is recorded under that happens now.
#[must_use]
pub fn record_now() -> Timestamp {
    record_clock().zero + since_boot()
}

/// The oldest time worth keeping, `days` before now.
#[must_use]
pub fn days_ago(days: u32) -> Timestamp {
    let hours = i64::from(days).saturating_mul(24);
    record_now()
        .checked_sub(hours.hours())
        .unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_spans_dates_and_timestamps() {
        let hour_ago = parse_time("1h").unwrap();
        let age = (Timestamp::now() - hour_ago)
            .total(jiff::Unit::Second)
            .unwrap();
        assert!((3599.0..3605.0).contains(&age), "{age}");
        assert!(parse_time("2d").is_ok());
        assert!(parse_time("15m ago").is_ok());
        assert!(parse_time("2026-05-01").is_ok());
        assert!(parse_time("14:30").is_ok());
        assert!(parse_time("2026-05-01T12:00:00Z").is_ok());
        assert!(parse_time("soon").unwrap_err().contains("15m"));
    }

    #[test]
    fn durations_are_short() {
        let zero = Timestamp::UNIX_EPOCH;
        let after = |seconds| short_duration(zero, zero + SignedDuration::from_secs(seconds));
        assert_eq!(after(42), "42s");
        assert_eq!(after(300), "5m");
        assert_eq!(after(11_520), "3h12m");
        assert_eq!(after(187_200), "2d4h");
        assert_eq!(after(-5), "0s");
    }

    #[test]
    fn a_clock_that_a_session_may_set_dates_nothing() {
        let at = |zero| BootClock {
            zero: Timestamp::from_second(zero).unwrap(),
        };
        let mut record = RecordClock::default();
        let dated = |record: &RecordClock, now| record.clock(at(now)).at(0).as_second();
        assert_eq!(dated(&record, 1_000), 1_000);
        // The host's own time service sets it.
        assert_eq!(dated(&record, 2_000), 2_000);
        record.fix(at(2_000));
        assert_eq!(dated(&record, 9_000), 2_000);
        // The next such session begins under the clock that the last one left.
        record.fix(at(9_000));
        assert_eq!(dated(&record, 2_000), 2_000);
    }

    #[test]
    fn boot_time_reads_as_now() {
        let boot = clock_gettime(ClockId::CLOCK_BOOTTIME).unwrap();
        let nanos = boot.tv_sec() as u64 * 1_000_000_000 + boot.tv_nsec() as u64;
        let difference = (Timestamp::now() - BootClock::now().at(nanos)).abs();
        assert!(difference.total(jiff::Unit::Second).unwrap() < 2.0);
    }
}
