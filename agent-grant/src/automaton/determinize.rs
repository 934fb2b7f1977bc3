//! Subset construction that never follows what cannot matter any more.
//!
//! In each subset, positions that can no longer change a decision are dropped: an absorbing
//! denial (`/x/**` once inside) makes every allowance of its rights pointless, an absorbing
//! allowance every later allowance of them. Without this, the subsets of a realistic grant run
//! into hundreds of thousands.

use agent_abi::{FileRights, image::SINK, ledger::NO_RULE, right::FILE_RIGHTS};
use rustc_hash::{FxHashMap, FxHasher};

use super::{
    classes::byte_classes,
    dfa::{Dfa, Label},
    nfa::{Guard, Nfa, State},
};
use crate::{effect::Effect, glob::ByteSet};

/// States before minimisation at which the compiler gives up.
pub(crate) const MAX_SUBSETS: usize = 1 << 16;

/// Positions in all subsets together at which the compiler gives up: what it takes its time for. A
/// thousand realistic patterns take a sixteenth.
const MAX_POSITIONS: usize = 1 << 22;

/// Subsets that are enough to tell which pattern multiplies.
const BLAME_SUBSETS: usize = 1 << 13;

/// How exactly refusals are attributed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attribution {
    /// A refusal names a denying rule where one makes the difference, and also where nothing is
    /// allowed anyway if one of its patterns that do not begin with `**` matches.
    Anchored,
    /// Where nothing below can be allowed, no rule is named: fewer states.
    WhereAllowed,
}

/// The automaton would be too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyStates;

type Subsets = FxHashMap<Box<[u32]>, u32>;

pub(crate) fn determinize(nfa: &Nfa, attribution: Attribution) -> Result<Dfa, TooManyStates> {
    let mut builder = Builder::new(nfa, attribution);
    let start = builder.run()?;
    Ok(Dfa {
        classes: builder.classes,
        columns: builder.columns,
        next: builder.next,
        label_of: builder.label_of,
        labels: builder.labels,
        start,
    })
}

/// The entry that makes the most states, of an automaton that is too large.
pub(crate) fn heaviest(nfa: &Nfa, attribution: Attribution) -> u32 {
    let mut builder = Builder::new(nfa, attribution);
    builder.most = BLAME_SUBSETS;
    // Whether it ends or gives up, its subsets tell.
    let _ = builder.run();
    builder.heaviest()
}

impl<'n> Builder<'n> {
    fn new(nfa: &'n Nfa, attribution: Attribution) -> Self {
        let mut singles = [false; 256];
        let mut sets: Vec<ByteSet> = Vec::new();
        for state in &nfa.states {
            match state.on {
                Guard::One(byte) => singles[usize::from(byte)] = true,
                Guard::Set(set) if !sets.contains(&set) => sets.push(set),
                _ => {}
            }
        }
        for byte in (0..=255).filter(|byte| singles[usize::from(*byte)]) {
            let mut set = ByteSet::EMPTY;
            set.insert(byte);
            sets.push(set);
        }
        let (classes, columns) = byte_classes(sets.iter());
        Builder {
            nfa,
            attribution,
            most: MAX_SUBSETS,
            classes,
            columns,
            subsets: Subsets::default(),
            queue: Vec::new(),
            positions: 0,
            next: Vec::new(),
            label_of: Vec::new(),
            labels: vec![Label::NONE],
            label_numbers: FxHashMap::from_iter([(Label::NONE, 0)]),
            scratch: vec![Seen::default(); nfa.rules.len()],
        }
    }
}

/// What a subset holds of one rule.
#[derive(Clone, Copy, Default)]
struct Seen {
    except: bool,
    /// Every path from here on matches one of the rule's patterns.
    absorbed: bool,
    /// Every path from here on is carved out.
    voided: bool,
    /// Some of its patterns still matter.
    kept: bool,
}

struct Builder<'n> {
    nfa: &'n Nfa,
    attribution: Attribution,
    /// Subsets at which it gives up.
    most: usize,
    classes: [u8; 256],
    columns: usize,
    subsets: Subsets,
    queue: Vec<Box<[u32]>>,
    /// In all subsets.
    positions: usize,
    next: Vec<u32>,
    label_of: Vec<u32>,
    labels: Vec<Label>,
    label_numbers: FxHashMap<Label, u32>,
    scratch: Vec<Seen>,
}

