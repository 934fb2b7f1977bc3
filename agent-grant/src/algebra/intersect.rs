//! What two grants both allow.

use agent_abi::{FileRights, image::SINK, ledger::NO_RULE, limits::MAX_RULES, right::FILE_RIGHTS};
use rustc_hash::FxHashMap;

use super::{limits, net};
use crate::{
    automaton::{Dfa, Label, Other, Rows, minimize},
    compile::{Asked, Compiled, Refer, RuleInfo, image::fits, implicit::RESERVED},
    model::Mode,
    net::NetTableError,
};

/// Why there is no intersection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntersectError {
    #[error("the grants have {0} rules together, {most} fit", most = MAX_RULES - 1)]
    Rules(usize),
    #[error("the automaton has more than {0} states")]
    States(usize),
    #[error("the automaton is too large for a session's image")]
    Image,
    #[error("of the limits on `{0}` neither is within the other")]
    Limit(&'static str),
    #[error(transparent)]
    Net(#[from] NetTableError),
}

/// Product states at which the intersection is given up.
const MAX_PRODUCT: usize = 1 << 18;

/// The grant that allows what both allow. Rules of the second follow those of the first, under
/// `second/ID` where the id is taken; a refusal names the first grant's rule where it refuses.
///
/// # Errors
/// What does not fit, and limits that have no common one.
pub fn intersect(first: &Compiled, second: &Compiled) -> Result<Compiled, IntersectError> {
    let (info, map) = join_rules(first, second)?;
    let renumber = |rule: u16| map.get(usize::from(rule)).copied().unwrap_or(NO_RULE);
    let dfa = minimize(&product(&first.dfa, &second.dfa, &renumber)?);
    if !fits(&dfa) {
        return Err(IntersectError::Image);
    }
    let refer = Refer::of(&dfa);
    Ok(Compiled {
        name: format!("{} & {}", first.name, second.name),
        mode: if first.mode == Mode::Audit {
            second.mode
        } else {
            first.mode
        },
        surface: first.surface & second.surface,
        capabilities: first.capabilities & second.capabilities,
        environment: first.environment.intersect(&second.environment),
        limits: limits::stricter(&first.limits, &second.limits).map_err(IntersectError::Limit)?,
        net: net::intersect(&first.net, &second.net, renumber)?,
        names: first.names.intersect(&second.names, renumber),
        dfa,
        refer,
        attributes_all: first.attributes_all && second.attributes_all,
        // Rules of two grants do not add up to the rules of one; there is nothing to quote.
        source: Vec::new(),
        tests: Vec::new(),
        info,
        asked: Asked::default(),
    })
}

/// The rules of both, and the new number of each rule of the second.
fn join_rules(
    first: &Compiled,
    second: &Compiled,
) -> Result<(Vec<RuleInfo>, Vec<u16>), IntersectError> {
    let mut info = first.info.clone();
    let mut map = Vec::with_capacity(second.info.len());
    for rule in &second.info {
        let same = info.iter().find(|known| known.id == rule.id);
        if let Some(known) = same
            && rule.id.starts_with(RESERVED)
        {
            map.push(known.number);
            continue;
        }
        let taken = same.is_some();
        let mut rule = rule.clone();
        if taken {
            rule.id = format!("{}/{}", second.name, rule.id);
        }
        rule.number = info.len() as u16;
        map.push(rule.number);
        info.push(rule);
    }
    if info.len() > MAX_RULES - 1 {
        Err(IntersectError::Rules(info.len()))
    } else {
        Ok((info, map))
    }
}

fn product(a: &Dfa, b: &Dfa, renumber: &impl Fn(u16) -> u16) -> Result<Dfa, IntersectError> {
    let mut columns: Vec<(u8, u8)> = Vec::new();
    let mut classes = [0_u8; 256];
    for byte in 0..=255_u8 {
        let pair = (a.classes[usize::from(byte)], b.classes[usize::from(byte)]);
        let class = columns
            .iter()
            .position(|known| *known == pair)
            .unwrap_or_else(|| {
                columns.push(pair);
                columns.len() - 1
            });
        classes[usize::from(byte)] = class as u8;
    }
    let sink = u32::from(SINK);
    let mut pairs = vec![(sink, sink)];
    let mut numbers: FxHashMap<(u32, u32), u32> = FxHashMap::from_iter([((sink, sink), sink)]);
    let mut intern = |pair: (u32, u32), pairs: &mut Vec<(u32, u32)>| {
        *numbers.entry(pair).or_insert_with(|| {
            pairs.push(pair);
            pairs.len() as u32 - 1
        })
    };
    let start = intern((a.start, b.start), &mut pairs);
    let mut dfa = Dfa {
        classes,
        columns: columns.len(),
        rows: Rows::default(),
        label_of: Vec::new(),
        labels: vec![Label::NONE],
        start,
    };
    let mut label_numbers: FxHashMap<Label, u32> = FxHashMap::from_iter([(Label::NONE, 0)]);
    let mut at = 0;
    while let Some((x, y)) = pairs.get(at).copied() {
        if pairs.len() > MAX_PRODUCT {
            return Err(IntersectError::States(MAX_PRODUCT));
        }
        let heads = columns.iter().map(|(ours, theirs)| {
            let next = (a.by_class(x, *ours), b.by_class(y, *theirs));
            intern(next, &mut pairs)
        });
        let row = (0..)
            .zip(heads)
            .map(|(column, head)| Other::new(column, head));
        dfa.rows.push_whole(&row.collect::<Vec<_>>());
        let label = both(a.label(x), b.label(y), renumber);
        let labels = &mut dfa.labels;
        dfa.label_of
            .push(*label_numbers.entry(label).or_insert_with(|| {
                labels.push(label);
                labels.len() as u32 - 1
            }));
        at += 1;
    }
    Ok(dfa)
}

fn both(a: &Label, b: &Label, renumber: &impl Fn(u16) -> u16) -> Label {
    let mut label = Label {
        allowed: FileRights(a.allowed.0 & b.allowed.0),
        ..*a
    };
    for right in 0..FILE_RIGHTS {
        let ours = a.allowed.0 & (1 << right) != 0;
        let theirs = b.allowed.0 & (1 << right) != 0;
        let by_second = renumber(b.deciding[right]);
        // The rule of a grant that refuses; the second's only where the first has none to name.
        if !theirs && (ours || a.deciding[right] == NO_RULE) {
            label.deciding[right] = by_second;
        }
    }
    label
}
