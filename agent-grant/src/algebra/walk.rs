//! Breadth-first walks over real paths only: names are not empty, not `.` and not `..`.

use rustc_hash::FxHashMap;

use crate::automaton::Dfa;

/// What has been read of the current component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// The empty path: only a slash follows.
    Root,
    Slash,
    Dot,
    DotDot,
    Name,
}

impl Phase {
    /// Whether the path so far is one.
    pub(crate) fn is_path(self) -> bool {
        matches!(self, Self::Root | Self::Name)
    }

    fn after(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Root | Self::Name, b'/') => Some(Self::Slash),
            (Self::Root, _) | (_, b'/') => None,
            (Self::Slash, b'.') => Some(Self::Dot),
            (Self::Dot, b'.') => Some(Self::DotDot),
            _ => Some(Self::Name),
        }
    }
}

/// States of several automata after one path.
pub(crate) type States<const N: usize> = [u32; N];

/// A walk through `N` automata at once, shortest paths first.
pub(crate) struct Walk<const N: usize> {
    nodes: Vec<(States<N>, Phase)>,
    /// Where a node was reached from, and by which byte.
    from: Vec<(u32, u8)>,
}

impl<const N: usize> Walk<N> {
    /// Visits every combination of states that real paths lead to, until `visit` says stop by
    /// returning false. `visit` gets the node's number for [`Walk::path`].
    pub(crate) fn run(
        automata: [&Dfa; N],
        starts: &[(States<N>, Phase)],
        mut visit: impl FnMut(&Self, usize, States<N>, Phase) -> bool,
    ) {
        let bytes = bytes(automata);
        let mut walk = Self {
            nodes: Vec::new(),
            from: Vec::new(),
        };
        let mut seen: FxHashMap<(States<N>, Phase), ()> = FxHashMap::default();
        for start in starts {
            if seen.insert(*start, ()).is_none() {
                walk.nodes.push(*start);
                walk.from.push((u32::MAX, 0));
            }
        }
        let mut at = 0;
        while let Some((states, phase)) = walk.nodes.get(at).copied() {
            if !visit(&walk, at, states, phase) {
                return;
            }
            for byte in &bytes {
                let Some(next_phase) = phase.after(*byte) else {
                    continue;
                };
                let mut next = states;
                for (state, dfa) in next.iter_mut().zip(automata) {
                    *state = dfa.step(*state, *byte);
                }
                if next != [0; N] && seen.insert((next, next_phase), ()).is_none() {
                    walk.nodes.push((next, next_phase));
                    walk.from.push((at as u32, *byte));
                }
            }
            at += 1;
        }
    }

    /// The bytes that lead to a node, and the start that they lead from.
    pub(crate) fn path(&self, node: usize) -> (usize, Vec<u8>) {
        let mut path = Vec::new();
        let mut at = node;
        while let Some((from, byte)) = self.from.get(at).copied().filter(|(f, _)| *f != u32::MAX) {
            path.push(byte);
            at = from as usize;
        }
        path.reverse();
        (at, path)
    }
}

/// One readable byte for each combination of columns; slash and dot stand for themselves.
fn bytes<const N: usize>(automata: [&Dfa; N]) -> Vec<u8> {
    let readable = (b'a'..=b'z')
        .chain(b'0'..=b'9')
        .chain(b'A'..=b'Z')
        .chain(b'!'..=b'~');
    let mut seen: Vec<[u8; N]> = Vec::new();
    let mut bytes = vec![b'/', b'.'];
    for byte in readable
        .chain(1..=255)
        .filter(|byte| !matches!(byte, b'/' | b'.'))
    {
        let columns = automata.map(|dfa| dfa.classes[usize::from(byte)]);
        if !seen.contains(&columns) {
            seen.push(columns);
            bytes.push(byte);
        }
    }
    bytes
}
