//! The words of grants.

use agent_grant::{
    Effect, LintKind, Manner, Relation, Severity, algebra::Side, model::Object,
    syntax::settings::SettingTable,
};

use crate::api::{Vocabulary, word::vocabulary};

impl Vocabulary for LintKind {
    const NAME: &'static str = "LintKind";
    const WORDS: &'static [(Self, &'static str)] = Self::ALL;
}

vocabulary! { Severity:
    Note = "note",
    Warning = "warning",
    Error = "error",
}

vocabulary! { Effect:
    Allow = "allow",
    Deny = "deny",
}

vocabulary! { Relation:
    Equal = "equal",
    Narrower = "narrower",
    Wider = "wider",
    Incomparable = "incomparable",
}

vocabulary! { Side:
    First = "first",
    Second = "second",
}

/// What a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleKind {
    /// Files.
    File,
    /// Internet addresses.
    Net,
    /// Abstract Unix sockets.
    Unix,
}

vocabulary! { RuleKind:
    File = "file",
    Net = "net",
    Unix = "unix",
}

impl From<&Object> for RuleKind {
    fn from(object: &Object) -> Self {
        match object {
            Object::File { .. } => Self::File,
            Object::Net { .. } => Self::Net,
            Object::Unix { .. } => Self::Unix,
        }
    }
}

/// In what two grants differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DifferenceKind {
    /// A right on a path.
    File,
    /// A destination.
    Net,
    /// An abstract Unix socket.
    Unix,
    /// A switch of `[process]`, or a capability.
    Process,
    /// A switch of `[kernel]`.
    Kernel,
    /// A variable of the environment.
    Environment,
    /// A limit.
    Limits,
    /// Whether anything is refused.
    Mode,
}

vocabulary! { DifferenceKind:
    File = "file",
    Net = "net",
    Unix = "unix",
    Process = "process",
    Kernel = "kernel",
    Environment = "environment",
    Limits = "limits",
    Mode = "mode",
}

/// How something gets another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveKind {
    /// It loses the old one.
    Rename,
    /// It keeps the old one.
    Link,
    /// What has the new one gets the old one.
    Exchange,
}

vocabulary! { MoveKind:
    Rename = "rename",
    Link = "link",
    Exchange = "exchange",
}

impl From<Manner> for MoveKind {
    fn from(manner: Manner) -> Self {
        match manner {
            Manner::Rename { .. } => Self::Rename,
            Manner::Link => Self::Link,
            Manner::Exchange { .. } => Self::Exchange,
        }
    }
}

vocabulary! { SettingTable:
    Process = "process",
    Kernel = "kernel",
}
