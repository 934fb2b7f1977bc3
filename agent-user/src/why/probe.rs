//! Refusals that every program meets, and that keep none from its work.

use agent_abi::Right;

use crate::api::Event;

struct Probe {
    right: Right,
    /// The whole object; `None`: whatever it is.
    object: Option<&'static str>,
    /// What calls itself so; `None`: whoever does it.
    comm: Option<&'static str>,
}

/// Each with the reason why it is none of an agent's doing. What is not certain is not here.
const PROBES: [Probe; 4] = [
    // The kernel asks before it looks at modes, for each object of root's that these keep closed; where they do not,
    // the act succeeds all the same (`generic_permission()`).
    Probe {
        right: Right::ProcessCapability,
        object: Some("dac_override"),
        comm: None,
    },
    Probe {
        right: Right::ProcessCapability,
        object: Some("dac_read_search"),
        comm: None,
    },
    // libuv tries a ring at its start, and goes on with threads.
    Probe {
        right: Right::KernelIoUring,
        object: None,
        comm: Some("node"),
    },
    Probe {
        right: Right::KernelIoUring,
        object: None,
        comm: Some("MainThread"),
    },
];

/// Whether a refusal says nothing of what somebody wants. Where a rule decided it does.
#[must_use]
pub fn is_probe(event: &Event) -> bool {
    event.rule.is_none()
        && PROBES.iter().any(|probe| {
            event.right == probe.right
                && probe.object.is_none_or(|object| event.object == object)
                && probe.comm.is_none_or(|comm| event.process.comm == comm)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::EventProcess, store::events_for_tests as event};

    #[test]
    fn what_programs_try_at_their_start_is_a_probe_and_what_is_wanted_is_none() {
        let of = |right: &str, object: &str, comm: &str| Event {
            rule: None,
            object: object.into(),
            process: EventProcess {
                comm: comm.into(),
                ..EventProcess::default()
            },
            ..event(right, b"-", "deny")
        };
        assert!(is_probe(&of("process.capability", "dac_override", "sh")));
        assert!(is_probe(&of("kernel.io_uring", "-", "node")));
        assert!(!is_probe(&of("kernel.io_uring", "-", "fio")));
        assert!(!is_probe(&of("process.capability", "sys_admin", "sh")));
        assert!(!is_probe(&of("file.read", "dac_override", "sh")));
        let by_rule = event("process.capability", b"dac_override", "deny");
        assert!(!is_probe(&by_rule));
    }
}
