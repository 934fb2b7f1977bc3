//! What a session is handed over of the environment in which it is started.
//!
//! A name is kept with its caller's value, set to a value of the grant's, or dropped. Dropped is
//! the least, kept the most, since the caller's value may be anything: any secret.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    diagnostic::{Location, Source},
    effect::Effect,
    glob::{Atom, matches_name},
    syntax::Text,
    unix::{NameRule, NameTable},
};

pub use crate::syntax::environment::GIVEN;

/// What programs need, and what holds no secret: kept unless a grant says `default = false`.
///
/// Not among them: what makes the dynamic loader load more (`LD_*`), and what leads to a process
/// that acts for its user (`SSH_AUTH_SOCK`, `DBUS_SESSION_BUS_ADDRESS`, `DISPLAY`).
pub const DEFAULT: [&str; 47] = [
    "PATH",
    "HOME",
    "PWD",
    "USER",
    "LOGNAME",
    "SHELL",
    "TMPDIR",
    "TMP",
    "TEMP",
    "TZ",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TERM",
    "TERMINFO",
    "TERMINFO_DIRS",
    "TERM_PROGRAM",
    "TERM_PROGRAM_VERSION",
    "COLORTERM",
    "COLUMNS",
    "LINES",
    "LS_COLORS",
    "NO_COLOR",
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "FORCE_COLOR",
    "EDITOR",
    "VISUAL",
    "PAGER",
    "LESS",
    "LESSCHARSET",
    "MANPATH",
    "XDG_*",
    // Of a service, by its manager.
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "SYSTEMD_EXEC_PID",
    "RUNTIME_DIRECTORY",
    "STATE_DIRECTORY",
    "CACHE_DIRECTORY",
    "LOGS_DIRECTORY",
    "CONFIGURATION_DIRECTORY",
];

/// The environment of a grant, or of several that are in force together.
#[derive(Clone, Debug, PartialEq)]
pub struct Environment {
    /// A name is kept if every part keeps it. A grant is one part, an intersection several.
    pub parts: Vec<Part>,
    /// Names with values of the grant's own.
    pub set: BTreeMap<String, String>,
    /// Names on whose values the grants of an intersection disagree.
    dropped: BTreeSet<String>,
    /// The session has a directory of its own for temporary files: see [`Self::has_private_tmp`].
    pub(crate) private_tmp: bool,
}

/// Where programs look for the directory for temporary files.
pub const TMPDIR: &str = "TMPDIR";

/// What one grant keeps.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// [`DEFAULT`] is kept.
    pub default: bool,
    pub keep: Vec<Kept>,
}

/// A pattern of names.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    pub text: Text,
    atoms: Vec<Atom>,
}

/// What becomes of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate<'e> {
    Dropped,
    /// It has this value, whatever it had.
    Set(&'e str),
    /// It has the value that it had, if it had one.
    Kept,
}

impl Default for Environment {
    fn default() -> Self {
        Self {
            parts: vec![Part {
                default: true,
                keep: Vec::new(),
            }],
            set: BTreeMap::new(),
            dropped: BTreeSet::new(),
            private_tmp: false,
        }
    }
}

impl Kept {
    pub(crate) fn new(text: Text) -> Self {
        let atoms = atoms(&text.value);
        Self { text, atoms }
    }

    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        matches_name(&self.atoms, name)
    }
}

/// A `*` is any run of bytes; every other character stands for itself.
fn atoms(pattern: &str) -> Vec<Atom> {
    let atom = |byte| match byte {
        b'*' => Atom::Star,
        byte => Atom::Byte(byte),
    };
    pattern.bytes().map(atom).collect()
}

impl Part {
    /// Every pattern of names.
    fn patterns(&self) -> impl Iterator<Item = Vec<Atom>> {
        let default = DEFAULT.iter().filter(|_| self.default).map(|p| atoms(p));
        default.chain(self.keep.iter().map(|kept| kept.atoms.clone()))
    }

