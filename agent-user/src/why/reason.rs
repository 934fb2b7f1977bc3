//! Why something was refused, in words.

use agent_abi::{Reason, Right, right::FILE_RIGHTS};

use super::is_crash;
use crate::api::{Event, RuleRef, Word};

/// The reason in a few words, for the end of an event line.
#[must_use]
pub fn short(event: &Event) -> &'static str {
    let Some(reason) = event.reason.known() else {
        return "";
    };
    match reason {
        Reason::Rule => "denied by a rule",
        Reason::NoRule => "no rule of the grant allows it",
        Reason::Refer => "what may be done with it would differ under the new name",
        Reason::UnknownMount => "not mounted where the session can see it",
        Reason::Unresolvable => "its path cannot be told",
        Reason::Unstable => "the tree was being renamed meanwhile",
        Reason::SessionEnded => "the session of this process has ended",
        Reason::OutsideSession => "the target is outside the session",
        Reason::SelfProtection => "it would change the session's own limits",
        Reason::NoMemory => "the kernel was short of memory",
        Reason::NotGranted if has_no_word(&event.right) => "no grant can open it",
        Reason::NotGranted => "the grant does not open it",
        Reason::PrivilegeGain if is_on_file(&event.right) => {
            "a set-user-id program gives its user to others"
        }
        Reason::PrivilegeGain => "the program would gain privileges",
        Reason::Ambiguous => "its name or address can mean several things",
    }
}

