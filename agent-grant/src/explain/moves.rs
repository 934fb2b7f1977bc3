//! Why a move is allowed or refused.

use agent_abi::{FileRights, Right};
use agent_decide::{New, Old, refer::gained_by_file};

use super::denying_rule;
use crate::{
    algebra::{MoveWitness, move_witness},
    compile::{Compiled, RuleInfo, making_rights_lost},
    moves::{Move, Passage},
};

/// The whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveExplanation {
    pub wanted: Move,
    pub allowed: bool,
    /// The rights that the two names need, in the order in which the kernel asks.
    pub needs: Vec<Need>,
    /// What changes its path: one object, both of an exchange.
    pub transfers: Vec<Transfer>,
}

/// A right that one of the names needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    pub path: Vec<u8>,
    pub right: Right,
    pub allowed: bool,
    /// The rule that decides, if one does.
    pub rule: Option<RuleInfo>,
}

/// An object that changes its path, and what forbids it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    pub is_directory: bool,
    pub old: Vec<u8>,
    pub new: Vec<u8>,
    pub bar: Option<Bar>,
}

/// What forbids to give an object another path, whatever the rights at both names are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bar {
    /// A path would have other rights than before.
    Rights {
        /// A shortest path below the object; empty for the object itself.
        below: Vec<u8>,
        gained: FileRights,
        /// Rights to make what is there (only of a directory).
        lost: FileRights,
        /// The rule that refuses the first of those: under the old path what would be gained, under
        /// the new one what would be lost. `None` where no rule allows it.
        rule: Option<RuleInfo>,
    },
    /// What the kernel knows of directories is coarser than the rules, and no path shows it: the
    /// automaton is too large for an exact relation, or patterns tell names apart that cannot occur.
    Coarse,
}

/// Explains the decision about a move.
#[must_use]
pub fn explain_move(grant: &Compiled, wanted: &Move) -> MoveExplanation {
    let needs = wanted.needs().into_iter().flat_map(|(path, needed)| {
        needed.iter().map(move |right| {
            let (allowed, rule) = decided(grant, path, right);
            Need {
                path: path.to_vec(),
                right,
                allowed,
                rule,
            }
        })
    });
    let transfers = wanted.passages().map(|passage| Transfer {
        is_directory: passage.is_directory,
        old: passage.old.0.to_vec(),
        new: passage.new.0.to_vec(),
        bar: bar(grant, passage),
    });
    MoveExplanation {
        wanted: wanted.clone(),
        allowed: wanted.is_permitted(grant),
        needs: needs.collect(),
        transfers: transfers.collect(),
    }
}

fn bar(grant: &Compiled, passage: Passage<'_>) -> Option<Bar> {
    if passage.is_permitted(grant) {
        return None;
    }
    let Passage {
        is_directory,
        old,
        new,
    } = passage;
    let witness = if is_directory {
        let Some(witness) = move_witness(grant, old, new) else {
            return Some(Bar::Coarse);
        };
        witness
    } else {
        MoveWitness {
            below: Vec::new(),
            new: grant.rights(new.0),
            old: grant.rights(old.0),
        }
    };
    let gained = if is_directory {
        witness.new.without(witness.old)
    } else {
        gained_by_file(Old(witness.old), New(witness.new))
    };
    let lost = if is_directory {
        making_rights_lost(Old(witness.old), New(witness.new))
    } else {
        FileRights::NONE
    };
    let refused = match gained.first() {
        Some(right) => Some((old.0, right)),
        None => lost.first().map(|right| (new.0, right)),
    };
    let rule = refused
        .and_then(|(above, right)| decided(grant, &[above, &witness.below].concat(), right).1);
    Some(Bar::Rights {
        below: witness.below,
        gained,
        lost,
        rule,
    })
}

/// Whether a right is allowed, and the rule that decides; where nothing is allowed anyway, a rule
/// that denies it all the same.
fn decided(grant: &Compiled, path: &[u8], right: Right) -> (bool, Option<RuleInfo>) {
    let (allowed, number) = grant.decide(path, right);
    let rule = match grant.rule(number) {
        None if !allowed => denying_rule(grant, path, right),
        decided => decided,
    };
    (allowed, rule.cloned())
}
