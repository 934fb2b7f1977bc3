//! Words that JSON and the store hold and that the program knows as values.

use std::{borrow::Cow, fmt};

use agent_abi::{Reason, Right};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use agent_grant::model::Mode;

/// Values that each have one word.
pub trait Vocabulary: Copy + PartialEq + 'static {
    /// What such values are called in the schema.
    const NAME: &'static str;
    /// Every value with its word.
    const WORDS: &'static [(Self, &'static str)];

    /// The value's word.
    #[must_use]
    fn word(self) -> &'static str {
        let mut words = Self::WORDS.iter();
        words
            .find(|(value, _)| *value == self)
            .map_or("unknown", |(_, word)| word)
    }
}

/// A value of `T`, or what another version or no act has in its place: that is kept as it came, so that
/// what is new in one place makes nothing else unreadable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word<T> {
    /// One that this version knows.
    Known(T),
    /// Anything else, as it came.
    Other(String),
}

impl<T: Vocabulary> Word<T> {
    /// `None`: it is none that this version knows.
    #[must_use]
    pub fn known(&self) -> Option<T> {
        match self {
            Self::Known(value) => Some(*value),
            Self::Other(_) => None,
        }
    }

    /// As JSON and the store have it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(value) => value.word(),
            Self::Other(text) => text,
        }
    }
}

/// Gives each value of a type its word; the compiler sees that none is left out.
macro_rules! vocabulary {
    ($type:ident: $($value:ident = $word:literal),+ $(,)?) => {
        impl $crate::api::Vocabulary for $type {
            const NAME: &'static str = stringify!($type);
            const WORDS: &'static [(Self, &'static str)] = &[$((Self::$value, $word)),+];

            fn word(self) -> &'static str {
                match self {
                    $(Self::$value => $word,)+
                }
            }
        }
    };
}
pub(super) use vocabulary;

/// Has the words of values that the language and the kernel side know too from where they are defined.
macro_rules! known_words {
    ($($type:ident),+ $(,)?) => {
        $(impl $crate::api::Vocabulary for $type {
            const NAME: &'static str = stringify!($type);
            const WORDS: &'static [(Self, &'static str)] = &Self::ALL;

            fn word(self) -> &'static str {
                self.name()
            }
        })+
    };
}
pub(super) use known_words;

impl<T: Default> Default for Word<T> {
    fn default() -> Self {
        Self::Known(T::default())
    }
}

impl<T> From<T> for Word<T> {
    fn from(value: T) -> Self {
        Self::Known(value)
    }
}

impl<T: Vocabulary> Word<T> {
    /// The value with this word, where there is one.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut words = T::WORDS.iter();
        let known = words.find(|(_, word)| *word == text);
        known.map_or_else(
            || Self::Other(text.into()),
            |(value, _)| Self::Known(*value),
        )
    }
}

impl<T: PartialEq> PartialEq<T> for Word<T> {
    fn eq(&self, value: &T) -> bool {
        matches!(self, Self::Known(known) if known == value)
    }
}

impl<T: Vocabulary> fmt::Display for Word<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<T: Vocabulary> Serialize for Word<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de, T: Vocabulary> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::read(&Cow::<str>::deserialize(deserializer)?))
    }
}

known_words! { Right, Reason, Mode }

/// What became of an act, or what a row says that stands for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was allowed.
    Allow,
    /// It was refused.
    Deny,
    /// The session is in audit mode: it was recorded and let through.
    WouldDeny,
    /// Events that nobody could record; the reason says why.
    Lost,
    /// Events, or sessions, that were stored and removed since.
    Removed,
    /// A session that ended without being told to; the reason is the cause.
    Ended,
}

impl Verdict {
    /// Whether an act was refused, or would have been.
    #[must_use]
    pub fn refuses(self) -> bool {
        match self {
            Self::Deny | Self::WouldDeny => true,
            Self::Allow | Self::Lost | Self::Removed | Self::Ended => false,
        }
    }
}

vocabulary! { Verdict:
    Allow = "allow",
    Deny = "deny",
    WouldDeny = "would-deny",
    Lost = "lost",
    Removed = "removed",
    Ended = "ended",
}

