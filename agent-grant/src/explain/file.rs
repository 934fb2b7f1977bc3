//! Why a file right is allowed or refused on a path.

use agent_abi::{FileRights, Right, limits::MAX_DEPTH};

use super::{Match, shown};
use crate::{
    compile::{Compiled, RuleInfo, implicit},
    glob::Glob,
    model::{Alternative, Effect, FilePattern, Object, right_name},
};

/// A rule that would allow it if the request or the rule were a little different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Near {
    pub rule: RuleInfo,
    pub pattern: String,
    /// 1 for a missing right, plus the steps through the tree from the path to the pattern.
    pub distance: usize,
    /// Whether the rule lacks the right.
    pub lacks_right: bool,
}

/// The whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    pub path: Vec<u8>,
    pub right: Right,
    pub allowed: bool,
    /// The rule that decided, if one did.
    pub rule: Option<RuleInfo>,
    /// Every rule that matches, in order.
    pub matches: Vec<Match>,
    /// Only of a refusal: the allowing rule that comes nearest.
    pub nearest: Option<Near>,
    /// What would have to change for the opposite, in words.
    pub change: String,
}

/// Explains the decision about a file right on a path; `None` for a right that is not about
/// files. The root is the empty path.
#[must_use]
pub fn explain(grant: &Compiled, path: &[u8], right: Right) -> Option<Explanation> {
    let bit = FileRights::only(right);
    if bit.is_empty() {
        return None;
    }
    let (allowed, number) = grant.decide(path, right);
    let rule = grant.rule(number).cloned();
    let mut matches = Vec::new();
    for (source, info) in grant.source.iter().zip(&grant.info) {
        let Object::File {
            rights,
            paths,
            except,
        } = &source.object
        else {
            continue;
        };
        if !rights.contains(bit) {
            continue;
        }
        if let Some((pattern, alternative)) = find(paths, path) {
            matches.push(Match {
                rule: info.clone(),
                pattern: pattern.text.value.clone(),
                glob: alternative.glob.to_string(),
                except: find(except, path).map(|(pattern, _)| pattern.text.value.clone()),
                decides: info.number == number,
            });
        }
    }
    let nearest = if allowed {
        None
    } else {
        nearest(grant, path, bit)
    };
    let change = if grant.unresolvable(path).is_some() {
        format!(
            "no grant can allow it, unless a filesystem is mounted on the way: it has more than {MAX_DEPTH} \
             directories above it"
        )
    } else {
        change(path, right, allowed, &matches, nearest.as_ref())
    };
    Some(Explanation {
        path: path.to_vec(),
        right,
        allowed,
        rule,
        matches,
        nearest,
        change,
    })
}

/// The first rule that denies a file right on a path, whether or not another would allow it.
///
/// Where nothing is allowed, the automaton need not keep which denial matches; an event's reader
/// wants to know, because an allowing rule alone would not help.
#[must_use]
pub fn denying_rule<'g>(grant: &'g Compiled, path: &[u8], right: Right) -> Option<&'g RuleInfo> {
    let bit = FileRights::only(right);
    if bit.is_empty() {
        return None;
    }
    let rules = grant.source.iter().zip(&grant.info);
    let mut denials = rules.filter(|(source, _)| source.effect == Effect::Deny);
    let matching = denials.find(|(source, _)| match &source.object {
        Object::File {
            rights,
            paths,
            except,
        } => rights.contains(bit) && find(paths, path).is_some() && find(except, path).is_none(),
        _ => false,
    });
    matching.map(|(_, info)| info)
}

fn find<'p>(
    patterns: &'p [FilePattern],
    path: &[u8],
) -> Option<(&'p FilePattern, &'p Alternative)> {
    patterns.iter().find_map(|pattern| {
        let alternative = pattern.alternatives.iter().find(|a| a.glob.matches(path))?;
        Some((pattern, alternative))
    })
}

fn nearest(grant: &Compiled, path: &[u8], bit: FileRights) -> Option<Near> {
    let names: Vec<&[u8]> = path.split(|byte| *byte == b'/').skip(1).collect();
    let mut best: Option<Near> = None;
    for (source, info) in grant.source.iter().zip(&grant.info) {
        let Object::File { rights, paths, .. } = &source.object else {
            continue;
        };
        if source.effect == Effect::Deny {
            continue;
        }
        let lacks_right = !rights.contains(bit);
        for pattern in paths {
            for glob in pattern.globs() {
                let distance = hops(glob, &names) + usize::from(lacks_right);
                if distance > 0 && best.as_ref().is_none_or(|near| distance < near.distance) {
                    best = Some(Near {
                        rule: info.clone(),
                        pattern: pattern.text.value.clone(),
                        distance,
                        lacks_right,
                    });
                }
            }
        }
    }
    best
}

/// Steps up the tree from a path until the pattern's literal part is reached, and down it again;
/// 0 where the pattern matches.
fn hops(glob: &Glob, names: &[&[u8]]) -> usize {
    let path: Vec<u8> = names
        .iter()
        .flat_map(|name| [b"/", *name].concat())
        .collect();
    if glob.matches(&path) {
        return 0;
    }
    let prefix = glob.literal_prefix();
    let literal: Vec<&[u8]> = prefix.split(|byte| *byte == b'/').skip(1).collect();
    let common = literal
        .iter()
        .zip(names)
        .take_while(|(a, b)| *a == *b)
        .count();
    (literal.len() - common) + (names.len() - common)
}

fn change(
    path: &[u8],
    right: Right,
    allowed: bool,
    matches: &[Match],
    nearest: Option<&Near>,
) -> String {
    let shown = shown(path);
    let right = right_name(right);
    let live = |effect: Effect| {
        matches
            .iter()
            .filter(move |m| m.rule.effect == effect && m.except.is_none())
    };
    let ids = |effect: Effect| {
        live(effect)
            .map(|m| format!("`{}`", m.rule.id))
            .collect::<Vec<_>>()
            .join(", ")
    };
    if allowed {
        return format!(
            "to refuse it, take {shown} out of {}, or add a rule with deny = [\"{right}\"]",
            ids(Effect::Allow)
        );
    }
    if live(Effect::Deny).any(|m| m.rule.id.starts_with(implicit::RESERVED)) {
        return "no grant can allow it: it would let the session change its own limits".to_owned();
    }
    let denials = ids(Effect::Deny);
    if !denials.is_empty() {
        let also = if live(Effect::Allow).next().is_some() {
            ""
        } else {
            ", and allow it"
        };
        return format!("to allow it, name {shown} in `except` of {denials}{also}");
    }
    match nearest {
        Some(near) if near.lacks_right && near.distance == 1 => {
            format!(
                "to allow it, add \"{right}\" to rule `{}`, or add a rule",
                near.rule.id
            )
        }
        Some(near) => format!(
            "to allow it, add a rule, or a path to rule `{}`, whose `{}` is {} steps away",
            near.rule.id, near.pattern, near.distance
        ),
        None => "to allow it, add a rule".to_owned(),
    }
}
