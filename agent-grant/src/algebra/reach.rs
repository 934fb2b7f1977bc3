//! Rules that never decide anything, and why a move is refused.

use agent_abi::{FileRights, right::FILE_RIGHTS};
use agent_decide::{New, Old};

use super::{
    net,
    walk::{Phase, Walk},
};
use crate::{
    compile::{Compiled, RuleInfo, rights_permit_move},
    model::{Effect, Object},
};

/// Rules of the grant that decide nothing: others before them match wherever they do, or they
/// carve everything out of themselves, or there is nothing for them to deny.
#[must_use]
pub fn unreachable_rules(grant: &Compiled) -> Vec<&RuleInfo> {
    let mut decides = vec![false; grant.source.len()];
    let mut mark = |rule: u16| {
        if let Some(slot) = decides.get_mut(usize::from(rule)) {
            *slot = true;
        }
    };
    Walk::run(
        [&grant.dfa],
        &[([grant.dfa.start], Phase::Root)],
        |_, _, [state], phase| {
            if phase.is_path() {
                let label = grant.dfa.label(state);
                (0..FILE_RIGHTS).for_each(|right| mark(label.deciding[right]));
            }
            true
        },
    );
    net::deciding(&grant.net).into_iter().for_each(&mut mark);
    grant
        .source
        .iter()
        .zip(&grant.info)
        .zip(decides)
        .filter(|((rule, _), decides)| {
            // Without full attribution a denial may decide and not be named.
            let unknown = rule.effect == Effect::Deny && !grant.attributes_all;
            let unix = matches!(rule.object, Object::Unix { .. });
            !decides && rule.location.is_some() && !unknown && !unix
        })
        .map(|((_, info), _)| info)
        .collect()
}

/// Why an object must not be moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveWitness {
    /// The nearest path below the object (empty: the object itself) whose rights forbid it.
    pub below: Vec<u8>,
    /// Rights there under the new name.
    pub new: FileRights,
    /// Rights there under the old name.
    pub old: FileRights,
}

/// What forbids to give the object at path `old` the path `new`; `None` where nothing does.
#[must_use]
pub fn move_witness(grant: &Compiled, old: Old<&[u8]>, new: New<&[u8]>) -> Option<MoveWitness> {
    let dfa = &grant.dfa;
    let start = [dfa.run(dfa.start, new.0), dfa.run(dfa.start, old.0)];
    let mut witness = None;
    Walk::run(
        [dfa, dfa],
        &[(start, Phase::Root)],
        |walk, node, [new, old], phase| {
            let (new, old) = (dfa.label(new).allowed, dfa.label(old).allowed);
            if phase.is_path() && !rights_permit_move(Old(old), New(new)) {
                witness = Some(MoveWitness {
                    below: walk.path(node).1,
                    new,
                    old,
                });
            }
            witness.is_none()
        },
    );
    witness
}
