//! A refusal in words: what, why, whether to try again, what to ask for.

mod ask;
mod meant;
mod probe;
mod proposal;
mod reason;

use agent_abi::{Reason, Right};

pub use meant::{LATEST, meant};
pub use probe::is_probe;
pub use reason::short;

use crate::api::{Event, Inputs, SCHEMA, Verdict, Why};

/// What the session of a refusal was started with.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The grant, as it was named on the command line.
    pub grant: &'a str,
    pub inputs: &'a Inputs,
}

/// Everything that `bailiff why` says about a refusal, with the terms of its session where they are
/// known still.
#[must_use]
pub fn why(event: Event, terms: Option<Terms<'_>>) -> Why {
    let reason = event.reason.known();
    let retry_helps = matches!(reason, Some(Reason::Unstable | Reason::NoMemory));
    Why {
        schema: SCHEMA,
        what: what(&event),
        because: reason::because(&event, reason),
        retry_helps,
        retry: if event.verdict != Verdict::Deny {
            "It was let through: the grant is in audit mode.".into()
        } else if retry_helps {
            "The cause was passing: trying again can succeed.".into()
        } else {
            "Trying again will be refused again while this grant is in force.".into()
        },
        ask: ask::ask(&event, reason, terms),
        before: None,
        event,
    }
}

/// Whether a refusal followed from a crash and says nothing of its cause.
#[must_use]
pub fn is_crash(event: &Event) -> bool {
    event.right == Right::ProcessCore
}

/// The same of a crash, with what was refused before it.
#[must_use]
pub fn why_crashed(event: Event, before: Option<Event>, terms: Option<Terms<'_>>) -> Why {
    Why {
        before: before.map(|before| Box::new(why(before, terms))),
        ..why(event, terms)
    }
}

fn what(event: &Event) -> String {
    let process = format!("{}[{}]", event.process.comm, event.process.pid);
    let verb = if event.verdict == Verdict::Deny {
        "was refused"
    } else {
        "would be refused"
    };
    // What is about the process itself has no object.
    let on = match object(event).as_str() {
        "-" => String::new(),
        object => format!(" on {object}"),
    };
    format!(
        "{process} in session {} {verb} {}{on}.",
        event.session, event.right
    )
}

fn object(event: &Event) -> String {
    event
        .path
        .as_ref()
        .map_or_else(|| event.object.clone(), |path| path.text.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::events_for_tests as event;

    #[test]
    fn a_denying_rule_is_named_with_its_reason() {
        let why = why(event("file.read", b"/w/.env", "deny"), None);
        assert_eq!(
            why.what,
            "cat[9] in session coder-1 was refused file.read on /w/.env."
        );
        assert_eq!(why.because, "Rule `secrets` denies it: Ask.");
        assert!(!why.retry_helps);
        assert!(why.ask.unwrap().contains("except = [\"/w/.env\"]"));
    }

    #[test]
    fn passing_causes_can_be_tried_again_and_self_protection_cannot_be_asked_for() {
        let with = |reason: &str| {
            why(
                Event {
                    reason: reason.into(),
                    rule: None,
                    ..event("file.read", b"/x", "deny")
                },
                None,
            )
        };
        assert!(with("unstable").retry_helps);
        assert_eq!(with("self-protection").ask, None);
    }

    #[test]
    fn a_crash_comes_with_what_was_refused_before_it() {
        let of = |right: &str, object: &str| Event {
            rule: None,
            reason: "not-granted".into(),
            object: object.into(),
            path: None,
            ..event(right, b"", "deny")
        };
        let crash = || of("process.core", "-");
        let before = of("process.jit", "anonymous memory");
        let told = why_crashed(crash(), Some(before), None);
        assert!(told.because.contains("not what made it crash"), "{told:?}");
        assert!(
            told.ask.unwrap().ends_with("[process]\ncore = true"),
            "the dump can be asked for still"
        );
        assert_eq!(
            told.what,
            "cat[9] in session coder-1 was refused process.core."
        );
        let before = told.before.unwrap();
        assert!(before.what.contains("refused process.jit"), "{before:?}");
        assert!(before.ask.unwrap().ends_with("[process]\njit = true"));
        assert!(why_crashed(crash(), None, None).before.is_none());
    }

    #[test]
    fn an_audited_act_was_let_through() {
        let event = event("file.read", b"/x", "would-deny");
        assert!(why(event, None).retry.contains("let through"));
    }
}

/// What the tests of these files ask about.
#[cfg(test)]
mod examples {
    use super::*;
    use crate::store::events_for_tests as event;

    /// What is said to be asked for where no rule allows what was refused.
    pub(super) fn asked(right: Right, reason: Reason, object: &[u8]) -> Option<String> {
        let event = Event {
            rule: None,
            reason: reason.into(),
            ..event(right.name(), object, "deny")
        };
        why(event, None).ask
    }
}
