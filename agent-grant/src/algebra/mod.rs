//! Exact comparison of compiled grants.

mod intersect;
mod limits;
mod net;
mod reach;
pub(crate) mod walk;

use std::fmt;

use agent_abi::{FileRights, Right, Surface, right::FILE_RIGHTS};

pub use intersect::{IntersectError, intersect};
pub use reach::{MoveWitness, move_witness, unreachable_rules};

use crate::{
    compile::Compiled,
    model::{Mode, Object},
    net::Endpoint,
    syntax::capabilities,
};
use walk::{Phase, Walk};

/// How the first grant relates to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    Equal,
    /// It allows less.
    Narrower,
    /// It allows more.
    Wider,
    /// Each allows something that the other refuses.
    Incomparable,
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
    Surface(Surface),
    /// A capability by name.
    Capability(&'static str),
    /// A limit by name: higher, absent, or not comparable with the other's.
    Limit(&'static str),
    /// It refuses nothing, since it is in audit mode.
    Audit,
    /// Its rules about abstract Unix sockets are others.
    Unix,
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, right } if path.is_empty() => write!(f, "{} /", right.name()),
            Self::File { path, right } => write!(f, "{} {}", right.name(), path.escape_ascii()),
            Self::Net(endpoint) => write!(f, "net.connect {endpoint}"),
            Self::Surface(switch) => write!(f, "{switch:?}"),
            Self::Capability(name) => write!(f, "capability {name}"),
            Self::Limit(name) => write!(f, "limit {name}"),
            Self::Audit => f.write_str("audit mode"),
            Self::Unix => f.write_str("unix.connect"),
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

/// Compares what two grants allow: files, network, capabilities, surface, limits, mode.
#[must_use]
pub fn compare(first: &Compiled, second: &Compiled) -> Comparison {
    let [mut only_first, mut only_second] = files(first, second);
    for (a, b, out) in [
        (first, second, &mut only_first),
        (second, first, &mut only_second),
    ] {
        out.extend(net::excess(&a.net, &b.net).map(Witness::Net));
        out.extend(
            SURFACES
                .into_iter()
                .filter(|switch| a.surface & !b.surface & switch.bit() != 0)
                .map(Witness::Surface),
        );
        let capabilities = capabilities::NAMES.iter().enumerate();
        out.extend(
            capabilities
                .filter(|(number, _)| a.capabilities & !b.capabilities & (1 << number) != 0)
                .map(|(_, name)| Witness::Capability(name)),
        );
        out.extend(
            limits::excess(&a.limits, &b.limits)
                .into_iter()
                .map(Witness::Limit),
        );
        if a.mode == Mode::Audit && b.mode == Mode::Enforce {
            out.push(Witness::Audit);
        }
        if unix_rules(a) != unix_rules(b) {
            out.push(Witness::Unix);
        }
    }
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

const SURFACES: [Surface; 12] = [
    Surface::SignalAny,
    Surface::PtraceSession,
    Surface::Jit,
    Surface::Mount,
    Surface::Namespaces,
    Surface::Bpf,
    Surface::Perf,
    Surface::IoUring,
    Surface::Userfaultfd,
    Surface::Keyrings,
    Surface::Load,
    Surface::ControlAny,
];

fn unix_rules(grant: &Compiled) -> Vec<String> {
    let unix = grant
        .source
        .iter()
        .filter(|rule| matches!(rule.object, Object::Unix { .. }));
    unix.map(|rule| format!("{} {}", rule.effect.name(), rule.objects().join(" ")))
        .collect()
}

/// For each right the shortest path that only the first, and that only the second allows.
fn files(first: &Compiled, second: &Compiled) -> [Vec<Witness>; 2] {
    let mut only = [Vec::new(), Vec::new()];
    let mut found = [FileRights::NONE; 2];
    let start = ([first.dfa.start, second.dfa.start], Phase::Root);
    Walk::run(
        [&first.dfa, &second.dfa],
        &[start],
        |walk, node, [a, b], phase| {
            if !phase.is_path() {
                return true;
            }
            let (a, b) = (first.dfa.label(a).allowed, second.dfa.label(b).allowed);
            for (side, excess) in [a.without(b), b.without(a)].into_iter().enumerate() {
                let new = excess.without(found[side]);
                found[side] = found[side].union(new);
                for right in rights(new) {
                    only[side].push(Witness::File {
                        path: walk.path(node).1,
                        right,
                    });
                }
            }
            found != [FileRights::ALL; 2]
        },
    );
    only
}

/// The rights in a set.
pub(crate) fn rights(set: FileRights) -> impl Iterator<Item = Right> {
    Right::ALL
        .into_iter()
        .map(|(right, _)| right)
        .filter(move |right| (*right as usize) < FILE_RIGHTS && set.0 & (1 << *right as usize) != 0)
}
