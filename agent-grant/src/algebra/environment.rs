//! Comparing what two grants hand over of the environment.

use std::collections::BTreeSet;

use super::{
    Witness,
    differ::{Answer, Difference, Side},
    unix,
};
use crate::environment::{Environment, Fate, TMPDIR};

/// For each name that one sets, and a shortest one for each pattern by which they differ.
pub(super) fn differences(first: &Environment, second: &Environment) -> Vec<Difference> {
    let own: BTreeSet<_> = first.own_names().chain(second.own_names()).collect();
    let mut found = Vec::new();
    for name in &own {
        let fates = [first, second].map(|side| side.fate(name.as_bytes()));
        for (side, [a, b]) in [(Side::First, fates), (Side::Second, [fates[1], fates[0]])] {
            if !within(a, b) {
                found.push(difference(side, name.as_bytes().to_vec(), fates));
            }
        }
    }
    let private = [first, second].map(Environment::has_private_tmp);
    if private[0] != private[1] {
        let said = private.map(|private| answer(if private { "private" } else { "shared" }));
        let wider = if private[0] {
            Side::First
        } else {
            Side::Second
        };
        let [first, second] = said;
        found.push(Difference {
            wider,
            witness: Witness::Environment(TMPDIR.into()),
            first,
            second,
        });
    }
    let tables = [first, second].map(|side| side.kept_names(&own));
    match unix::contrasts(&tables[0], &tables[1]) {
        Some(contrasts) => found.extend(contrasts.into_iter().map(|contrast| {
            let side = if contrast.first.0 {
                Side::First
            } else {
                Side::Second
            };
            let fate = |kept| if kept { Fate::Kept } else { Fate::Dropped };
            let fates = [fate(contrast.first.0), fate(contrast.second.0)];
            difference(side, contrast.name, fates)
        })),
        // Not known to be within one another, so neither is.
        None => {
            let unknown = |wider| Difference {
                wider,
                witness: Witness::Environment(Vec::new()),
                first: answer("too many patterns to compare"),
                second: answer("too many patterns to compare"),
            };
            found.extend([Side::First, Side::Second].map(unknown));
        }
    }
    found
}

/// Whether a session that gets `a` of a name gets no more than with `b`.
fn within(a: Fate<'_>, b: Fate<'_>) -> bool {
    match (a, b) {
        (Fate::Dropped, _) | (_, Fate::Kept) => true,
        (Fate::Set(value), Fate::Set(other)) => value == other,
        _ => false,
    }
}

fn difference(wider: Side, name: Vec<u8>, [first, second]: [Fate<'_>; 2]) -> Difference {
    let said = |fate: Fate<'_>| match fate {
        Fate::Dropped => answer("dropped"),
        Fate::Set(value) => answer(format!("set to \"{}\"", value.escape_debug())),
        Fate::Kept => answer("kept"),
    };
    Difference {
        wider,
        witness: Witness::Environment(name),
        first: said(first),
        second: said(second),
    }
}

fn answer(value: impl Into<String>) -> Answer {
    Answer {
        value: value.into(),
        rule: None,
    }
}
