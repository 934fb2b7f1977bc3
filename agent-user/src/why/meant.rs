//! Which of a session's latest refusals somebody means who asks from inside.

use crate::api::Event;

/// How many are looked at.
pub const LATEST: u32 = 256;

/// The one that is meant by a process whose parent is `parent`. `latest` has the latest first.
///
/// Of what the parent and its children were refused, else of all: the latest command's. Of these the latest that a rule
/// decided, since what no rule allows is often a program's look around; else the latest.
#[must_use]
pub fn meant(latest: Vec<Event>, parent: Option<u32>) -> Option<Event> {
    let beside = |event: &Event| {
        parent.is_some_and(|parent| event.process.pid == parent || event.process.parent == parent)
    };
    let found = latest
        .iter()
        .find(|event| beside(event))
        .or(latest.first())?;
    let command = (found.process.pid, found.process.parent);
    // What the caller's parent did itself is no part of another command.
    let shell = parent.filter(|parent| *parent == command.1);
    let is_of_command = |event: &Event| {
        let of = |pid| event.process.pid == pid || event.process.parent == pid;
        of(command.0) || shell.is_none() && of(command.1)
    };
    let mut command = latest.into_iter().filter(is_of_command);
    let newest = command.next()?;
    if newest.rule.is_some() {
        return Some(newest);
    }
    let decided = command.find(|event| event.rule.is_some());
    Some(decided.unwrap_or(newest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{EventProcess, RuleRef},
        store::events_for_tests as event,
    };

    fn refused(id: i64, pid: u32, parent: u32, rule: Option<&str>) -> Event {
        Event {
            id,
            rule: rule.map(|id| RuleRef {
                id: id.into(),
                ..RuleRef::default()
            }),
            process: EventProcess {
                pid,
                parent,
                ..EventProcess::default()
            },
            ..event("file.read", b"/x", "deny")
        }
    }

    fn meant_of(events: &[Event], parent: Option<u32>) -> Option<i64> {
        let latest = events.iter().rev().cloned().collect();
        meant(latest, parent).map(|event| event.id)
    }

    #[test]
    fn what_a_shells_command_was_refused_is_meant_and_not_what_others_were() {
        let events = [
            refused(1, 20, 10, Some("secrets")),
            refused(2, 31, 30, Some("git-hooks")),
        ];
        assert_eq!(meant_of(&events, Some(10)), Some(1));
        assert_eq!(meant_of(&events, Some(30)), Some(2));
        // Another shell, started for the question.
        assert_eq!(meant_of(&events, Some(99)), Some(2));
        assert_eq!(meant_of(&events, None), Some(2));
        assert_eq!(meant_of(&[], None), None);
    }

    #[test]
    fn a_rules_denial_is_meant_before_what_no_rule_allows() {
        let events = [
            refused(1, 19, 10, Some("secrets")),
            refused(2, 20, 10, None),
            refused(3, 20, 10, Some("git-hooks")),
            refused(4, 20, 10, None),
            refused(5, 21, 20, None),
        ];
        // The newest is a child's; the command is both.
        assert_eq!(meant_of(&events[..4], Some(10)), Some(3));
        assert_eq!(meant_of(&events, None), Some(3));
        // The command before it is another one.
        assert_eq!(meant_of(&events[..2], Some(10)), Some(2));
    }
}