    fn keeps(&self, name: &[u8]) -> bool {
        self.patterns().any(|atoms| matches_name(&atoms, name))
    }
}

impl Environment {
    /// That keeps names like these, and sets these.
    #[must_use]
    pub fn new(keep: &[String], set: BTreeMap<String, String>) -> Self {
        let source = Arc::new(Source::new("", ""));
        let keep = keep.iter().map(|pattern| {
            Kept::new(Text {
                value: pattern.clone(),
                location: Location {
                    source: Arc::clone(&source),
                    span: 0..0,
                },
            })
        });
        Self {
            parts: vec![Part {
                default: false,
                keep: keep.collect(),
            }],
            set,
            dropped: BTreeSet::new(),
            private_tmp: false,
        }
    }

    /// Whether the session gets a filesystem of its own for temporary files, which is gone when it ends, with
    /// [`TMPDIR`] set to where that is mounted. A grant that sets that variable itself has its own.
    #[must_use]
    pub fn has_private_tmp(&self) -> bool {
        self.private_tmp && !self.set.contains_key(TMPDIR)
    }

    /// Patterns of the names that are kept, where one grant is in force; where several are, no such list says
    /// it, and it is empty.
    #[must_use]
    pub fn keeps(&self) -> Vec<String> {
        let [part] = self.parts.as_slice() else {
            return Vec::new();
        };
        let default = DEFAULT.iter().filter(|_| part.default);
        let own = part.keep.iter().map(|kept| kept.text.value.clone());
        default.map(|name| (*name).to_owned()).chain(own).collect()
    }

    /// What becomes of a name.
    #[must_use]
    pub fn fate(&self, name: &[u8]) -> Fate<'_> {
        let text = std::str::from_utf8(name).ok();
        if let Some(value) = text.and_then(|name| self.set.get(name)) {
            return Fate::Set(value);
        }
        let disagreed = text.is_some_and(|name| self.dropped.contains(name));
        if !disagreed && self.parts.iter().all(|part| part.keeps(name)) {
            Fate::Kept
        } else {
            Fate::Dropped
        }
    }

    /// What both hand over: a name gets the lesser of its two fates; two different values have
    /// nothing in common.
    pub(crate) fn intersect(&self, other: &Self) -> Self {
        let mut both = Self {
            parts: [self.parts.clone(), other.parts.clone()].concat(),
            set: BTreeMap::new(),
            dropped: self.dropped.union(&other.dropped).cloned().collect(),
            private_tmp: self.private_tmp && other.private_tmp,
        };
        for name in self.set.keys().chain(other.set.keys()) {
            match (self.fate(name.as_bytes()), other.fate(name.as_bytes())) {
                (Fate::Set(value), Fate::Kept) | (Fate::Kept, Fate::Set(value)) => {
                    both.set.insert(name.clone(), value.to_owned());
                }
                (Fate::Set(value), Fate::Set(same)) if value == same => {
                    both.set.insert(name.clone(), value.to_owned());
                }
                _ => {
                    both.dropped.insert(name.clone());
                }
            }
        }
        both
    }

    /// Names that are in no pattern's hands.
    pub(crate) fn own_names(&self) -> impl Iterator<Item = &String> {
        self.set.keys().chain(&self.dropped)
    }

    /// The names that are kept, without those of `apart`.
    pub(crate) fn kept_names(&self, apart: &BTreeSet<&String>) -> NameTable {
        let mut number = 0;
        let mut rule = |effect, ways| {
            let rule = NameRule {
                number,
                effect,
                ways,
            };
            number = number.saturating_add(1);
            rule
        };
        let apart: Vec<_> = apart.iter().map(|name| atoms(name)).collect();
        let parts = self.parts.iter().map(|part| {
            let mut rules = vec![rule(Effect::Deny, apart.clone())];
            rules.extend(part.patterns().map(|way| rule(Effect::Allow, vec![way])));
            rules
        });
        NameTable {
            parts: parts.collect(),
        }
    }
}
