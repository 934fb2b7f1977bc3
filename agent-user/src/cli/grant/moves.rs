//! What a grant says of a move, for people and for programs.

use agent_abi::{FileRights, Right};
use agent_grant::{
    Manner, MoveExplanation, RuleInfo,
    model::{right_name, right_words},
    moves::{Bar, Need, Transfer},
};
use serde::Serialize;

use super::rule_and_place;
use crate::render::escape::escape_bytes;

/// The answer for programs.
#[derive(Serialize)]
pub(super) struct Moved {
    /// `rename`, `link` or `exchange`.
    #[serde(rename = "move")]
    manner: &'static str,
    old: String,
    new: String,
    /// What is moved is a directory.
    directory: bool,
    /// A rename finds the new name taken.
    replaces: bool,
    /// What an exchange finds at the new name is a directory.
    to_directory: Option<bool>,
    allowed: bool,
    /// The rights that the two names need.
    needs: Vec<Needed>,
    /// What forbids it whatever the rights at both names are.
    bars: Vec<Barred>,
}

#[derive(Serialize)]
struct Needed {
    right: &'static str,
    path: String,
    allowed: bool,
    #[serde(flatten)]
    by: Decider,
}

/// A path, at or below what is moved, whose rights forbid it.
#[derive(Serialize)]
struct Barred {
    /// None where no path shows it: what the kernel knows of directories is coarser than the rules.
    old: Option<String>,
    new: Option<String>,
    /// Rights that it would gain.
    gained: Vec<&'static str>,
    /// Rights to make what is there that it would lose.
    lost: Vec<&'static str>,
    #[serde(flatten)]
    by: Decider,
}

/// The rule that decides; none where no rule allows it.
#[derive(Serialize)]
struct Decider {
    rule: Option<String>,
    place: Option<String>,
    reason: Option<String>,
}

impl Decider {
    fn new(rule: Option<&RuleInfo>) -> Self {
        Self {
            rule: rule.map(|rule| rule.id.clone()),
            place: rule.and_then(|rule| rule.place.clone()),
            reason: rule.and_then(|rule| rule.reason.clone()),
        }
    }
}

impl Moved {
    pub(super) fn new(found: &MoveExplanation) -> Self {
        let wanted = &found.wanted;
        let manner = wanted.manner();
        Self {
            manner: manner.name(),
            old: escape_bytes(wanted.old()),
            new: escape_bytes(wanted.new_path()),
            directory: wanted.is_directory(),
            replaces: manner == Manner::Rename { replaces: true },
            to_directory: match manner {
                Manner::Exchange { other_is_directory } => Some(other_is_directory),
                Manner::Rename { .. } | Manner::Link => None,
            },
            allowed: found.allowed,
            needs: found.needs.iter().map(needed).collect(),
            bars: found.transfers.iter().filter_map(barred).collect(),
        }
    }
}

fn needed(need: &Need) -> Needed {
    Needed {
        right: need.right.name(),
        path: escape_bytes(&need.path),
        allowed: need.allowed,
        by: Decider::new(need.rule.as_ref()),
    }
}

fn barred(transfer: &Transfer) -> Option<Barred> {
    Some(match transfer.bar.as_ref()? {
        Bar::Rights {
            below,
            gained,
            lost,
            rule,
        } => Barred {
            old: Some(escape_bytes(&[transfer.old.as_slice(), below].concat())),
            new: Some(escape_bytes(&[transfer.new.as_slice(), below].concat())),
            gained: names(*gained),
            lost: names(*lost),
            by: Decider::new(rule.as_ref()),
        },
        Bar::Coarse => Barred {
            old: None,
            new: None,
            gained: Vec::new(),
            lost: Vec::new(),
            by: Decider::new(None),
        },
    })
}

fn names(rights: FileRights) -> Vec<&'static str> {
    Right::FILE
        .into_iter()
        .filter(|right| rights.contains(FileRights::only(*right)))
        .map(Right::name)
        .collect()
}

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
        |rule| format!("rule {} denies it", rule_and_place(rule)),
    )
}

/// Which rules let a move happen.
pub(super) fn allowing(found: &MoveExplanation) -> String {
    let mut rules: Vec<_> = found
        .needs
        .iter()
        .filter_map(|need| need.rule.as_ref().map(rule_and_place))
        .collect();
    rules.dedup();
    format!(
        "allowed by rule {}, and no right is gained",
        rules.join(" and ")
    )
}