impl Builder<'_> {
    fn run(&mut self) -> Result<u32, TooManyStates> {
        self.intern(Vec::new());
        let start = self.intern(self.nfa.start.clone());
        let mut done = 0;
        let mut by_class: Vec<Vec<u32>> = vec![Vec::new(); self.columns];
        while done < self.queue.len() {
            if self.queue.len() > self.most || self.positions > MAX_POSITIONS {
                return Err(TooManyStates);
            }
            let subset = self.queue[done].clone();
            done += 1;
            self.expand(&subset, &mut by_class);
        }
        Ok(start)
    }

    /// Writes a subset's row.
    fn expand(&mut self, subset: &[u32], by_class: &mut [Vec<u32>]) {
        let slash = usize::from(self.classes[usize::from(b'/')]);
        by_class.iter_mut().for_each(Vec::clear);
        let mut everywhere: Vec<u32> = Vec::new();
        let mut absorbers: Vec<u32> = Vec::new();
        for id in subset {
            let state = &self.nfa.states[*id as usize];
            if state.absorbs {
                absorbers.push(*id);
            }
            match state.on {
                Guard::Never => {}
                Guard::Slash => by_class[slash].extend_from_slice(&state.to),
                Guard::Any => everywhere.extend_from_slice(&state.to),
                Guard::One(byte) => {
                    by_class[usize::from(self.classes[usize::from(byte)])]
                        .extend_from_slice(&state.to);
                }
                Guard::Set(set) => {
                    let mut last = None;
                    let mut seen = [false; 256];
                    for byte in set.iter().filter(|byte| *byte != 0) {
                        let class = self.classes[usize::from(byte)];
                        if last != Some(class) && !seen[usize::from(class)] {
                            seen[usize::from(class)] = true;
                            by_class[usize::from(class)].extend_from_slice(&state.to);
                        }
                        last = Some(class);
                    }
                }
            }
        }
        everywhere.extend_from_slice(&absorbers);
        let mut default = None;
        for (class, specific) in by_class.iter_mut().enumerate() {
            let target = if class == slash {
                specific.extend_from_slice(&absorbers);
                self.intern(std::mem::take(specific))
            } else if specific.is_empty() {
                // Most columns: worked out once.
                match default {
                    Some(target) => target,
                    None => *default.insert(self.intern(everywhere.clone())),
                }
            } else {
                specific.extend_from_slice(&everywhere);
                self.intern(std::mem::take(specific))
            };
            self.next.push(target);
        }
    }

    /// The number of a subset, which is new or not.
    fn intern(&mut self, mut subset: Vec<u32>) -> u32 {
        subset.sort_unstable();
        subset.dedup();
        self.prune(&mut subset);
        if let Some(number) = self.subsets.get(subset.as_slice()) {
            return *number;
        }
        let number = self.queue.len() as u32;
        debug_assert!(number != u32::from(SINK) || subset.is_empty());
        let label = self.label(&subset);
        let labels = &mut self.labels;
        let label_number = *self.label_numbers.entry(label).or_insert_with(|| {
            labels.push(label);
            labels.len() as u32 - 1
        });
        self.label_of.push(label_number);
        self.positions += subset.len();
        let subset: Box<[u32]> = subset.into();
        self.subsets.insert(subset.clone(), number);
        self.queue.push(subset);
        number
    }

    /// Drops positions that cannot change any decision from here on.
    fn prune(&mut self, subset: &mut Vec<u32>) {
        let Self { nfa, scratch, .. } = self;
        for id in subset.iter() {
            let state = &nfa.states[*id as usize];
            let seen = &mut scratch[usize::from(state.rule)];
            if state.except {
                seen.except = true;
                seen.voided |= state.absorbs;
            } else {
                seen.absorbed |= state.absorbs;
            }
        }
        // Per right, the first rule that denies or allows it on every path from here on.
        let mut denied = [NO_RULE; FILE_RIGHTS];
        let mut allowed = [NO_RULE; FILE_RIGHTS];
        for id in subset.iter() {
            let state = &nfa.states[*id as usize];
            let seen = scratch[usize::from(state.rule)];
            if !state.absorbs || state.except || seen.except {
                continue;
            }
            let rule = nfa.rules[usize::from(state.rule)];
            let first = if rule.effect == Effect::Deny {
                &mut denied
            } else {
                &mut allowed
            };
            for_each_right(rule.rights, |right| {
                first[right] = first[right].min(state.rule);
            });
        }
        // Rights that something may still allow, the rules that it takes included.
        let mut alive = FileRights::NONE;
        for id in subset.iter() {
            let state = &nfa.states[*id as usize];
            let rule = nfa.rules[usize::from(state.rule)];
            let seen = scratch[usize::from(state.rule)];
            if rule.effect == Effect::Allow && !state.except && !seen.voided {
                for_each_right(rule.rights, |right| {
                    if denied[right] == NO_RULE && allowed[right] >= state.rule {
                        alive = alive.union(FileRights(1 << right));
                    }
                });
            }
        }
        let mut matters = |state: &State| {
            let rule = nfa.rules[usize::from(state.rule)];
            let seen = &mut scratch[usize::from(state.rule)];
            let redundant = seen.absorbed && !state.absorbs;
            if seen.voided || redundant {
                return false;
            }
            let mut matters = false;
            for_each_right(rule.rights, |right| {
                matters |= match rule.effect {
                    // A floating denial is followed only where there is something to deny.
                    Effect::Deny => {
                        let to_deny = alive.0 & (1 << right) != 0;
                        denied[right] >= state.rule && (state.absorbs || !state.floating || to_deny)
                    }
                    Effect::Allow => denied[right] == NO_RULE && allowed[right] >= state.rule,
                };
            });
            seen.kept |= matters;
            matters
        };
        subset.retain(|id| {
            let state = &nfa.states[*id as usize];
            state.except || matters(state)
        });
        subset.retain(|id| {
            let state = &nfa.states[*id as usize];
            let seen = scratch[usize::from(state.rule)];
            !state.except || (seen.kept && !seen.voided)
        });
        for seen in scratch.iter_mut() {
            *seen = Seen::default();
        }
        if alive.is_empty() && self.attribution == Attribution::WhereAllowed {
            subset.clear();
        }
    }

    fn label(&mut self, subset: &[u32]) -> Label {
        let accepting = || {
            subset
                .iter()
                .map(|id| &self.nfa.states[*id as usize])
                .filter(|state| state.accepts)
        };
        let mut denied = [NO_RULE; FILE_RIGHTS];
        let mut allowed = [NO_RULE; FILE_RIGHTS];
        for state in accepting().filter(|state| !state.except) {
            if accepting().any(|other| other.except && other.rule == state.rule) {
                continue;
            }
            let rule = self.nfa.rules[usize::from(state.rule)];
            let first = if rule.effect == Effect::Deny {
                &mut denied
            } else {
                &mut allowed
            };
            for_each_right(rule.rights, |right| {
                first[right] = first[right].min(state.rule);
            });
        }
        let mut label = Label::NONE;
        for right in 0..FILE_RIGHTS {
            if denied[right] != NO_RULE {
                label.deciding[right] = denied[right];
            } else if allowed[right] != NO_RULE {
                label.deciding[right] = allowed[right];
                label.allowed = label.allowed.union(FileRights(1 << right));
            }
        }
        label
    }

    /// The entry with the most distinct sets of positions over all subsets: what multiplies.
    fn heaviest(&self) -> u32 {
        use std::hash::{Hash, Hasher};
        let mut distinct: FxHashMap<u32, rustc_hash::FxHashSet<u64>> = FxHashMap::default();
        for subset in &self.queue {
            let mut hashers: FxHashMap<u32, FxHasher> = FxHashMap::default();
            for id in subset {
                let entry = self.nfa.states[*id as usize].entry;
                id.hash(hashers.entry(entry).or_default());
            }
            for (entry, hasher) in hashers {
                distinct.entry(entry).or_default().insert(hasher.finish());
            }
        }
        distinct
            .iter()
            .max_by_key(|(_, sets)| sets.len())
            .map_or(0, |(entry, _)| *entry)
    }
}

fn for_each_right(rights: FileRights, mut act: impl FnMut(usize)) {
    for right in 0..FILE_RIGHTS {
        if rights.0 & (1 << right) != 0 {
            act(right);
        }
    }
}
