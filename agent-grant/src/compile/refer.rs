//! The refer rule: may an object with this name get that one?
//!
//! A move must not give any right, neither to the object nor to anything below it. Nor may it
//! evade a refusal to make: where the new path lacks write, create or attr, an object whose old
//! path has it could have been made there and moved in (a hook prepared in `x/hooks`, then
//! `mv x .git`). Making it in place is refused, so moving it there is.
//!
//! States are first merged by what they allow here and on every path from here (the quotient); of
//! those, objects are told apart only by their own rights and by what follows a slash (the class).

use agent_abi::FileRights;
use agent_decide::{New, Old};
use rustc_hash::FxHashMap;

use crate::automaton::{Dfa, partition};

/// Quotients larger than this get no relation: it grows with the square.
const MAX_QUOTIENT: usize = 4096;

/// The rights by which an object becomes what it is that it would lose, if it got a path with rights
/// `new` for one with rights `old`.
#[must_use]
pub fn making_rights_lost(old: Old<FileRights>, new: New<FileRights>) -> FileRights {
    FileRights(old.0.0 & FileRights::MAKING.0).without(new.0)
}

/// Whether what is in a directory and has a path with rights `old` may get one with rights `new`.
#[must_use]
pub fn rights_permit_move(old: Old<FileRights>, new: New<FileRights>) -> bool {
    old.0.contains(new.0) && making_rights_lost(old, new).is_empty()
}

/// The relation between classes of states.
#[derive(Clone, Debug)]
pub struct Refer {
    /// State to class. The sink's is 0. Equal classes: no move between them gives a right.
    pub class_of: Vec<u16>,
    pub classes: usize,
    /// `allowed[new * classes + old]`; `None` where the automaton is too large for it.
    pub allowed: Option<Vec<bool>>,
}

impl Refer {
    pub(crate) fn of(dfa: &Dfa) -> Self {
        let quotient = Quotient::of(dfa);
        let mut numbers: FxHashMap<(FileRights, u32), u16> = FxHashMap::default();
        let mut members = Vec::new();
        let mut class = |state: usize| {
            let key = (quotient.rights[state], quotient.slash[state]);
            *numbers.entry(key).or_insert_with(|| {
                members.push(key);
                (members.len() - 1) as u16
            })
        };
        // The sink is state 0, so its class is the first.
        let of_quotient: Vec<u16> = (0..quotient.states()).map(&mut class).collect();
        let class_of = quotient
            .block_of
            .iter()
            .map(|b| of_quotient[*b as usize])
            .collect();
        let classes = members.len();
        let allowed = (quotient.states() <= MAX_QUOTIENT).then(|| {
            let bars = quotient.bars();
            let n = quotient.states();
            let pairs = members
                .iter()
                .flat_map(|new| members.iter().map(move |old| (new, old)));
            pairs
                .map(|(new, old)| {
                    rights_permit_move(Old(old.0), New(new.0))
                        && !bars.get(new.1 as usize * n + old.1 as usize)
                })
                .collect()
        });
        Self {
            class_of,
            classes,
            allowed,
        }
    }
}

/// As many bits, all unset at first. Of pairs of states there are millions, most of which nothing looks at.
struct Bits(Vec<u64>);

impl Bits {
    fn new(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)])
    }

    fn get(&self, index: usize) -> bool {
        self.0[index / 64] & 1 << (index % 64) != 0
    }

    fn set(&mut self, index: usize) {
        self.0[index / 64] |= 1 << (index % 64);
    }
}

/// States merged by rights alone.
struct Quotient {
    /// State of the automaton to state here, numbered so that later ones are deeper.
    block_of: Vec<u32>,
    rights: Vec<FileRights>,
    /// Where a slash leads.
    slash: Vec<u32>,
    /// Where most other bytes lead, and the columns that lead elsewhere, ascending.
    default: Vec<u32>,
    others: Vec<Vec<(u8, u32)>>,
    /// Columns without the slash's.
    columns: usize,
}

impl Quotient {
    fn states(&self) -> usize {
        self.rights.len()
    }

