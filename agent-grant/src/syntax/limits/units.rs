//! Stretches of time and sizes, with their units.

use std::time::Duration;

use super::{Value, Written};
use crate::{diagnostic::Diagnostic, syntax::reader::Reader};

/// A unit, and how many seconds or bytes it is.
pub(super) type Unit = (&'static str, u64);

const TIME_UNITS: &[Unit] = &[
    ("seconds", 1),
    ("second", 1),
    ("sec", 1),
    ("s", 1),
    ("minutes", 60),
    ("minute", 60),
    ("min", 60),
    ("m", 60),
    ("hours", 3600),
    ("hour", 3600),
    ("h", 3600),
    ("days", 86400),
    ("day", 86400),
    ("d", 86400),
];

pub(super) const SIZE_UNITS: &[Unit] = &[
    ("B", 1),
    ("kB", 1000),
    ("KB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// More than 0, in whole seconds.
impl Value for Duration {
    fn read(reader: &mut Reader, value: &Written<'_>, key: &str) -> Option<Self> {
        const EXPECTED: &str = "a duration such as \"8h\", \"90s\" or \"1h30m\"";
        let text = reader.text(value, key, EXPECTED)?;
        let parsed = duration(&text.value);
        if parsed.is_none() {
            reader.error(
                Diagnostic::error(text.location, format!("`{}` is no duration", text.value))
                    .label(format!("expected {EXPECTED}")),
            );
        }
        parsed
    }

    fn text(self) -> String {
        duration_text(self)
    }
}

/// Such as "1h30min", in the largest units that fit.
pub(super) fn duration_text(duration: Duration) -> String {
    let mut rest = duration.as_secs();
    let mut text = String::new();
    for (unit, seconds) in [("d", 86400), ("h", 3600), ("min", 60), ("s", 1)] {
        if rest >= seconds {
            text += &format!("{}{unit}", rest / seconds);
            rest %= seconds;
        }
    }
    text
}

/// Such as "2GiB": the largest unit that divides the size.
pub(super) fn size_text(bytes: u64) -> String {
    let binary = SIZE_UNITS.iter().rev();
    let fits = binary
        .filter(|(name, _)| *name != "KB")
        .filter(|(_, size)| bytes >= *size && bytes.is_multiple_of(*size));
    match fits.max_by_key(|(_, size)| *size) {
        Some((unit, size)) => format!("{}{unit}", bytes / size),
        None => bytes.to_string(),
    }
}

fn unit(units: &[Unit], word: &str) -> Option<u64> {
    units
        .iter()
        .find(|(name, _)| *name == word)
        .map(|(_, value)| *value)
}

/// "8h", "1h30m".
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut seconds = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let tail = rest[digits..].trim_start();
        let letters = tail
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(tail.len());
        seconds = seconds.checked_add(number.checked_mul(unit(TIME_UNITS, &tail[..letters])?)?)?;
        rest = tail[letters..].trim_start();
    }
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

/// What follows the slash of a budget: "min" or "10min".
pub(super) fn per_time(text: &str) -> Option<Duration> {
    let one = unit(TIME_UNITS, text).map(Duration::from_secs);
    one.or_else(|| duration(text))
}

/// A number with one of these units or none: "2GiB", or "2048".
pub(super) fn amount(text: &str, units: &[Unit]) -> Option<u64> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let factor = match text[digits..].trim() {
        "" => 1,
        word => unit(units, word)?,
    };
    number.checked_mul(factor)
}
