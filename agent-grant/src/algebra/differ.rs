//! Every difference of two grants, with what each says of it.

use agent_abi::words;
use rustc_hash::FxHashSet;

use super::{
    Witness, environment, limits, net, unix,
    walk::{Phase, Walk},
};
use crate::{
    compile::{Compiled, RuleInfo},
    model::Mode,
    syntax::{capabilities, settings::settings},
};

words! {
    /// One of two grants.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Side {
        First => "first",
        Second => "second",
    }
}

/// What a grant says of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// "allowed", "refused", or the value of a setting or limit.
    pub value: String,
    /// The rule that decides, where one does.
    pub rule: Option<RuleInfo>,
}

/// One thing that one grant allows and the other refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The grant that allows it.
    pub wider: Side,
    pub witness: Witness,
    pub first: Answer,
    pub second: Answer,
}

/// Every way in which two grants differ: for files a shortest path, for destinations one, for each
/// right and each pair of rules that decide it differently.
#[must_use]
pub fn differences(first: &Compiled, second: &Compiled) -> Vec<Difference> {
    let mut all = files(first, second);
    all.extend(destinations(first, second));
    all.extend(unix_names(first, second));
    all.extend(switches(first, second));
    all.extend(capability_sets(first, second));
    all.extend(environment::differences(
        &first.environment,
        &second.environment,
    ));
    all.extend(limit_values(first, second));
    all.extend(modes(first, second));
    all
}

fn wider(first_allows: bool) -> Side {
    if first_allows {
        Side::First
    } else {
        Side::Second
    }
}

/// Whether it is allowed, and the rule that decides.
type Verdict = (bool, u16);

fn decided(grant: &Compiled, (allowed, rule): Verdict) -> Answer {
    Answer {
        value: if allowed { "allowed" } else { "refused" }.to_owned(),
        rule: grant.rule(rule).cloned(),
    }
}

fn plain(value: impl Into<String>) -> Answer {
    Answer {
        value: value.into(),
        rule: None,
    }
}

fn files(first: &Compiled, second: &Compiled) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut known: FxHashSet<(u8, Verdict, Verdict)> = FxHashSet::default();
    let start = ([first.dfa.start, second.dfa.start], Phase::Root);
    Walk::run(
        [&first.dfa, &second.dfa],
        &[start],
        |walk, node, [a, b], phase| {
            if !phase.is_path() {
                return true;
            }
            let (a, b) = (first.dfa.label(a), second.dfa.label(b));
            let differing = a
                .allowed
                .without(b.allowed)
                .union(b.allowed.without(a.allowed));
            for right in differing.iter() {
                let (ours, theirs) = (a.decide(right), b.decide(right));
                if known.insert((right as u8, ours, theirs)) {
                    found.push(Difference {
                        wider: wider(ours.0),
                        witness: Witness::File {
                            path: walk.path(node).1,
                            right,
                        },
                        first: decided(first, ours),
                        second: decided(second, theirs),
                    });
                }
            }
            true
        },
    );
    found
}

fn destinations<'g>(
    first: &'g Compiled,
    second: &'g Compiled,
) -> impl Iterator<Item = Difference> + 'g {
    let contrasts = net::contrasts(&first.net, &second.net).into_iter();
    contrasts.map(|contrast| Difference {
        wider: wider(contrast.first.0),
        witness: Witness::Net(contrast.to),
        first: decided(first, contrast.first),
        second: decided(second, contrast.second),
    })
}

fn unix_names(first: &Compiled, second: &Compiled) -> Vec<Difference> {
    let Some(contrasts) = unix::contrasts(&first.names, &second.names) else {
        // Not known to be within one another, so neither is.
        let unknown = |wider| Difference {
            wider,
            witness: Witness::Unix(Vec::new()),
            first: plain("too many patterns to compare"),
            second: plain("too many patterns to compare"),
        };
        return [Side::First, Side::Second].map(unknown).to_vec();
    };
    let contrasts = contrasts.into_iter();
    contrasts
        .map(|contrast| Difference {
            wider: wider(contrast.first.0),
            witness: Witness::Unix(contrast.name),
            first: decided(first, contrast.first),
            second: decided(second, contrast.second),
        })
        .collect()
}

fn switches<'g>(
    first: &'g Compiled,
    second: &'g Compiled,
) -> impl Iterator<Item = Difference> + 'g {
    let differing = settings().filter(|s| s.is_on(first.surface) != s.is_on(second.surface));
    differing.map(|setting| Difference {
        wider: wider(setting.is_on(first.surface)),
        witness: Witness::Setting(setting),
        first: plain(setting.value(first.surface)),
        second: plain(setting.value(second.surface)),
    })
}

fn capability_sets<'g>(
    first: &'g Compiled,
    second: &'g Compiled,
) -> impl Iterator<Item = Difference> + 'g {
    let names = capabilities::NAMES.iter().enumerate();
    let answer = |granted| plain(if granted { "granted" } else { "not granted" });
    names.filter_map(move |(number, name)| {
        let has = |grant: &Compiled| grant.capabilities & (1 << number) != 0;
        (has(first) != has(second)).then(|| Difference {
            wider: wider(has(first)),
            witness: Witness::Capability(name),
            first: answer(has(first)),
            second: answer(has(second)),
        })
    })
}

/// A limit of which neither value is within the other stands on both sides.
fn limit_values(first: &Compiled, second: &Compiled) -> Vec<Difference> {
    let value = |grant: &Compiled, name: &str| {
        let texts = grant.limits.texts().into_iter();
        let text = texts
            .filter(|(known, _)| *known == name)
            .find_map(|(_, text)| text);
        plain(text.unwrap_or_else(|| "none".to_owned()))
    };
    let mut found = Vec::new();
    for (side, a, b) in [(Side::First, first, second), (Side::Second, second, first)] {
        let names = limits::excess(&a.limits, &b.limits).into_iter();
        found.extend(names.map(|name| Difference {
            wider: side,
            witness: Witness::Limit(name),
            first: value(first, name),
            second: value(second, name),
        }));
    }
    found
}

fn modes(first: &Compiled, second: &Compiled) -> Option<Difference> {
    (first.mode != second.mode).then(|| Difference {
        wider: wider(first.mode == Mode::Audit),
        witness: Witness::Audit,
        first: plain(first.mode.name()),
        second: plain(second.mode.name()),
    })
}
