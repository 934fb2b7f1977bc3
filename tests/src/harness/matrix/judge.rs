//! What a row of the matrix has to look like afterwards.

use std::collections::BTreeMap;

use super::{Case, Planned, case::Nested};
use crate::{
    acts::{Outcome, Way},
    driver::Told,
    harness::{Check, ensure, events::Event, process::Background},
};

/// The filesystem does not have it.
pub(super) fn is_unsupported(told: Option<&Told>) -> bool {
    let text = format!("errno {}", libc::EOPNOTSUPP);
    told.is_some_and(|told| told.outcome == Outcome::Failed(text))
}

pub(super) fn keep_first(verdicts: &mut BTreeMap<usize, Check>, case: usize, check: Check) {
    let kept = verdicts.entry(case).or_insert(Ok(()));
    if kept.is_ok() {
        *kept = check;
    }
}

pub(super) fn judge_refused(
    case: &Case,
    way: Way,
    act: &Planned<'_>,
    told: Option<&Told>,
    events: &[Event],
) -> Check {
    let told = told.ok_or("the driver told nothing of it")?;
    let traces = act.traces();
    ensure(traces.is_empty(), || {
        format!(
            "expected a refusal, but {} ({}; {:?})",
            traces.join(", "),
            told.outcome,
            act.act
        )
    })?;
    let nested = act.ground.world.is_nested().then_some(case.nested);
    match nested {
        Some(Nested::Own) => {
            let is_done = told.outcome == Outcome::Done;
            let seen = || format!("expected that it is done in there, but {}", told.outcome);
            return ensure(is_done, seen);
        }
        Some(Nested::Invalid) => {
            let invalid = Outcome::Failed(format!("errno {}", libc::EINVAL));
            let seen = || format!("expected EINVAL, but {}", told.outcome);
            return ensure(told.outcome == invalid, seen);
        }
        Some(Nested::Refused) | None => {}
    }
    let refused = match &told.outcome {
        // Tools tell one word for both.
        Outcome::Refused(errno) if matches!(way, Way::Direct | Way::Bash) => {
            case.errnos.contains(errno) || [libc::EACCES, libc::EPERM].contains(errno)
        }
        Outcome::Refused(errno) => case.errnos.contains(errno),
        Outcome::Failed(text) => case.says.iter().any(|says| text.contains(says)),
        Outcome::Done => false,
    };
    ensure(refused, || {
        let names = case
            .errnos
            .iter()
            .map(|errno| crate::acts::errno_name(*errno));
        let names = names.collect::<Vec<_>>().join(" or ");
        format!("expected {names}, but {} ({:?})", told.outcome, act.act)
    })?;
    let mine = mine(act, told, events);
    if mine.is_empty() && nested.is_some() && case.is_refused_unasked_when_nested() {
        return Ok(());
    }
    let right = |event: &&&Event| {
        event.verdict == "deny"
            && case.rights.contains(&event.right.as_str())
            && case.reasons.contains(&event.reason.as_str())
            && case.rule.is_none_or(|rule| event.rule_id() == Some(rule))
    };
    ensure(mine.iter().find(right).is_some(), || {
        let seen = mine
            .iter()
            .map(|event| event.brief())
            .collect::<Vec<_>>()
            .join("; ");
        format!(
            "expected an event {} with reason {} and rule {}, saw [{seen}] ({:?})",
            case.rights.join(" or "),
            case.reasons.join(" or "),
            case.rule.unwrap_or("-"),
            act.act
        )
    })
}

/// The events of one act: by its process, or its children, or what it was done to.
fn mine<'e>(act: &Planned<'_>, told: &Told, events: &'e [Event]) -> Vec<&'e Event> {
    let victims = act.ground.victims.iter().map(Background::pid);
    let tags = victims
        .map(|pid| pid.to_string())
        .chain([act.ground.tag()])
        .collect::<Vec<_>>();
    events
        .iter()
        .filter(|event| {
            event.process.pid == told.pid
                || event.process.parent == told.pid
                || tags.iter().any(|tag| event.names(tag))
        })
        .collect()
}

pub(super) fn judge_done(
    what: &str,
    act: &Planned<'_>,
    told: Option<&Told>,
    events: &[Event],
) -> Check {
    let told = told.ok_or_else(|| format!("{what}: the driver told nothing of it"))?;
    ensure(told.outcome == Outcome::Done, || {
        let seen = mine(act, told, events)
            .iter()
            .map(|event| event.brief())
            .collect::<Vec<_>>();
        let seen = if seen.is_empty() {
            String::new()
        } else {
            format!(" [{}]", seen.join("; "))
        };
        format!(
            "{what}: expected success, but {}{seen} ({:?})",
            told.outcome, act.act
        )
    })?;
    ensure(!act.has_witness() || !act.traces().is_empty(), || {
        format!(
            "{what}: it said that it was done, but nothing changed ({:?})",
            act.act
        )
    })
}