    fn of(dfa: &Dfa) -> Self {
        let key: Vec<u32> = (0..dfa.states())
            .map(|s| u32::from(dfa.label(s as u32).allowed.0))
            .collect();
        let (mut block_of, count) = partition(dfa, &key);
        // States of a minimal automaton are numbered breadth first; so are blocks from here on.
        let mut number = vec![u32::MAX; count];
        let mut members = Vec::with_capacity(count);
        for (state, block) in block_of.iter_mut().enumerate() {
            let slot = &mut number[*block as usize];
            if *slot == u32::MAX {
                *slot = members.len() as u32;
                members.push(state as u32);
            }
            *block = *slot;
        }
        let slash = dfa.classes[usize::from(b'/')];
        let mut quotient = Self {
            block_of,
            rights: Vec::new(),
            slash: Vec::new(),
            default: Vec::new(),
            others: Vec::new(),
            columns: dfa.columns - 1,
        };
        for state in members {
            let Some(row) = dfa.rows.get(state) else {
                continue;
            };
            let block = |head: u32| quotient.block_of[head as usize];
            let default = block(row.most);
            let others = row
                .others
                .iter()
                .filter(|other| other.column() != slash)
                .map(|other| (other.column(), block(other.head())))
                .filter(|(_, head)| *head != default)
                .collect();
            quotient.slash.push(block(row.at(slash)));
            quotient.rights.push(dfa.label(state).allowed);
            quotient.default.push(default);
            quotient.others.push(others);
        }
        quotient
    }

    /// Bit `new * states + old`, for states that a slash leads to: some name read from both, or
    /// what follows it, has rights that forbid the move. The least fixpoint, so the relation
    /// "nothing forbids it" is the greatest.
    fn bars(&self) -> Bits {
        let n = self.states();
        let mut bars = Bits::new(n * n);
        let mut seen = Bits::new(n * n);
        let mut slashes = self.slash.clone();
        slashes.sort_unstable();
        slashes.dedup();
        let mut pairs: Vec<(u32, u32)> = Vec::new();
        // Fits into 32 bits: there are at most `MAX_QUOTIENT` states.
        let index = |new: u32, old: u32| new as usize * n + old as usize;
        let mut reach = |new: u32, old: u32, pairs: &mut Vec<(u32, u32)>| {
            let index = index(new, old);
            if new != old && !seen.get(index) {
                seen.set(index);
                pairs.push((new, old));
            }
        };
        for new in &slashes {
            slashes.iter().for_each(|old| reach(*new, *old, &mut pairs));
        }
        // Pairs that rights forbid at once need not be followed; few remain.
        let mut at = 0;
        let mut open = Vec::new();
        // Which pairs bar each of those.
        let mut ends: Vec<u32> = Vec::new();
        let mut found = Vec::new();
        while let Some((new, old)) = pairs.get(at).copied() {
            at += 1;
            found.clear();
            let forbidden = self.successors(new as usize, old as usize, |a, b| {
                found.push((a, b));
                let (after, before) = (self.rights[a as usize], self.rights[b as usize]);
                a != b && !rights_permit_move(Old(before), New(after))
            });
            if forbidden {
                bars.set(index(new, old));
                continue;
            }
            let first = ends.len();
            for (a, b) in found.iter().copied().filter(|(a, b)| a != b) {
                reach(a, b, &mut pairs);
                ends.push(index(a, b) as u32);
                let (a, b) = (self.slash[a as usize], self.slash[b as usize]);
                if a != b {
                    ends.push(index(a, b) as u32);
                }
            }
            open.push((index(new, old), first..ends.len()));
        }
        loop {
            let before = open.len();
            // Deep pairs first: most chains are settled in one sweep.
            for (pair, own) in open.iter().rev() {
                if ends[own.clone()].iter().any(|end| bars.get(*end as usize)) {
                    bars.set(*pair);
                }
            }
            open.retain(|(pair, _)| !bars.get(*pair));
            if open.len() == before {
                return bars;
            }
        }
    }

    /// Whether `test` holds for a pair of states that one byte of a name leads to.
    fn successors(&self, new: usize, old: usize, mut test: impl FnMut(u32, u32) -> bool) -> bool {
        let (mut left, mut right) = (
            self.others[new].iter().peekable(),
            self.others[old].iter().peekable(),
        );
        let mut special = 0;
        loop {
            let (a, b) = match (left.peek(), right.peek()) {
                (None, None) => break,
                (Some((c, a)), Some((d, b))) if c == d => {
                    left.next();
                    right.next();
                    (*a, *b)
                }
                (Some((c, a)), other) if other.is_none_or(|(d, _)| c < d) => {
                    left.next();
                    (*a, self.default[old])
                }
                (_, Some((_, b))) => {
                    right.next();
                    (self.default[new], *b)
                }
                (Some((_, a)), None) => {
                    left.next();
                    (*a, self.default[old])
                }
            };
            special += 1;
            if test(a, b) {
                return true;
            }
        }
        special < self.columns && test(self.default[new], self.default[old])
    }
}
