//! The words of grants.

use agent_grant::{
    Effect, LintKind, Relation, Severity, algebra::Side, syntax::settings::SettingTable,
};

use crate::api::word::{known_words, vocabulary};

pub use agent_grant::{model::RuleKind, moves::MoveKind};

known_words! {
    LintKind,
    Severity,
    Effect,
    Relation,
    Side,
    RuleKind,
    MoveKind,
    SettingTable,
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
