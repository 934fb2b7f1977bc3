//! Why connecting to a destination is allowed or refused.

use super::Match;
use crate::{
    compile::{Compiled, RuleInfo},
    model::{Effect, Object},
    net::Endpoint,
};

/// The whole answer about a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetExplanation {
    pub to: Endpoint,
    pub allowed: bool,
    /// The rule that decided, if one did.
    pub rule: Option<RuleInfo>,
    /// Every rule that matches, in order.
    pub matches: Vec<Match>,
    /// What would have to change for the opposite, in words.
    pub change: String,
}

/// Explains the decision about connecting to a destination. Matches have no `glob` of their own and
/// no `except`.
#[must_use]
pub fn explain_net(grant: &Compiled, to: Endpoint) -> NetExplanation {
    let asked = to;
    let to = asked.reached();
    let (allowed, number) = grant.decide_net(to);
    let mut matches = Vec::new();
    for (source, info) in grant.source.iter().zip(&grant.info) {
        let Object::Net {
            to: destinations,
            text,
        } = &source.object
        else {
            continue;
        };
        let mut pairs = destinations.iter().zip(text);
        if let Some((_, text)) = pairs.find(|(destination, _)| destination.contains(to)) {
            matches.push(Match {
                rule: info.clone(),
                pattern: text.value.clone(),
                glob: text.value.clone(),
                except: None,
                decides: info.number == number,
            });
        }
    }
    let mut change = change_net(to, allowed, &matches);
    if asked.is_unspecified() {
        change = format!(
            "{asked} leads to {to}, or to the address that the socket is bound to; {change}"
        );
    }
    NetExplanation {
        to: asked,
        allowed,
        rule: grant.rule(number).cloned(),
        matches,
        change,
    }
}

fn change_net(to: Endpoint, allowed: bool, matches: &[Match]) -> String {
    let ids = |effect: Effect| {
        let of_effect = matches.iter().filter(|m| m.rule.effect == effect);
        let ids: Vec<_> = of_effect.map(|m| format!("`{}`", m.rule.id)).collect();
        ids.join(", ")
    };
    if allowed {
        return format!(
            "to refuse it, take {to} out of {}, or add a [[net]] rule with deny = [\"connect\"]",
            ids(Effect::Allow)
        );
    }
    let denials = ids(Effect::Deny);
    if denials.is_empty() {
        return format!("to allow it, add a [[net]] rule with to = [\"{to}\"]");
    }
    let also = if ids(Effect::Allow).is_empty() {
        ", and allow it"
    } else {
        ""
    };
    format!("to allow it, take {to} out of {denials}{also}")
}