/// The rule or the reason, in sentences.
pub(super) fn because(event: &Event, reason: Option<Reason>) -> String {
    let rule = event.rule.as_ref();
    let id = rule.map_or("?", |rule| &rule.id);
    match reason {
        Some(Reason::Rule) => {
            let reason = rule.and_then(|rule| rule.reason.as_deref());
            let reason = reason.map_or_else(|| ".".into(), |text| format!(": {text}"));
            let built_in = rule.is_some_and(is_built_in);
            let note = if built_in {
                " It holds in every session, and no grant can lift it."
            } else {
                ""
            };
            format!("Rule `{id}` denies it{reason}{note}")
        }
        Some(Reason::NoRule) => {
            "No rule of the grant allows it, and what no rule allows is refused.".into()
        }
        Some(Reason::Refer) => "A rename or link must not give an object, or anything below a \
             directory, rights that it does not have under its present name, nor put into a place \
             what must not be made there, and this name would. The process was told EXDEV \
             (\"Invalid cross-device link\"), as between filesystems; `mv` and its like then copy, \
             and the copy is judged by the rights of its new name."
            .into(),
        Some(Reason::UnknownMount) => "The filesystem is not mounted where the session can see \
             it, so no path of the grant names it."
            .into(),
        Some(Reason::Unresolvable) => {
            "Its path is too deep, too long, or leads to no root, so no rule can be found for it."
                .into()
        }
        Some(Reason::Ambiguous) if event.right == Right::NetConnect => {
            "It leads to the socket's own address, which may change before the kernel looks. Name the \
             address that is meant, such as 127.0.0.1, or bind the socket before anything else."
                .into()
        }
        Some(Reason::Ambiguous) => {
            "Its directory takes several spellings for one name (it ignores case), so a rule that \
             names files there cannot be trusted. Grant the whole directory with `/**`, and deny \
             nothing in it, or use a directory that tells case apart."
                .into()
        }
        Some(Reason::Unstable) => {
            "The directories above it were renamed again and again during the decision.".into()
        }
        Some(Reason::SessionEnded) => {
            "The session that this process belongs to has ended; nothing is granted to it.".into()
        }
        Some(Reason::OutsideSession) if event.right == Right::KernelMount => {
            "Mounts are for mount namespaces of user namespaces that the session makes \
             (`unshare --user --mount`), not for those that it shares with others; and there for \
             binds and moves, and for new filesystems that hold nothing from elsewhere (tmpfs, \
             proc, sysfs, devpts, mqueue, cgroup2). Overlays, FUSE and disks show what has another \
             name, and are refused whatever is granted: copy (podman: `--storage-driver vfs`)."
                .into()
        }
        Some(Reason::OutsideSession) if event.right == Right::KernelPerf => {
            "`perf` is for the session's own processes. To watch others, the kernel or whole processors, \
             and to put probes into programs, takes a capability that no grant gives there; so does \
             watching its own where the host's `kernel.perf_event_paranoid` is 3 or more (2 lets it)."
                .into()
        }
        Some(Reason::OutsideSession) if is_on_file(&event.right) => {
            "It is a terminal that the session neither opened nor was started on. A session has its \
             own terminals and no other, whatever a grant says."
                .into()
        }
        Some(Reason::OutsideSession) => {
            "The target process is outside the session, and the grant reaches no further.".into()
        }
        Some(Reason::SelfProtection) if event.right == Right::FileIoctl => {
            "The command types into a terminal, or reaches further than the object that it is given \
             to: it takes blocks from one file to another, gives a tree other names, or changes the whole \
             filesystem. No grant can allow it."
                .into()
        }
        Some(Reason::SelfProtection) if is_on_file(&event.right) => {
            "It watches a whole mount or filesystem, or makes others wait for an answer before they \
             open what is there (fanotify). No grant can allow it."
                .into()
        }
        Some(Reason::SelfProtection) if event.right == Right::KernelBpf => {
            "The map or program is Bailiff's, or the program would run while other processes act, or \
             call functions of the kernel. No grant can allow it."
                .into()
        }
        Some(Reason::SelfProtection) if event.right == Right::KernelUserfaultfd => {
            "It would handle faults of the kernel too, which may hold what others wait for. Ask for those \
             of the program alone (UFFD_USER_MODE_ONLY)."
                .into()
        }
        Some(Reason::SelfProtection) => {
            "It would let the session change its own limits, which no grant can allow.".into()
        }
        Some(Reason::NoMemory) => "The kernel had no memory for the decision.".into(),
        Some(Reason::NotGranted) if has_no_word(&event.right) => {
            format!("No grant can open `{}`.", event.right)
        }
        Some(Reason::NotGranted) if is_crash(event) => {
            "The program crashed, and no core was dumped, since the grant does not open \
             `process.core`. That is not what made it crash."
                .into()
        }
        Some(Reason::NotGranted) => {
            format!("The grant does not open `{}`.", event.right)
        }
        Some(Reason::PrivilegeGain) if is_on_file(&event.right) => {
            "A set-user-id or set-group-id program makes whoever runs it its owner or of its group, \
             outside of every grant. A session may not leave one. Without these bits (`chmod \
             u-s,g-s`) the file is judged like any other."
                .into()
        }
        Some(Reason::PrivilegeGain) => {
            "The program is set-user-id, set-group-id or has file capabilities; sessions gain \
             no privileges."
                .into()
        }
        None => format!("Reason: {}.", event.reason),
    }
}

/// Whether grants have no word for a right, so that it is always refused where no rule is asked.
fn has_no_word(right: &Word<Right>) -> bool {
    matches!(
        right.known(),
        Some(Right::NetSocket | Right::NetOption | Right::UnixConnect)
    )
}

pub(super) fn is_on_file(right: &Word<Right>) -> bool {
    right
        .known()
        .is_some_and(|right| (right as usize) < FILE_RIGHTS)
}

/// A rule that is part of every grant.
pub(super) fn is_built_in(rule: &RuleRef) -> bool {
    rule.id.starts_with("bailiff:")
}

#[cfg(test)]
mod tests {
    use super::{super::why, *};
    use crate::store::events_for_tests as event;

    #[test]
    fn every_reason_has_words() {
        for (_, name) in Reason::ALL {
            let event = Event {
                reason: name.into(),
                ..event("file.read", b"/x", "deny")
            };
            assert!(!short(&event).is_empty(), "{name}");
            let why = why(event, None);
            assert!(!why.because.starts_with("Reason:"), "{name}");
        }
    }
}
