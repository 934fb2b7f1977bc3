//! Globs as one nondeterministic automaton.

use std::collections::HashMap;

use agent_abi::FileRights;

use crate::{
    effect::Effect,
    glob::{Atom, ByteSet, Component, Glob},
};

/// A glob and the rule that it stands in.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'g> {
    pub(crate) rule: u16,
    pub(crate) except: bool,
    pub(crate) glob: &'g Glob,
}

/// The bytes by which a state is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// No byte leads on.
    Never,
    Slash,
    /// Every byte but the slash.
    Any,
    One(u8),
    Set(ByteSet),
}

/// One position in a glob.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) rule: u16,
    pub(crate) except: bool,
    /// Of a pattern that begins with `**`, and so goes along everywhere.
    pub(crate) floating: bool,
    /// Index of the entry that it came from.
    pub(crate) entry: u32,
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
    pub(crate) start: Vec<u32>,
    pub(crate) rules: Vec<RuleRights>,
}

impl Nfa {
    /// `rules` by number; numbers without file patterns have no entry.
    pub(crate) fn new(rules: Vec<RuleRights>, entries: &[Entry<'_>]) -> Self {
        let mut nfa = Self {
            states: Vec::new(),
            start: Vec::new(),
            rules,
        };
        let mut absorbers = HashMap::new();
        for (index, entry) in entries.iter().enumerate() {
            nfa.add(index as u32, entry, &mut absorbers);
        }
        nfa.start.sort_unstable();
        nfa.start.dedup();
        nfa
    }

    fn push(&mut self, index: u32, entry: &Entry<'_>, on: Guard, to: Vec<u32>) -> u32 {
        self.states.push(State {
            rule: entry.rule,
            except: entry.except,
            floating: entry.glob.components.first() == Some(&Component::Any),
            entry: index,
            accepts: false,
            absorbs: false,
            on,
            to,
        });
        self.states.len() as u32 - 1
    }

    /// Builds a glob's positions from its end to its start. "Entering" a position means the
    /// states that are active there: itself, and what follows it without a byte.
    fn add(&mut self, index: u32, entry: &Entry<'_>, absorbers: &mut HashMap<(u16, bool), u32>) {
        let mut components = entry.glob.components.as_slice();
        // Active after the components from here on have been read.
        let mut after: Vec<u32>;
        if let Some((Component::Any, rest)) = components.split_last() {
            // A closing `**`: here, or anything once a slash was read. One absorbing state for
            // each rule, so that rules with many such patterns stay small.
            components = rest;
            let absorber = *absorbers
                .entry((entry.rule, entry.except))
                .or_insert_with(|| {
                    let state = self.push(index, entry, Guard::Never, Vec::new());
                    let found = &mut self.states[state as usize];
                    (found.accepts, found.absorbs) = (true, true);
                    state
                });
            let boundary = self.push(index, entry, Guard::Slash, vec![absorber]);
            self.states[boundary as usize].accepts = true;
            after = vec![boundary];
        } else {
            let end = self.push(index, entry, Guard::Never, Vec::new());
            self.states[end as usize].accepts = true;
            after = vec![end];
        }
        for component in components.iter().rev() {
            after = match component {
                Component::Name(atoms) => {
                    let inside = self.name(index, entry, atoms, after);
                    vec![self.push(index, entry, Guard::Slash, inside)]
                }
                Component::Any => self.any_components(index, entry, &after),
            };
        }
        self.start.extend(after);
    }

    /// The states active at a component's first byte.
    fn name(
        &mut self,
        index: u32,
        entry: &Entry<'_>,
        atoms: &[Atom],
        mut after: Vec<u32>,
    ) -> Vec<u32> {
        for atom in atoms.iter().rev() {
            let on = match atom {
                Atom::Byte(byte) => Guard::One(*byte),
                Atom::One => Guard::Any,
                Atom::Set(set) => Guard::Set(*set),
                Atom::Star => {
                    let state = self.push(index, entry, Guard::Any, Vec::new());
                    after.push(state);
                    self.states[state as usize].to = after.clone();
                    continue;
                }
            };
            after = vec![self.push(index, entry, on, after)];
        }
        after
    }

    /// `**` before more components: skip nothing, or whole components.
    fn any_components(&mut self, index: u32, entry: &Entry<'_>, after: &[u32]) -> Vec<u32> {
        let slash = self.push(index, entry, Guard::Slash, Vec::new());
        let inside = self.push(index, entry, Guard::Any, Vec::new());
        // In a skipped component: more of it, or its end, where what follows may begin.
        let mut active = vec![inside, slash];
        active.extend_from_slice(after);
        self.states[inside as usize].to.clone_from(&active);
        self.states[slash as usize].to = active;
        let mut before = vec![slash];
        before.extend_from_slice(after);
        before
    }
}
