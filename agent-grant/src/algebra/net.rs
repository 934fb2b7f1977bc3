//! Comparing and joining network tables: both decide alike within a region, an address range that
//! no longer prefix of either table cuts, and a port range that no entry's bound cuts.

use agent_abi::{ledger::NO_RULE, limits::MAX_NET_ENTRIES, net::NetEntry};

use crate::net::{Endpoint, NetTable, NetTableError, Node, Prefix, TCP, UDP, first_match};

const PROTOCOLS: [u8; 2] = [TCP, UDP];

/// What each table decides on a destination.
pub(super) struct Contrast {
    pub(super) to: Endpoint,
    /// Whether it is allowed, and the rule that decides.
    pub(super) first: (bool, u16),
    pub(super) second: (bool, u16),
}

/// Destinations on which the tables differ: one for each combination of deciding rules.
pub(super) fn contrasts(a: &NetTable, b: &NetTable) -> Vec<Contrast> {
    let prefixes = prefixes(a, b);
    let mut found: Vec<Contrast> = Vec::new();
    for prefix in &prefixes {
        let Some(address) = free_address(*prefix, &prefixes) else {
            continue;
        };
        let (ours, theirs) = (a.lookup(address), b.lookup(address));
        for port in port_bounds(ours, theirs) {
            for protocol in PROTOCOLS {
                let first = first_match(ours, port, protocol);
                let second = first_match(theirs, port, protocol);
                let known = |c: &Contrast| c.first == first && c.second == second;
                if first.0 != second.0 && !found.iter().any(known) {
                    found.push(Contrast {
                        to: Endpoint {
                            address,
                            port,
                            protocol,
                        },
                        first,
                        second,
                    });
                }
            }
        }
    }
    found
}

/// Every prefix of both tables, and the two that hold all addresses.
fn prefixes(a: &NetTable, b: &NetTable) -> Vec<Prefix> {
    let mut all = vec![Prefix { bits: 0, length: 0 }, Prefix::V4];
    all.extend(a.nodes.iter().chain(&b.nodes).map(|node| node.prefix));
    all.sort_by_key(|prefix| (prefix.length, prefix.bits));
    all.dedup();
    all
}

/// The unspecified addresses: what a table says of them decides nothing, see [`Endpoint::reached`].
const UNSPECIFIED: [Prefix; 2] = [
    Prefix {
        bits: 0,
        length: 128,
    },
    Prefix {
        bits: Prefix::V4.bits,
        length: 128,
    },
];

/// An address in a prefix and in none of the longer ones, which is a destination of its own.
pub(super) fn free_address(prefix: Prefix, all: &[Prefix]) -> Option<u128> {
    if UNSPECIFIED.contains(&prefix) {
        return None;
    }
    let inside: Vec<Prefix> = all
        .iter()
        .chain(&UNSPECIFIED)
        .copied()
        .filter(|p| p.length > prefix.length && prefix.covers(*p))
        .collect();
    search(prefix, &inside)
}

fn search(prefix: Prefix, inside: &[Prefix]) -> Option<u128> {
    if inside.is_empty() {
        return Some(prefix.bits);
    }
    if inside.iter().any(|p| p.length <= prefix.length) || prefix.length >= 128 {
        return None;
    }
    let length = prefix.length + 1;
    let halves = [prefix.bits, prefix.bits | 1 << (128 - u32::from(length))];
    halves.into_iter().find_map(|bits| {
        let half = Prefix { bits, length };
        let within: Vec<Prefix> = inside.iter().copied().filter(|p| half.covers(*p)).collect();
        search(half, &within)
    })
}

/// The first port of each range within which neither list changes its answer.
fn port_bounds(a: &[NetEntry], b: &[NetEntry]) -> Vec<u16> {
    let mut bounds = vec![0];
    for entry in a.iter().chain(b) {
        bounds.push(entry.first);
        bounds.extend(entry.last.checked_add(1));
    }
    bounds.sort_unstable();
    bounds.dedup();
    bounds
}

/// What both tables allow. `renumber` gives the number of a rule of the second.
pub(super) fn intersect(
    a: &NetTable,
    b: &NetTable,
    renumber: impl Fn(u16) -> u16,
) -> Result<NetTable, NetTableError> {
    let mut nodes = Vec::new();
    for prefix in prefixes(a, b) {
        // A node's entries are those of its whole region, so any free address shows them.
        let Some(address) = free_address(prefix, &prefixes(a, b)) else {
            continue;
        };
        let entries = joined(a.lookup(address), b.lookup(address), &renumber);
        if entries.len() > MAX_NET_ENTRIES {
            return Err(NetTableError::TooManyEntries {
                prefix,
                count: entries.len(),
            });
        }
        nodes.push(Node { prefix, entries });
    }
    Ok(NetTable { nodes })
}

fn joined(a: &[NetEntry], b: &[NetEntry], renumber: &impl Fn(u16) -> u16) -> Vec<NetEntry> {
    let bounds = port_bounds(a, b);
    let mut out: Vec<NetEntry> = Vec::new();
    for protocol in PROTOCOLS {
        for (index, first) in bounds.iter().enumerate() {
            let last = bounds.get(index + 1).map_or(u16::MAX, |next| next - 1);
            let (ours, rule) = first_match(a, *first, protocol);
            let (theirs, other) = first_match(b, *first, protocol);
            let rule = match (ours, theirs) {
                (true, false) => renumber(other),
                (false, false) if rule == NO_RULE => renumber(other),
                _ => rule,
            };
            if rule == NO_RULE {
                continue;
            }
            let allow = u8::from(ours && theirs);
            let entry = NetEntry {
                first: *first,
                last,
                rule,
                protocol,
                allow,
            };
            match out.last_mut() {
                Some(before)
                    if (before.rule, before.protocol, before.allow)
                        == (entry.rule, entry.protocol, entry.allow)
                        && before.last.checked_add(1) == Some(entry.first) =>
                {
                    before.last = last;
                }
                _ => out.push(entry),
            }
        }
    }
    out
}

/// Numbers of the rules that decide some connection.
pub(super) fn deciding(table: &NetTable) -> Vec<u16> {
    let prefixes = prefixes(table, table);
    let mut rules = Vec::new();
    for prefix in &prefixes {
        let Some(address) = free_address(*prefix, &prefixes) else {
            continue;
        };
        let entries = table.lookup(address);
        for port in port_bounds(entries, &[]) {
            rules.extend(PROTOCOLS.map(|protocol| first_match(entries, port, protocol).1));
        }
    }
    rules.sort_unstable();
    rules.dedup();
    rules
}
