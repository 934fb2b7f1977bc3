//! `[limits]`: budgets of a session.

use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::reader::{Reader, Value};
use crate::diagnostic::Diagnostic;

/// An amount, in all or per stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// How many, or how many bytes.
    pub amount: u64,
    /// `None`: over the whole session.
    pub per: Option<Duration>,
}

impl Budget {
    fn text(self, is_bytes: bool) -> String {
        let amount = if is_bytes {
            size_text(self.amount)
        } else {
            self.amount.to_string()
        };
        match self.per.map(duration_text) {
            None => amount,
            Some(per) => match per.strip_prefix('1') {
                Some(unit) if unit.chars().all(char::is_alphabetic) => format!("{amount}/{unit}"),
                _ => format!("{amount}/{per}"),
            },
        }
    }
}

/// Such as "1h30min", in the largest units that fit.
fn duration_text(duration: Duration) -> String {
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
fn size_text(bytes: u64) -> String {
    let binary = SIZE_UNITS.iter().rev();
    let fits = binary
        .filter(|(name, _)| *name != "KB")
        .filter(|(_, size)| bytes >= *size && bytes.is_multiple_of(*size));
    match fits.max_by_key(|(_, size)| *size) {
        Some((unit, size)) => format!("{}{unit}", bytes / size),
        None => bytes.to_string(),
    }
}

/// What happens once the budget of refusals is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    Freeze,
    Kill,
}

/// `refusals = { max = 200, then = "freeze" }`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusals {
    pub max: u64,
    pub then: Then,
}

/// Budgets; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub lifetime: Option<Duration>,
    pub processes: Option<Budget>,
    pub deletes: Option<Budget>,
    pub bytes_written: Option<Budget>,
    pub bytes_out: Option<Budget>,
    pub connections: Option<Budget>,
    pub refusals: Option<Refusals>,
}

impl Limits {
    /// `self` where it says something, `below` elsewhere.
    #[must_use]
    pub(crate) fn or(self, below: Self) -> Self {
        Self {
            lifetime: self.lifetime.or(below.lifetime),
            processes: self.processes.or(below.processes),
            deletes: self.deletes.or(below.deletes),
            bytes_written: self.bytes_written.or(below.bytes_written),
            bytes_out: self.bytes_out.or(below.bytes_out),
            connections: self.connections.or(below.connections),
            refusals: self.refusals.or(below.refusals),
        }
    }

