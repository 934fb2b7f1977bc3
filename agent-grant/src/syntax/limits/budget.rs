//! Amounts, in all or per stretch of time.

use std::time::Duration;

use toml::de::DeValue;

use super::{
    Value, Written,
    units::{SIZE_UNITS, Unit, amount, duration_text, per_time, size_text},
};
use crate::{diagnostic::Diagnostic, syntax::reader::Reader};

/// An amount, in all or per stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// How many, or how many bytes.
    pub amount: u64,
    /// `None`: over the whole session. Whole seconds.
    pub per: Option<Duration>,
}

/// A number of things: 500, or "100/min".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(pub Budget);

/// A number of bytes: "2GiB", or "10MiB/min".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub Budget);

impl Value for Count {
    fn read(reader: &mut Reader, value: &Written<'_>, key: &str) -> Option<Self> {
        const EXPECTED: &str = "a number such as 500, or \"100/min\"";
        read_budget(reader, value, key, EXPECTED, &[]).map(Self)
    }

    fn text(self) -> String {
        self.0.text(self.0.amount.to_string())
    }
}

impl Value for Bytes {
    fn read(reader: &mut Reader, value: &Written<'_>, key: &str) -> Option<Self> {
        const EXPECTED: &str = "a size such as \"2GiB\", or \"10MiB/min\"";
        read_budget(reader, value, key, EXPECTED, SIZE_UNITS).map(Self)
    }

    fn text(self) -> String {
        self.0.text(size_text(self.0.amount))
    }
}

impl Budget {
    fn text(self, amount: String) -> String {
        match self.per.map(duration_text) {
            None => amount,
            Some(per) => match per.strip_prefix('1') {
                Some(unit) if unit.chars().all(char::is_alphabetic) => format!("{amount}/{unit}"),
                _ => format!("{amount}/{per}"),
            },
        }
    }
}

fn read_budget(
    reader: &mut Reader,
    value: &Written<'_>,
    key: &str,
    expected: &str,
    units: &[Unit],
) -> Option<Budget> {
    if let DeValue::Integer(_) = value.get_ref() {
        return read_number(reader, value, key).map(|amount| Budget { amount, per: None });
    }
    let text = reader.text(value, key, expected)?;
    let parsed = parse(&text.value, units);
    if parsed.is_none() {
        reader.error(
            Diagnostic::error(text.location, format!("`{}` is no budget", text.value))
                .label(format!("expected {expected}")),
        );
    }
    parsed
}

/// "100", "100/min", "2GiB", "10MiB/s".
fn parse(text: &str, units: &[Unit]) -> Option<Budget> {
    let (number, per) = match text.split_once('/') {
        Some((number, per)) => (number, Some(per_time(per.trim())?)),
        None => (text, None),
    };
    Some(Budget {
        amount: amount(number.trim(), units)?,
        per,
    })
}

/// 0 or more.
pub(super) fn read_number(reader: &mut Reader, value: &Written<'_>, key: &str) -> Option<u64> {
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
