//! Comparing rules about abstract Unix sockets: sets of positions in their patterns, walked side by
//! side. Names are few and patterns short, so the sets are not kept as an automaton.

use agent_abi::ledger::NO_RULE;
use rustc_hash::FxHashSet;

use crate::{glob::Atom, model::Effect, unix::NameTable};

/// Combinations of positions at which the search is given up.
const MAX_NODES: usize = 1 << 15;

/// What each grant decides on a name.
pub(super) struct Contrast {
    pub(super) name: Vec<u8>,
    pub(super) first: (bool, u16),
    pub(super) second: (bool, u16),
}

/// One way through a pattern, its rule, and the part of the table that the rule is in.
struct Way<'r> {
    part: usize,
    rule: u16,
    effect: Effect,
    atoms: &'r [Atom],
}

/// Where names read so far stand in the ways: (way, position), sorted.
type Positions = Vec<(u32, u32)>;

/// Shortest names on which the grants differ: one for each pair of deciding rules. `None` where the
/// patterns are too many to tell.
pub(super) fn contrasts(first: &NameTable, second: &NameTable) -> Option<Vec<Contrast>> {
    let sides = [ways(first), ways(second)];
    let parts = [first.parts.len(), second.parts.len()];
    if sides.iter().all(Vec::is_empty) {
        return Some(Vec::new());
    }
    let bytes = bytes(&sides);
    let start = [0, 1].map(|side| start(&sides[side]));
    // The empty name is none, so a name that stands where it does is yet to be looked at: all
    // names of `*` do.
    let mut nodes = vec![(start, Vec::new())];
    let mut seen: FxHashSet<[Positions; 2]> = FxHashSet::default();
    let mut found: Vec<Contrast> = Vec::new();
    let mut at = 0;
    while let Some((positions, name)) = nodes.get(at).cloned() {
        at += 1;
        let [first, second] =
            [0, 1].map(|side| decide(&sides[side], parts[side], &positions[side]));
        let known = |c: &Contrast| c.first == first && c.second == second;
        if first.0 != second.0 && !name.is_empty() && !found.iter().any(known) {
            let name = name.clone();
            found.push(Contrast {
                name,
                first,
                second,
            });
        }
        for byte in &bytes {
            let next = [0, 1].map(|side| step(&sides[side], &positions[side], *byte));
            if seen.insert(next.clone()) {
                nodes.push((next, [name.as_slice(), &[*byte]].concat()));
            }
        }
        if nodes.len() > MAX_NODES {
            return None;
        }
    }
    Some(found)
}

fn ways(table: &NameTable) -> Vec<Way<'_>> {
    let parts = table.parts.iter().enumerate();
    let rules = parts.flat_map(|(part, rules)| rules.iter().map(move |rule| (part, rule)));
    rules
        .flat_map(|(part, rule)| {
            rule.ways.iter().map(move |atoms| Way {
                part,
                rule: rule.number,
                effect: rule.effect,
                atoms,
            })
        })
        .collect()
}

fn start(ways: &[Way<'_>]) -> Positions {
    closed(ways, (0..ways.len() as u32).map(|way| (way, 0)).collect())
}

/// With the positions behind stars, which may match nothing.
fn closed(ways: &[Way<'_>], mut positions: Positions) -> Positions {
    let mut at = 0;
    while let Some((way, position)) = positions.get(at).copied() {
        if ways[way as usize].atoms.get(position as usize) == Some(&Atom::Star) {
            positions.push((way, position + 1));
        }
        at += 1;
    }
    positions.sort_unstable();
    positions.dedup();
    positions
}

fn step(ways: &[Way<'_>], positions: &Positions, byte: u8) -> Positions {
    let next = positions.iter().filter_map(|(way, position)| {
        match ways[*way as usize].atoms.get(*position as usize)? {
            Atom::Star => Some((*way, *position)),
            Atom::One => Some((*way, position + 1)),
            Atom::Byte(own) => (*own == byte).then_some((*way, position + 1)),
            Atom::Set(set) => set.contains(byte).then_some((*way, position + 1)),
        }
    });
    closed(ways, next.collect())
}

/// A name is allowed if every part allows it; a refusal names the first rule that refuses.
fn decide(ways: &[Way<'_>], parts: usize, positions: &Positions) -> (bool, u16) {
    let decided: Vec<_> = (0..parts)
        .map(|part| decide_part(ways, part, positions))
        .collect();
    let refused = decided.iter().filter(|(allowed, _)| !allowed);
    match refused.map(|(_, rule)| *rule).min() {
        // `NO_RULE` is above every number.
        Some(rule) => (false, rule),
        None => decided.first().copied().unwrap_or((false, NO_RULE)),
    }
}

fn decide_part(ways: &[Way<'_>], part: usize, positions: &Positions) -> (bool, u16) {
    let ended = |effect: Effect| {
        let ended = positions.iter().filter(move |(way, position)| {
            let way = &ways[*way as usize];
            way.part == part && way.effect == effect && way.atoms.len() == *position as usize
        });
        ended.map(|(way, _)| ways[*way as usize].rule).min()
    };
    match (ended(Effect::Deny), ended(Effect::Allow)) {
        (Some(rule), _) => (false, rule),
        (None, Some(rule)) => (true, rule),
        (None, None) => (false, NO_RULE),
    }
}

/// One readable byte for each set of bytes that no atom tells apart.
fn bytes(sides: &[Vec<Way<'_>>; 2]) -> Vec<u8> {
    let atoms: Vec<&Atom> = sides.iter().flatten().flat_map(|way| way.atoms).collect();
    let mut kinds: FxHashSet<Vec<bool>> = FxHashSet::default();
    let readable = (b'a'..=b'z').chain(b'!'..=b'~').chain(0..=255);
    readable
        .filter(|byte| {
            let told = atoms.iter().map(|atom| match atom {
                Atom::Byte(own) => own == byte,
                Atom::Set(set) => set.contains(*byte),
                Atom::One | Atom::Star => true,
            });
            kinds.insert(told.collect())
        })
        .collect()
}
