//! Globs as one nondeterministic automaton.

use std::hash::Hash;

use agent_abi::FileRights;
use rustc_hash::FxHashMap;

use crate::{
    effect::Effect,
    glob::{ByteSet, Glob, Piece},
};

/// A glob and the rule that it stands in.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'g> {
    pub(crate) rule: u16,
    pub(crate) except: bool,
    pub(crate) glob: &'g Glob,
}

/// The bytes by which a state is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Guard {
    /// No byte leads on.
    Never,
    Slash,
    /// Every byte but the slash.
    Any,
    One(u8),
    Set(ByteSet),
}

/// One position in a glob. Positions that are the same from here on are one, whatever patterns of the
/// rule they stand in: subsets that differ in nothing else would be as many states.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) rule: u16,
    pub(crate) except: bool,
    /// Of a pattern that begins with `**`, and so goes along everywhere.
    pub(crate) floating: bool,
    /// Whether a path that ends here matches.
    pub(crate) accepts: bool,
    /// Whether every path from here on matches.
    pub(crate) absorbs: bool,
    pub(crate) on: Guard,
    /// Where `on` leads, everything that follows without a byte included.
    pub(crate) to: Vec<u32>,
}

/// Rights and effect of a rule, by number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RuleRights {
    pub(crate) effect: Effect,
    pub(crate) rights: FileRights,
}

/// The automaton: every entry's positions, side by side.
pub(crate) struct Nfa {
    pub(crate) states: Vec<State>,
    /// Of each state, the first entry that it came from.
    pub(crate) entry_of: Vec<u32>,
    pub(crate) start: Vec<u32>,
    pub(crate) rules: Vec<RuleRights>,
}

/// Whose patterns have positions in common.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Owner {
    rule: u16,
    except: bool,
    floating: bool,
}

/// What leads to itself, by what follows it.
#[derive(PartialEq, Eq, Hash)]
enum Loop {
    Star(Owner, Vec<u32>),
    Gap(Owner, Vec<u32>),
}

struct Builder {
    nfa: Nfa,
    states: FxHashMap<State, u32>,
    loops: FxHashMap<Loop, Vec<u32>>,
    /// The entry whose positions are made.
    entry: u32,
}

/// What a glob is made of, in a row.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Item {
    Slash,
    Byte(u8),
    /// `?`
    One,
    Set(ByteSet),
    /// `*`
    Star,
    /// `**` with more after it
    Gap,
    /// A closing `**`
    Rest,
    End,
}

/// A glob's items, or the last of them.
#[derive(Clone, Copy)]
struct Line<'i> {
    items: &'i [Item],
    entry: u32,
}

/// Branches one after another up to which patterns share what they begin with; each is a call in a call.
const MAX_BRANCHES: u32 = 64;

