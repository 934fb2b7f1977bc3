//! Subset construction that never follows what cannot matter any more.
//!
//! In each subset, positions that can no longer change a decision are dropped ([`Pruner`]). Without
//! this, the subsets of a realistic grant run into hundreds of thousands.

use std::rc::Rc;

use agent_abi::{FileRights, image::SINK, ledger::NO_RULE, right::FILE_RIGHTS};
use rustc_hash::{FxHashMap, FxHasher};

use super::{
    classes::byte_classes,
    dfa::{Dfa, Label},
    nfa::{Guard, Nfa},
    prune::Pruner,
    rows::{Other, Rows},
};
use crate::{effect::Effect, glob::ByteSet};

/// States before minimisation at which the compiler gives up.
pub(crate) const MAX_SUBSETS: usize = 1 << 16;

/// Positions in all subsets together at which the compiler gives up: what it takes its time for. A
/// thousand realistic patterns take less than a hundredth.
const MAX_POSITIONS: usize = 1 << 22;

/// Positions, in all subsets together, of subsets that are remembered as they were before anything was left out.
const MAX_REMEMBERED: usize = 1 << 20;

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

type Subsets = FxHashMap<Rc<[u32]>, u32>;

pub(crate) fn determinize(nfa: &Nfa, attribution: Attribution) -> Result<Dfa, TooManyStates> {
    let mut builder = Builder::new(nfa, attribution);
    let start = builder.run()?;
    Ok(Dfa {
        classes: builder.classes,
        columns: builder.columns,
        rows: builder.rows,
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
            whole: Subsets::default(),
            remembered: 0,
            queue: Vec::new(),
            positions: 0,
            rows: Rows::default(),
            label_of: Vec::new(),
            labels: vec![Label::NONE],
            label_numbers: FxHashMap::from_iter([(Label::NONE, 0)]),
            pruner: Pruner::new(nfa),
            steps: nfa
                .states
                .iter()
                .map(|state| steps(state.on, &classes))
                .collect(),
            members: vec![0; nfa.states.len().div_ceil(64)],
        }
    }
}

/// The classes of bytes that lead on from a position.
enum Steps {
    /// Every byte but the slash.
    Any,
    These(Box<[u8]>),
}

fn steps(on: Guard, classes: &[u8; 256]) -> Steps {
    let class_of = |byte: u8| classes[usize::from(byte)];
    Steps::These(match on {
        Guard::Any => return Steps::Any,
        Guard::Never => Box::default(),
        Guard::Slash => [class_of(b'/')].into(),
        Guard::One(byte) => [class_of(byte)].into(),
        Guard::Set(set) => {
            let mut found = set
                .iter()
                .filter(|byte| *byte != 0)
                .map(class_of)
                .collect::<Vec<_>>();
            found.sort_unstable();
            found.dedup();
            found.into()
        }
    })
}

struct Builder<'n> {
    nfa: &'n Nfa,
    attribution: Attribution,
    /// Subsets at which it gives up.
    most: usize,
    classes: [u8; 256],
    columns: usize,
    subsets: Subsets,
    /// The same, as they were before what cannot matter was left out.
    whole: Subsets,
    /// Positions in those.
    remembered: usize,
    queue: Vec<Rc<[u32]>>,
    /// In all subsets.
    positions: usize,
    rows: Rows,
    label_of: Vec<u32>,
    labels: Vec<Label>,
    label_numbers: FxHashMap<Label, u32>,
    pruner: Pruner,
    /// Of each position.
    steps: Vec<Steps>,
    /// A bit for each position, all 0 between two uses.
    members: Vec<u64>,
}

/// Where the positions of one subset lead.
struct Heads {
    /// By the columns that single positions name.
    by_class: Vec<Vec<u32>>,
    /// Those columns.
    own: Vec<u8>,
    /// By every byte of a name; in order.
    everywhere: Vec<u32>,
    /// Positions that stay, whatever is read.
    absorbers: Vec<u32>,
    /// Room for what is interned.
    both: Vec<u32>,
    others: Vec<Other>,
}

impl Heads {
    fn new(columns: usize) -> Self {
        Self {
            by_class: vec![Vec::new(); columns],
            own: Vec::new(),
            everywhere: Vec::new(),
            absorbers: Vec::new(),
            both: Vec::new(),
            others: Vec::new(),
        }
    }

    fn clear(&mut self) {
        self.own.clear();
        self.everywhere.clear();
        self.absorbers.clear();
        self.others.clear();
    }

    fn add(&mut self, class: u8, to: &[u32]) {
        let heads = &mut self.by_class[usize::from(class)];
        if !self.own.contains(&class) {
            self.own.push(class);
            heads.clear();
        }
        heads.extend_from_slice(to);
    }
}

