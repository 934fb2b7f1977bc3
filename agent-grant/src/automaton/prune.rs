//! What of a subset can still change a decision.

use agent_abi::FileRights;

use super::nfa::{Nfa, State};
use crate::effect::Effect;

/// What a position is to its rule.
#[derive(Clone, Copy)]
enum Kind {
    /// Every path from here on matches.
    Absorbs,
    Anchored,
    Floating,
    Except,
    /// Every path from here on is carved out.
    Voids,
}

impl Kind {
    const fn bit(self) -> u8 {
        1 << self as u8
    }

    fn of(state: &State) -> Self {
        match (state.except, state.absorbs, state.floating) {
            (true, true, _) => Self::Voids,
            (true, false, _) => Self::Except,
            (false, true, _) => Self::Absorbs,
            (false, false, true) => Self::Floating,
            (false, false, false) => Self::Anchored,
        }
    }
}

/// A rule's rights, and what it does with them.
struct Rule {
    denies: bool,
    rights: u16,
}

/// What a subset holds of one rule, as bits of [`Kind`].
#[derive(Clone, Copy, Default)]
struct Seen {
    has: u8,
    keeps: u8,
}

impl Seen {
    fn any(self, kind: Kind) -> bool {
        self.has & kind.bit() != 0
    }
}

/// Drops from subsets the positions that cannot change any decision from here on: an absorbing denial
/// (`/x/**` once inside) makes every allowance of its rights pointless, an absorbing allowance every
/// later allowance of them, and a floating denial is followed only where there is something to deny.
pub(super) struct Pruner {
    rules: Vec<Rule>,
    /// Rule and kind of each position.
    positions: Vec<(u16, u8)>,
    /// Of each rule; all empty between two uses.
    seen: Vec<Seen>,
    /// The rules of which something is seen, ascending.
    touched: Vec<u16>,
}

impl Pruner {
    pub(super) fn new(nfa: &Nfa) -> Self {
        let rule = |rule: &super::nfa::RuleRights| Rule {
            denies: rule.effect == Effect::Deny,
            rights: rule.rights.0,
        };
        let position = |state: &State| (state.rule, Kind::of(state).bit());
        Self {
            rules: nfa.rules.iter().map(rule).collect(),
            positions: nfa.states.iter().map(position).collect(),
            seen: vec![Seen::default(); nfa.rules.len()],
            touched: Vec::new(),
        }
    }

    /// Leaves what matters; the rights that something may still allow, the rules that it takes included.
    pub(super) fn prune(&mut self, subset: &mut Vec<u32>) -> FileRights {
        for id in subset.iter() {
            let (rule, kind) = self.positions[*id as usize];
            let seen = &mut self.seen[usize::from(rule)];
            if seen.has == 0 {
                self.touched.push(rule);
            }
            seen.has |= kind;
        }
        self.touched.sort_unstable();
        let alive = self.decide();
        subset.retain(|id| {
            let (rule, kind) = self.positions[*id as usize];
            self.seen[usize::from(rule)].keeps & kind != 0
        });
        for rule in self.touched.drain(..) {
            self.seen[usize::from(rule)] = Seen::default();
        }
        FileRights(alive)
    }

    /// Which kinds of positions each rule keeps.
    ///
    /// Denials decide before allowances, and of each the rule with the lowest number.
    fn decide(&mut self) -> u16 {
        let always = |seen: &Seen| {
            seen.any(Kind::Absorbs) && !seen.any(Kind::Except) && !seen.any(Kind::Voids)
        };
        // Rights that a rule denies on every path from here on.
        let mut denied = 0;
        for number in &self.touched {
            let number = usize::from(*number);
            let rule = &self.rules[number];
            if rule.denies && always(&self.seen[number]) {
                denied |= rule.rights;
            }
        }
        let (mut alive, mut allowed) = (0, 0);
        for number in &self.touched {
            let number = usize::from(*number);
            let (rule, seen) = (&self.rules[number], &mut self.seen[number]);
            if rule.denies {
                continue;
            }
            let undecided = rule.rights & !denied & !allowed;
            seen.keep(undecided != 0, undecided != 0);
            if seen.any_match() && !seen.any(Kind::Voids) {
                alive |= undecided;
            }
            if always(seen) {
                allowed |= rule.rights;
            }
        }
        let mut denied = 0;
        for number in &self.touched {
            let number = usize::from(*number);
            let (rule, seen) = (&self.rules[number], &mut self.seen[number]);
            if !rule.denies {
                continue;
            }
            let undecided = rule.rights & !denied;
            seen.keep(undecided != 0, undecided & alive != 0);
            if always(seen) {
                denied |= rule.rights;
            }
        }
        alive
    }
}

impl Seen {
    /// Whether it has a position from which a path may match.
    fn any_match(self) -> bool {
        let matching = Kind::Absorbs.bit() | Kind::Anchored.bit() | Kind::Floating.bit();
        self.has & matching != 0
    }

    /// Decides what stays: positions that match, those of patterns that go along everywhere, and what is
    /// carved out of them.
    fn keep(&mut self, anchored: bool, floating: bool) {
        let mut kept = 0;
        if !self.any(Kind::Voids) {
            if anchored {
                kept |= Kind::Absorbs.bit();
            }
            // Beside an absorbing position the others of its rule say nothing.
            if !self.any(Kind::Absorbs) {
                if anchored {
                    kept |= Kind::Anchored.bit();
                }
                if floating {
                    kept |= Kind::Floating.bit();
                }
            }
            if self.has & kept != 0 {
                kept |= Kind::Except.bit();
            }
        }
        self.keeps = kept;
    }
}
