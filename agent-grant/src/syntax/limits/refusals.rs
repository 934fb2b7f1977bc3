//! How many refusals, and what then.

use toml::de::DeValue;

use super::{Value, Written, budget::read_number};
use crate::syntax::reader::Reader;

/// What happens once the budget of refusals is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The session's processes are halted.
    Freeze,
    /// They are killed.
    Kill,
}

impl Then {
    const WORDS: [(&'static str, Self); 2] = [("freeze", Self::Freeze), ("kill", Self::Kill)];

    fn word(self) -> &'static str {
        match self {
            Self::Freeze => "freeze",
            Self::Kill => "kill",
        }
    }
}

/// `refusals = { max = 200, then = "freeze" }`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusals {
    /// 0 or more.
    pub max: u64,
    pub then: Then,
}

impl Value for Refusals {
    fn read(reader: &mut Reader, value: &Written<'_>, key: &str) -> Option<Self> {
        const EXPECTED: &str = "a number, or `{ max = 200, then = \"freeze\" }`";
        match value.get_ref() {
            DeValue::Integer(_) => Some(Self {
                max: read_number(reader, value, key)?,
                then: Then::Freeze,
            }),
            DeValue::Table(table) => {
                reader.check_keys(table, &format!("`{key}`"), &["max", "then"]);
                let place = reader.at(value.span());
                let max = reader.required(table, "max", &place, "`max = 200`");
                let max = max.and_then(|value| read_number(reader, value, "max"));
                let then = match table.get("then") {
                    Some(value) => reader.word(value, "then", &Then::WORDS)?,
                    None => Then::Freeze,
                };
                Some(Self { max: max?, then })
            }
            _ => {
                reader.wrong_type(value, key, EXPECTED);
                None
            }
        }
    }

    fn text(self) -> String {
        format!("{}, then {}", self.max, self.then.word())
    }
}