impl From<agent_abi::Verdict> for Verdict {
    fn from(verdict: agent_abi::Verdict) -> Self {
        match verdict {
            agent_abi::Verdict::Allow => Self::Allow,
            agent_abi::Verdict::Deny => Self::Deny,
            agent_abi::Verdict::WouldDeny => Self::WouldDeny,
        }
    }
}

/// How what a session did compares with what it was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alignment {
    /// It did nothing beyond its grant.
    Aligned,
    /// It did something beyond its grant, or tried to.
    NotAligned,
    /// The evidence is not whole.
    Unknown,
}

vocabulary! { Alignment:
    Aligned = "aligned",
    NotAligned = "not aligned",
    Unknown = "unknown",
}

#[cfg(test)]
impl<T: Vocabulary> From<&str> for Word<T> {
    fn from(text: &str) -> Self {
        Self::read(text)
    }
}

#[cfg(test)]
mod tests {
    use agent_grant::{
        Effect, LintKind, Relation, Severity, algebra::Side, syntax::settings::SettingTable,
    };

    use super::*;
    use crate::api::{
        EndCause, Enforcement, EnforcementState, EnvironmentState, FailureCode, Member,
        SessionState, Standing,
        doctor::ActResult,
        grant::{DifferenceKind, MoveKind, RuleKind},
    };

    fn every_value_is_its_word<T: Vocabulary + fmt::Debug>() {
        for (value, word) in T::WORDS {
            let json = serde_json::to_string(&Word::Known(*value)).unwrap();
            assert_eq!(json, format!("\"{word}\""));
            let read: Word<T> = serde_json::from_str(&json).unwrap();
            assert_eq!(read.known(), Some(*value));
            assert_eq!(T::WORDS.iter().filter(|(_, w)| w == word).count(), 1);
        }
    }

    #[test]
    fn json_has_the_words() {
        every_value_is_its_word::<Right>();
        every_value_is_its_word::<Reason>();
        every_value_is_its_word::<Verdict>();
        every_value_is_its_word::<Mode>();
        every_value_is_its_word::<Alignment>();
        every_value_is_its_word::<ActResult>();
        every_value_is_its_word::<FailureCode>();
        every_value_is_its_word::<SessionState>();
        every_value_is_its_word::<EndCause>();
        every_value_is_its_word::<EnvironmentState>();
        every_value_is_its_word::<EnforcementState>();
        every_value_is_its_word::<Standing>();
        every_value_is_its_word::<LintKind>();
        every_value_is_its_word::<Severity>();
        every_value_is_its_word::<Effect>();
        every_value_is_its_word::<Relation>();
        every_value_is_its_word::<Side>();
        every_value_is_its_word::<RuleKind>();
        every_value_is_its_word::<DifferenceKind>();
        every_value_is_its_word::<MoveKind>();
        every_value_is_its_word::<SettingTable>();
    }

    #[test]
    fn new_words_make_no_document_unreadable() {
        let enforcement = r#"{ "state": "dreamt", "because": "x" }"#;
        let read: Enforcement = serde_json::from_str(enforcement).unwrap();
        assert_eq!((read.state.known(), read.state.as_str()), (None, "dreamt"));
        let member = r#"{ "session": null, "pid": 1, "tid": 1, "command": "x", "cgroup": 1,
            "place": null, "standing": "levitating" }"#;
        let read: Member = serde_json::from_str(member).unwrap();
        assert_eq!(read.standing.as_str(), "levitating");
    }

    #[test]
    fn a_word_of_another_version_is_kept_and_harms_nothing() {
        let read: Word<Right> = serde_json::from_str("\"file.dream\"").unwrap();
        assert_eq!((read.known(), read.as_str()), (None, "file.dream"));
        assert_eq!(serde_json::to_string(&read).unwrap(), "\"file.dream\"");
        let word: Word<Mode> = serde_json::from_value("watch".into()).unwrap();
        assert_ne!(word, Mode::Audit);
    }

    #[test]
    fn the_kernels_verdicts_have_the_same_words() {
        for (verdict, name) in agent_abi::Verdict::ALL {
            assert_eq!(Verdict::from(verdict).word(), name);
        }
    }
}