impl Builder<'_> {
    fn run(&mut self) -> Result<u32, TooManyStates> {
        self.intern(&mut Vec::new());
        // In order: see there.
        let start = self.intern(&mut self.nfa.start.clone());
        let mut done = 0;
        let mut heads = Heads::new(self.columns);
        while done < self.queue.len() {
            if self.queue.len() > self.most || self.positions > MAX_POSITIONS {
                return Err(TooManyStates);
            }
            let subset = Rc::clone(&self.queue[done]);
            done += 1;
            self.expand(&subset, &mut heads);
        }
        Ok(start)
    }

    /// Writes a subset's row.
    fn expand(&mut self, subset: &[u32], heads: &mut Heads) {
        heads.clear();
        for id in subset {
            let state = &self.nfa.states[*id as usize];
            if state.absorbs {
                heads.absorbers.push(*id);
            }
            match &self.steps[*id as usize] {
                Steps::Any => heads.everywhere.extend_from_slice(&state.to),
                Steps::These(classes) => {
                    for class in classes {
                        heads.add(*class, &state.to);
                    }
                }
            }
        }
        let slash = self.classes[usize::from(b'/')];
        let absorbers = std::mem::take(&mut heads.absorbers);
        heads.everywhere.extend_from_slice(&absorbers);
        self.order(&mut heads.everywhere);
        heads.add(slash, &absorbers);
        heads.absorbers = absorbers;
        heads.own.sort_unstable();
        let mut default = None;
        for index in 0..heads.own.len() {
            let class = heads.own[index];
            if default.is_none() && usize::from(class) != index {
                // Most columns: worked out once.
                default = Some(self.intern_everywhere(heads));
            }
            let specific = &mut heads.by_class[usize::from(class)];
            let head = if class == slash {
                self.order(specific);
                self.intern(specific)
            } else {
                specific.sort_unstable();
                merge(specific, &heads.everywhere, &mut heads.both);
                self.intern(&mut heads.both)
            };
            heads.others.push(Other::new(class, head));
        }
        if default.is_none() && heads.own.len() < self.columns {
            default = Some(self.intern_everywhere(heads));
        }
        match default {
            Some(most) => self.rows.push(most, heads.others.drain(..)),
            None => self.rows.push_whole(&heads.others),
        }
    }

    fn intern_everywhere(&mut self, heads: &mut Heads) -> u32 {
        heads.both.clone_from(&heads.everywhere);
        self.intern(&mut heads.both)
    }

    /// The number of a subset that is in order, which is new or not.
    fn intern(&mut self, subset: &mut Vec<u32>) -> u32 {
        if let Some(number) = self.whole.get(subset.as_slice()) {
            return *number;
        }
        if self.remembered > MAX_REMEMBERED {
            return self.intern_unknown(subset);
        }
        self.remembered += subset.len();
        let whole: Rc<[u32]> = subset.as_slice().into();
        let number = self.intern_unknown(subset);
        self.whole.insert(whole, number);
        number
    }

    /// The same of one that was not met before or is not remembered.
    fn intern_unknown(&mut self, subset: &mut Vec<u32>) -> u32 {
        let alive = self.pruner.prune(subset);
        if alive.is_empty() && self.attribution == Attribution::WhereAllowed {
            subset.clear();
        }
        if let Some(number) = self.subsets.get(subset.as_slice()) {
            return *number;
        }
        let number = self.queue.len() as u32;
        debug_assert!(number != u32::from(SINK) || subset.is_empty());
        let label = self.label(subset);
        let labels = &mut self.labels;
        let label_number = *self.label_numbers.entry(label).or_insert_with(|| {
            labels.push(label);
            labels.len() as u32 - 1
        });
        self.label_of.push(label_number);
        self.positions += subset.len();
        let subset: Rc<[u32]> = subset.as_slice().into();
        self.subsets.insert(Rc::clone(&subset), number);
        self.queue.push(subset);
        number
    }

    /// Sorts a subset, and leaves each position in it once.
    fn order(&mut self, subset: &mut Vec<u32>) {
        let (mut first, mut last) = (self.members.len(), 0);
        for id in subset.drain(..) {
            let word = id as usize / 64;
            self.members[word] |= 1 << (id % 64);
            first = first.min(word);
            last = last.max(word + 1);
        }
        for word in first..last {
            let mut bits = std::mem::take(&mut self.members[word]);
            while bits != 0 {
                subset.push(word as u32 * 64 + bits.trailing_zeros());
                bits &= bits - 1;
            }
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
            for id in subset.iter() {
                let entry = self.nfa.entry_of[*id as usize];
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

/// What is in one of two lists that are in order, each once: the first may have some twice.
fn merge(few: &[u32], many: &[u32], both: &mut Vec<u32>) {
    both.clear();
    let mut rest = many;
    for one in few {
        let before = rest.partition_point(|other| other < one);
        both.extend_from_slice(&rest[..before]);
        rest = &rest[before..];
        if both.last() != Some(one) && rest.first() != Some(one) {
            both.push(*one);
        }
    }
    both.extend_from_slice(rest);
}

fn for_each_right(rights: FileRights, mut act: impl FnMut(usize)) {
    for right in 0..FILE_RIGHTS {
        if rights.0 & (1 << right) != 0 {
            act(right);
        }
    }
}
