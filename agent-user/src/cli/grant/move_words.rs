//! What a grant says of a move, for people.

use agent_grant::{
    MoveExplanation, RuleInfo,
    explain::{Bar, Transfer},
    model::{right_name, right_words},
};

use super::rule_and_place;
use crate::render::escape::escape_bytes;

/// What forbids a move, in the order in which the kernel asks; empty where nothing does.
pub(super) fn obstacles(found: &MoveExplanation) -> Vec<String> {
    let missing = found.needs.iter().filter(|need| !need.allowed);
    let missing = missing.map(|need| {
        let (right, path) = (right_name(need.right), escape_bytes(&need.path));
        let by = refuser(need.rule.as_ref());
        format!("{right} is missing at {path}: {by}")
    });
    let bars = found.transfers.iter().filter_map(|transfer| {
        let (fact, because) = bar_in_words(transfer)?;
        Some(format!("{fact}: {because}"))
    });
    missing.chain(bars).collect()
}

/// What forbids that an object changes its path, if something does: what would become of it, and
/// why that must not be.
pub(super) fn bar_in_words(transfer: &Transfer) -> Option<(String, String)> {
    let Bar::Rights {
        below,
        gained,
        lost,
        rule,
    } = transfer.bar.as_ref()?
    else {
        return Some((
            "what lies below cannot be told apart".to_owned(),
            "what the kernel keeps about directories is coarser than the rules of this grant, and \
             in doubt it refuses"
                .to_owned(),
        ));
    };
    let old = escape_bytes(&[transfer.old.as_slice(), below].concat());
    let new = escape_bytes(&[transfer.new.as_slice(), below].concat());
    let subject = if below.is_empty() {
        old
    } else {
        format!("below it, {old}")
    };
    let by = refuser(rule.as_ref());
    let (verb, rights, because) = if gained.is_empty() {
        let because = "there, and what must not be made there must not be moved there";
        ("lose", lost, because)
    } else {
        ("gain", gained, "under its old name")
    };
    let rights = right_words(*rights).join(", ");
    Some((
        format!("{subject} would {verb} {rights} as {new}"),
        format!("{by} {because}"),
    ))
}

fn refuser(rule: Option<&RuleInfo>) -> String {
    rule.map_or_else(
        || "no rule allows it".to_owned(),
        |rule| format!("rule {} denies it", rule_and_place(&rule.into())),
    )
}

/// Which rules let a move happen.
pub(super) fn allowing(found: &MoveExplanation) -> String {
    let mut rules: Vec<_> = found
        .needs
        .iter()
        .filter_map(|need| Some(rule_and_place(&need.rule.as_ref()?.into())))
        .collect();
    rules.dedup();
    format!(
        "allowed by rule {}, and no right is gained",
        rules.join(" and ")
    )
}
