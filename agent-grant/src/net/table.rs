//! Network rules as the longest-prefix-match table that the kernel holds.

use agent_abi::{
    ledger::NO_RULE,
    limits::MAX_NET_ENTRIES,
    net::{NetEntries, NetEntry, NetKey, POLICY_BITS},
};
use agent_decide::destination;

use super::{Destination, Endpoint, Prefix};
use crate::effect::Effect;

/// A prefix and everything that is said of its addresses; first match decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub prefix: Prefix,
    pub entries: Vec<NetEntry>,
}

/// The network part of a compiled grant. What no node or entry matches is denied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetTable {
    /// Wider prefixes before those inside them.
    pub nodes: Vec<Node>,
}

/// Why network rules do not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetTableError {
    #[error(
        "{count} port ranges meet at {prefix}, {MAX_NET_ENTRIES} fit; merge ranges, or drop rules \
         that cover this network"
    )]
    TooManyEntries { prefix: Prefix, count: usize },
}

/// One network rule: number, effect, destinations.
pub(crate) type NetRule<'r> = (u16, Effect, &'r [Destination]);

impl NetTable {
    pub(crate) fn build(rules: &[NetRule<'_>]) -> Result<Self, NetTableError> {
        let mut prefixes: Vec<Prefix> = rules
            .iter()
            .flat_map(|(_, _, d)| d.iter())
            .flat_map(|d| d.prefixes.clone())
            .collect();
        // A wide IPv6 prefix covers the mapped IPv4 addresses too; a node of their own keeps it off.
        if prefixes.iter().any(|p| p.covers(Prefix::V4)) {
            prefixes.push(Prefix::V4);
        }
        prefixes.sort_by_key(|p| (p.length, p.bits));
        prefixes.dedup();
        let mut nodes = Vec::with_capacity(prefixes.len());
        for prefix in prefixes {
            let entries = entries(rules, prefix);
            if entries.len() > MAX_NET_ENTRIES {
                return Err(NetTableError::TooManyEntries {
                    prefix,
                    count: entries.len(),
                });
            }
            nodes.push(Node { prefix, entries });
        }
        Ok(Self { nodes })
    }

    /// The entries that hold for an address, as the kernel finds them.
    #[must_use]
    pub fn lookup(&self, address: u128) -> &[NetEntry] {
        let node = self
            .nodes
            .iter()
            .rev()
            .find(|node| node.prefix.contains(address));
        node.map_or(&[], |node| node.entries.as_slice())
    }

    /// Whether a destination is allowed, and the rule that says so ([`NO_RULE`] if none does).
    #[must_use]
    pub fn decide(&self, to: Endpoint) -> (bool, u16) {
        let to = to.reached();
        first_match(self.lookup(to.address), to.port, to.protocol)
    }

    /// The table as map entries: key length in bits, key, value.
    #[must_use]
    pub fn kernel_entries(&self, policy: u32) -> Vec<(u32, NetKey, NetEntries)> {
        let mut out = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let key = NetKey {
                policy: policy.to_be_bytes(),
                address: node.prefix.bits.to_be_bytes(),
            };
            let value = NetEntries::of(&node.entries);
            out.push((POLICY_BITS + u32::from(node.prefix.length), key, value));
        }
        out
    }
}

pub(crate) fn first_match(entries: &[NetEntry], port: u16, protocol: u8) -> (bool, u16) {
    destination::first_match(&NetEntries::of(entries), port, protocol)
        .map_or((false, NO_RULE), |e| (e.allow == 1, e.rule))
}

fn entries(rules: &[NetRule<'_>], node: Prefix) -> Vec<NetEntry> {
    let mut entries: Vec<NetEntry> = Vec::new();
    for pass in [Effect::Deny, Effect::Allow] {
        for (rule, effect, destinations) in rules {
            let covering = destinations.iter().filter(|d| {
                *effect == pass
                    && d.prefixes
                        .iter()
                        .any(|p| p.covers(node) && p.is_v4() == node.is_v4())
            });
            for destination in covering {
                let protocols: &[u8] = match (destination.protocol, effect) {
                    (Some(super::TCP), _) => &[super::TCP],
                    (Some(_), _) => &[super::UDP],
                    // A denial may name more than there is to deny, an allowance may not.
                    (None, Effect::Deny) => &[0],
                    (None, Effect::Allow) => &[super::TCP, super::UDP],
                };
                for protocol in protocols {
                    push(
                        &mut entries,
                        NetEntry {
                            first: destination.ports.0,
                            last: destination.ports.1,
                            rule: *rule,
                            protocol: *protocol,
                            allow: u8::from(pass == Effect::Allow),
                        },
                    );
                }
            }
        }
    }
    entries
}

/// Adds an entry unless an earlier one decides everything that it would.
fn push(entries: &mut Vec<NetEntry>, new: NetEntry) {
    let shadowed = entries.iter().any(|e| {
        (e.protocol == 0 || e.protocol == new.protocol)
            && e.first <= new.first
            && e.last >= new.last
    });
    if !shadowed {
        entries.push(new);
    }
}