    /// The budgets by name, for tables and comparison.
    #[must_use]
    pub fn budgets(&self) -> [(&'static str, Option<Budget>); 5] {
        [
            ("processes", self.processes),
            ("deletes", self.deletes),
            ("bytes_written", self.bytes_written),
            ("bytes_out", self.bytes_out),
            ("connections", self.connections),
        ]
    }

    /// Every limit by name, with its value as a grant could write it; `None` where there is none.
    #[must_use]
    pub fn texts(&self) -> Vec<(&'static str, Option<String>)> {
        let mut texts = vec![("lifetime", self.lifetime.map(duration_text))];
        for (name, budget) in self.budgets() {
            let is_bytes = name.starts_with("bytes");
            texts.push((name, budget.map(|budget| budget.text(is_bytes))));
        }
        let refusals = self.refusals.map(|refusals| {
            let then = match refusals.then {
                Then::Freeze => "freeze",
                Then::Kill => "kill",
            };
            format!("{}, then {then}", refusals.max)
        });
        texts.push(("refusals", refusals));
        texts
    }

    /// Names of the limits that are given.
    #[must_use]
    pub fn given(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        names.extend(self.lifetime.map(|_| "lifetime"));
        names.extend(
            self.budgets()
                .into_iter()
                .filter(|(_, b)| b.is_some())
                .map(|(n, _)| n),
        );
        names.extend(self.refusals.map(|_| "refusals"));
        names
    }
}

const TIME_UNITS: &[(&str, u64)] = &[
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

const SIZE_UNITS: &[(&str, u64)] = &[
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

fn unit(units: &[(&str, u64)], word: &str) -> Option<u64> {
    units
        .iter()
        .find(|(name, _)| *name == word)
        .map(|(_, value)| *value)
}

/// "8h", "1h30m".
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
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

/// "100", "100/min", "2GiB", "10MiB/s".
pub(crate) fn parse_budget(text: &str, bytes: bool) -> Option<Budget> {
    let (amount, per) = match text.split_once('/') {
        Some((amount, per)) => (amount.trim(), Some(per.trim())),
        None => (text.trim(), None),
    };
    let digits = amount
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(amount.len());
    let number: u64 = amount[..digits].parse().ok()?;
    let factor = match (amount[digits..].trim(), bytes) {
        ("", _) => 1,
        (suffix, true) => unit(SIZE_UNITS, suffix)?,
        (_, false) => return None,
    };
    let per = match per {
        None => None,
        Some(word) => Some(
            unit(TIME_UNITS, word)
                .map(Duration::from_secs)
                .or_else(|| parse_duration(word))?,
        ),
    };
    Some(Budget {
        amount: number.checked_mul(factor)?,
        per,
    })
}

pub(crate) fn read_limits(reader: &mut Reader, table: &DeTable<'_>) -> Limits {
    const KEYS: &[&str] = &[
        "lifetime",
        "processes",
        "deletes",
        "bytes_written",
        "bytes_out",
        "connections",
        "refusals",
    ];
    reader.check_keys(table, "`[limits]`", KEYS);
    let mut budget = |key: &str, bytes: bool| {
        table
            .get(key)
            .and_then(|value| read_budget(reader, value, key, bytes))
    };
    let mut limits = Limits {
        processes: budget("processes", false),
        deletes: budget("deletes", false),
        bytes_written: budget("bytes_written", true),
        bytes_out: budget("bytes_out", true),
        connections: budget("connections", false),
        ..Limits::default()
    };
    limits.lifetime = table.get("lifetime").and_then(|value| {
        const EXPECTED: &str = "a duration such as \"8h\", \"90s\" or \"1h30m\"";
        let text = reader.text(value, "lifetime", EXPECTED)?;
        let parsed = parse_duration(&text.value);
        if parsed.is_none() {
            reader.error(
                Diagnostic::error(text.location, format!("`{}` is no duration", text.value))
                    .label(format!("expected {EXPECTED}")),
            );
        }
        parsed
    });
    limits.refusals = table
        .get("refusals")
        .and_then(|value| read_refusals(reader, value));
    limits
}

fn read_budget(reader: &mut Reader, value: &Value<'_>, key: &str, bytes: bool) -> Option<Budget> {
    let expected = if bytes {
        "a size such as \"2GiB\", or \"10MiB/min\""
    } else {
        "a number such as 500, or \"100/min\""
    };
    if let DeValue::Integer(_) = value.get_ref() {
        return read_count(reader, value, key).map(|amount| Budget { amount, per: None });
    }
    let text = reader.text(value, key, expected)?;
    let parsed = parse_budget(&text.value, bytes);
    if parsed.is_none() {
        reader.error(
            Diagnostic::error(text.location, format!("`{}` is no budget", text.value))
                .label(format!("expected {expected}")),
        );
    }
    parsed
}

fn read_count(reader: &mut Reader, value: &Value<'_>, key: &str) -> Option<u64> {
    let DeValue::Integer(integer) = value.get_ref() else {
        reader.wrong_type(value, key, "a number of 0 or more");
        return None;
    };
    let parsed = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
    if parsed.is_none() {
        let at = reader.at(value.span());
        reader.error(
            Diagnostic::error(at, format!("`{key}` is out of range"))
                .label("expected a number of 0 or more"),
        );
    }
    parsed
}

fn read_refusals(reader: &mut Reader, value: &Value<'_>) -> Option<Refusals> {
    const EXPECTED: &str = "a number, or `{ max = 200, then = \"freeze\" }`";
    match value.get_ref() {
        DeValue::Integer(_) => Some(Refusals {
            max: read_count(reader, value, "refusals")?,
            then: Then::Freeze,
        }),
        DeValue::Table(table) => {
            reader.check_keys(table, "`refusals`", &["max", "then"]);
            let place = reader.at(value.span());
            let max = reader.required(table, "max", &place, "`max = 200`");
            let max = max.and_then(|value| read_count(reader, value, "max"));
            let words = [("freeze", Then::Freeze), ("kill", Then::Kill)];
            let then = match table.get("then") {
                Some(value) => reader.word(value, "then", &words)?,
                None => Then::Freeze,
            };
            Some(Refusals { max: max?, then })
        }
        _ => {
            reader.wrong_type(value, "refusals", EXPECTED);
            None
        }
    }
}
