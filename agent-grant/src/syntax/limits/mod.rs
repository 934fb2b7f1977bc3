//! `[limits]`: budgets of a session.
//!
//! To add a limit: a row here, and its line in `docs/grants.md`. A kind of value that is new has to be
//! read and shown ([`Value`]), and compared (`crate::algebra::limits`).

mod budget;
mod refusals;
mod units;

use std::time::Duration;

use toml::de::DeTable;

use super::reader::{Reader, Value as Written};

pub use budget::{Budget, Bytes, Count};
pub use refusals::{Refusals, Then};

/// Calls `$callback!` with every limit, in the order in which they are shown: what it bounds, its key in a
/// grant, the kind of its value, and whether this version holds sessions to it.
macro_rules! for_each_limit {
    ($callback:ident) => {
        $callback! {
            /// How long the session lasts.
            lifetime: Duration, enforced = false;
            /// Processes that it starts.
            processes: Count, enforced = false;
            /// Files and directories that it deletes.
            deletes: Count, enforced = false;
            /// What it writes to files.
            bytes_written: Bytes, enforced = false;
            /// What it sends over the network.
            bytes_out: Bytes, enforced = false;
            /// Connections that it opens.
            connections: Count, enforced = false;
            /// Refusals, and what follows when they are used up.
            refusals: Refusals, enforced = false;
        }
    };
}
pub(crate) use for_each_limit;

/// What a limit can be set to.
trait Value: Copy {
    /// Reads what `key` is set to; `None` after it was said what is wrong with it.
    fn read(reader: &mut Reader, value: &Written<'_>, key: &str) -> Option<Self>;

    /// As a grant could write it.
    fn text(self) -> String;
}

macro_rules! define {
    ($($(#[$doc:meta])* $name:ident: $value:ty, enforced = $enforced:literal;)*) => {
        /// Budgets; `None` is no limit.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Limits {
            $($(#[$doc])* pub $name: Option<$value>,)*
        }

        impl Limits {
            /// `self` where it says something, `below` elsewhere.
            #[must_use]
            pub(crate) fn or(self, below: Self) -> Self {
                Self { $($name: self.$name.or(below.$name),)* }
            }

            /// Every limit by name, with its value as a grant could write it; `None` where there is none.
            #[must_use]
            pub fn texts(&self) -> Vec<(&'static str, Option<String>)> {
                vec![$((stringify!($name), self.$name.map(Value::text)),)*]
            }

            /// Names of the limits that are given and that this version does not hold sessions to.
            #[must_use]
            pub fn unenforced(&self) -> Vec<&'static str> {
                let all = [$((stringify!($name), self.$name.is_some(), $enforced),)*];
                let unenforced = all.into_iter().filter(|(_, given, enforced)| *given && !enforced);
                unenforced.map(|(name, ..)| name).collect()
            }

            pub(crate) fn read(reader: &mut Reader, table: &DeTable<'_>) -> Self {
                reader.check_keys(table, "`[limits]`", &[$(stringify!($name)),*]);
                Self {
                    $($name: table.get(stringify!($name)).and_then(|value| {
                        Value::read(reader, value, stringify!($name))
                    }),)*
                }
            }
        }
    };
}

for_each_limit!(define);