impl Nfa {
    /// `rules` by number; numbers without file patterns have no entry.
    pub(crate) fn new(rules: Vec<RuleRights>, entries: &[Entry<'_>]) -> Self {
        let mut builder = Builder {
            nfa: Self {
                states: Vec::new(),
                entry_of: Vec::new(),
                start: Vec::new(),
                rules,
            },
            states: FxHashMap::default(),
            loops: FxHashMap::default(),
            entry: 0,
        };
        let globs = entries
            .iter()
            .map(|entry| items(entry.glob))
            .collect::<Vec<_>>();
        let lines = entries
            .iter()
            .zip(&globs)
            .zip(0..)
            .map(|((entry, items), number)| {
                let owner = Owner {
                    rule: entry.rule,
                    except: entry.except,
                    floating: entry.glob.floats(),
                };
                (
                    owner,
                    Line {
                        items,
                        entry: number,
                    },
                )
            });
        for (owner, lines) in grouped(lines) {
            let first = builder.active(owner, &lines, 0);
            builder.nfa.start.extend(first);
        }
        let mut nfa = builder.nfa;
        nfa.start = sorted(nfa.start);
        nfa
    }
}

/// Values by key, in the order in which the keys come.
fn grouped<K: Copy + Eq + Hash, V>(pairs: impl Iterator<Item = (K, V)>) -> Vec<(K, Vec<V>)> {
    let mut places = FxHashMap::default();
    let mut groups: Vec<(K, Vec<V>)> = Vec::new();
    for (key, value) in pairs {
        let place = *places.entry(key).or_insert_with(|| {
            groups.push((key, Vec::new()));
            groups.len() - 1
        });
        groups[place].1.push(value);
    }
    groups
}

fn items(glob: &Glob) -> Vec<Item> {
    let items = glob.pieces().map(|piece| match piece {
        Piece::Slash => Item::Slash,
        Piece::Byte(byte) => Item::Byte(byte),
        Piece::One => Item::One,
        Piece::Set(set) => Item::Set(set),
        Piece::Star => Item::Star,
        Piece::Any => Item::Gap,
    });
    let mut items = items.collect::<Vec<_>>();
    match items.last_mut() {
        Some(last) if *last == Item::Gap => *last = Item::Rest,
        _ => items.push(Item::End),
    }
    items
}

fn sorted(mut states: Vec<u32>) -> Vec<u32> {
    states.sort_unstable();
    states.dedup();
    states
}

impl Builder {
    /// The states that are active before these lines. What lines begin with is one for all of them.
    fn active(&mut self, owner: Owner, lines: &[Line<'_>], branches: u32) -> Vec<u32> {
        let mut active = Vec::new();
        if branches == MAX_BRANCHES {
            for line in lines {
                self.entry = line.entry;
                active.extend(self.before(owner, line.items, Vec::new()));
            }
            return sorted(active);
        }
        // A line that is at its end has said all.
        let firsts = lines
            .iter()
            .filter_map(|line| Some((*line.items.first()?, *line)));
        for (_, lines) in grouped(firsts) {
            let common = common_start(&lines);
            let after = match lines[..] {
                [_] => Vec::new(),
                _ => {
                    let rests = lines.iter().map(|line| Line {
                        items: &line.items[common.len()..],
                        ..*line
                    });
                    self.active(owner, &rests.collect::<Vec<_>>(), branches + 1)
                }
            };
            self.entry = lines[0].entry;
            active.extend(self.before(owner, common, after));
        }
        sorted(active)
    }

    /// The states that are active before these items, from those after them. "Entering" a position means
    /// the states that are active there: itself, and what follows it without a byte.
    fn before(&mut self, owner: Owner, items: &[Item], mut after: Vec<u32>) -> Vec<u32> {
        for item in items.iter().rev() {
            let on = match item {
                Item::Slash => Guard::Slash,
                Item::Byte(byte) => Guard::One(*byte),
                Item::One => Guard::Any,
                Item::Set(set) => Guard::Set(*set),
                Item::Star => {
                    after = self.star(owner, after);
                    continue;
                }
                Item::Gap => {
                    after = self.gap(owner, after);
                    continue;
                }
                Item::Rest => {
                    after = self.rest(owner);
                    continue;
                }
                Item::End => {
                    let end = Self::position(owner, Guard::Never, Vec::new());
                    after = vec![self.push(State {
                        accepts: true,
                        ..end
                    })];
                    continue;
                }
            };
            after = vec![self.push(Self::position(owner, on, after))];
        }
        after
    }

    /// A closing `**`: here, or anything once a slash was read.
    fn rest(&mut self, owner: Owner) -> Vec<u32> {
        let absorber = self.push(State {
            accepts: true,
            absorbs: true,
            floating: false,
            ..Self::position(owner, Guard::Never, Vec::new())
        });
        let boundary = Self::position(owner, Guard::Slash, vec![absorber]);
        vec![self.push(State {
            accepts: true,
            ..boundary
        })]
    }

    /// A position that does not match.
    fn position(owner: Owner, on: Guard, to: Vec<u32>) -> State {
        State {
            rule: owner.rule,
            except: owner.except,
            floating: owner.floating,
            accepts: false,
            absorbs: false,
            on,
            to: sorted(to),
        }
    }

    fn push(&mut self, state: State) -> u32 {
        if let Some(known) = self.states.get(&state) {
            return *known;
        }
        let number = self.reserve(state.clone());
        self.states.insert(state, number);
        number
    }

    fn reserve(&mut self, state: State) -> u32 {
        self.nfa.states.push(state);
        self.nfa.entry_of.push(self.entry);
        self.nfa.states.len() as u32 - 1
    }

    /// `*` before what follows: skip nothing, or bytes.
    fn star(&mut self, owner: Owner, after: Vec<u32>) -> Vec<u32> {
        let key = Loop::Star(owner, sorted(after));
        if let Some(known) = self.loops.get(&key) {
            return known.clone();
        }
        let state = self.reserve(Self::position(owner, Guard::Any, Vec::new()));
        let mut active = key.after().to_vec();
        active.push(state);
        self.nfa.states[state as usize].to.clone_from(&active);
        self.loops.insert(key, active.clone());
        active
    }

    /// `**` before more components: skip nothing, or whole components.
    fn gap(&mut self, owner: Owner, after: Vec<u32>) -> Vec<u32> {
        let key = Loop::Gap(owner, sorted(after));
        if let Some(known) = self.loops.get(&key) {
            return known.clone();
        }
        let slash = self.reserve(Self::position(owner, Guard::Slash, Vec::new()));
        let inside = self.reserve(Self::position(owner, Guard::Any, Vec::new()));
        // In a skipped component: more of it, or its end, where what follows may begin.
        let mut before = key.after().to_vec();
        before.push(slash);
        let mut active = before.clone();
        active.push(inside);
        self.nfa.states[inside as usize].to.clone_from(&active);
        self.nfa.states[slash as usize].to = active;
        self.loops.insert(key, before.clone());
        before
    }
}

/// The items that all lines begin with.
fn common_start<'i>(lines: &[Line<'i>]) -> &'i [Item] {
    let first = lines[0].items;
    let shared = |other: &[Item]| first.iter().zip(other).take_while(|(a, b)| a == b).count();
    let length = lines.iter().map(|line| shared(line.items)).min();
    &first[..length.unwrap_or_default()]
}

impl Loop {
    fn after(&self) -> &[u32] {
        let (Self::Star(_, after) | Self::Gap(_, after)) = self;
        after
    }
}
