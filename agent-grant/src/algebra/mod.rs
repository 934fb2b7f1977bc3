//! Exact comparison of compiled grants.

mod differ;
mod environment;
mod intersect;
mod limits;
mod net;
mod reach;
mod unix;
pub(crate) mod walk;

use std::fmt;

use agent_abi::{FileRights, Right, words};

pub use differ::{Answer, Difference, Side, differences};
pub use intersect::{IntersectError, intersect};
pub use reach::{MoveWitness, move_witness, unreachable_rules};

use crate::{compile::Compiled, net::Endpoint, syntax::settings::Setting};

words! {
    /// How the first grant relates to the second.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Relation {
        Equal => "equal",
        /// It allows less.
        Narrower => "narrower",
        /// It allows more.
        Wider => "wider",
        /// Each allows something that the other refuses.
        Incomparable => "incomparable",
    }
}

/// Something that one grant allows and the other refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Witness {
    /// A shortest path for which the right differs. The root is the empty path.
    File {
        path: Vec<u8>,
        right: Right,
    },
    Net(Endpoint),
    /// A switch of `[process]` or `[kernel]`.
    Setting(Setting),
    /// A capability by name.
    Capability(&'static str),
    /// A limit by name: higher, absent, or not comparable with the other's.
    Limit(&'static str),
    /// It refuses nothing, since it is in audit mode.
    Audit,
    /// A shortest name of an abstract Unix socket, without its leading NUL.
    Unix(Vec<u8>),
    /// A shortest name of a variable of the environment.
    Environment(Vec<u8>),
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, right } if path.is_empty() => write!(f, "{} /", right.name()),
            Self::File { path, right } => write!(f, "{} {}", right.name(), path.escape_ascii()),
            Self::Net(endpoint) => write!(f, "net.connect {endpoint}"),
            Self::Setting(setting) => write!(f, "{}.{}", setting.table, setting.key),
            Self::Capability(name) => write!(f, "process.capabilities {name}"),
            Self::Limit(name) => write!(f, "limits.{name}"),
            Self::Audit => f.write_str("mode"),
            Self::Unix(name) => write!(f, "unix.connect @{}", name.escape_ascii()),
            Self::Environment(name) => write!(f, "environment {}", name.escape_ascii()),
        }
    }
}

/// How two grants differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    pub relation: Relation,
    /// What only the first allows; for files one shortest path for each right that differs.
    pub only_first: Vec<Witness>,
    /// What only the second allows.
    pub only_second: Vec<Witness>,
}

/// Compares what two grants allow: files, network, capabilities, settings, environment,
/// limits, mode.
#[must_use]
pub fn compare(first: &Compiled, second: &Compiled) -> Comparison {
    let mut only = [Vec::new(), Vec::new()];
    let mut met = [FileRights::NONE; 2];
    for difference in differences(first, second) {
        let side = difference.wider as usize;
        if let Witness::File { right, .. } = difference.witness {
            let right = FileRights::only(right);
            if met[side].contains(right) {
                continue;
            }
            met[side] = met[side].union(right);
        }
        only[side].push(difference.witness);
    }
    let [only_first, only_second] = only;
    let relation = match (only_first.is_empty(), only_second.is_empty()) {
        (true, true) => Relation::Equal,
        (true, false) => Relation::Narrower,
        (false, true) => Relation::Wider,
        (false, false) => Relation::Incomparable,
    };
    Comparison {
        relation,
        only_first,
        only_second,
    }
}
