//! From a kernel event to what is stored and shown.

use std::net::{IpAddr, Ipv6Addr};

use agent_abi::{
    Event as KernelEvent, Reason, Right, Verdict, event::Detail, ledger::NO_RULE,
    right::FILE_RIGHTS, socket_option,
};

use agent_grant::syntax::capabilities;

use crate::{
    api::{Event, EventProcess, PathText, RuleRef, SCHEMA, Word},
    clock::BootClock,
    kernel::OwnedEvent,
    mounts::Names,
    process,
};

/// What is known of the session that an event names.
pub(in crate::daemon) struct Context<'a> {
    pub(in crate::daemon) session: &'a str,
    pub(in crate::daemon) rules: &'a [RuleRef],
    pub(in crate::daemon) names: Option<&'a Names>,
    pub(in crate::daemon) clock: BootClock,
}

/// The event for people and the store.
pub(super) fn translate(event: &OwnedEvent, context: &Context<'_>) -> Event {
    let OwnedEvent {
        event: kernel,
        path,
    } = event;
    let right = Right::from_number(kernel.right);
    let on_path = (kernel.right as usize) < FILE_RIGHTS || (kernel.dev != 0 && !path.is_empty());
    let path_text = on_path.then(|| full_path(kernel, path, context.names));
    let object = match (&path_text, right) {
        (Some(path), _) => path.text.clone(),
        (None, Some(right)) => object(kernel, path, right),
        (None, None) => format!("right {}", kernel.right),
    };
    let rule = (kernel.rule != NO_RULE).then(|| rule(kernel.rule, context.rules));
    Event {
        schema: SCHEMA,
        id: 0,
        time: context.clock.at(kernel.time),
        session: context.session.into(),
        verdict: word(
            Verdict::from_number(kernel.verdict).map(Into::into),
            kernel.verdict,
        ),
        right: word(right, kernel.right),
        reason: word(Reason::from_number(kernel.reason), kernel.reason),
        rule,
        object,
        path: path_text,
        truncated: kernel.truncated != 0,
        moved: kernel.moved != 0,
        device: (kernel.dev != 0).then(|| device(kernel.dev)),
        inode: (kernel.ino != 0).then_some(kernel.ino),
        process: EventProcess {
            pid: kernel.pid,
            tid: kernel.tid,
            parent: kernel.parent,
            uid: kernel.uid,
            comm: comm(&kernel.comm),
            cgroup: kernel.cgroup,
        },
        count: 1,
    }
}

/// The kernel side can be of another build.
fn word<T>(known: Option<T>, number: u8) -> Word<T> {
    known.map_or_else(|| Word::Other(format!("unknown-{number}")), Word::Known)
}

/// The path as the session sees it; `?dev=8:1/path` where it sees none, and `?dev=8:1?inode=12` of a file
/// that was opened by handle and has no name that the kernel knows.
fn full_path(event: &KernelEvent, path: &[u8], names: Option<&Names>) -> PathText {
    if path.is_empty() && event.reason == Reason::Unresolvable as u8 {
        let nameless = format!("?dev={}?inode={}", device(event.dev), event.ino);
        return PathText::new(nameless.as_bytes());
    }
    let inner = if path.is_empty() && event.truncated == 0 {
        b"/"
    } else {
        path
    };
    let seen = if event.truncated == 0 {
        names.and_then(|names| names.full_path(event.dev, inner))
    } else {
        Some(path.to_vec())
    };
    let unseen = || [format!("?dev={}", device(event.dev)).as_bytes(), inner].concat();
    PathText::new(&seen.unwrap_or_else(unseen))
}

fn rule(number: u16, rules: &[RuleRef]) -> RuleRef {
    let known = rules.iter().find(|rule| rule.number == number).cloned();
    known.unwrap_or_else(|| RuleRef {
        number,
        id: format!("rule {number}"),
        reason: None,
        place: None,
    })
}

fn object(event: &KernelEvent, path: &[u8], right: Right) -> String {
    let detail = &event.detail;
    match right {
        Right::NetConnect => destination(event),
        Right::NetSocket => format!(
            "socket family {} type {} protocol {}",
            detail.words[0],
            detail.words[1],
            detail.extra >> 16
        ),
        Right::NetOption => option(detail),
        Right::UnixConnect => format!("@{}", String::from_utf8_lossy(path)),
        Right::ProcessSignal => {
            format!(
                "{} signal {}",
                target(detail.words[0]),
                signal(detail.words[1])
            )
        }
        Right::ProcessControl if detail.words[0] == 0 && detail.words[1] != 0 => {
            format!("process group {}", detail.words[1])
        }
        Right::ProcessPtrace | Right::ProcessControl => target(detail.words[0]),
        Right::ProcessCapability => capability(detail.words[0]),
        Right::ProcessIpc => format!("object {} key {:#x}", detail.words[0], detail.words[1]),
        _ if path.is_empty() => "-".into(),
        _ => String::from_utf8_lossy(path).into_owned(),
    }
}

/// As a grant writes it: `net_bind_service`.
fn capability(number: u64) -> String {
    let name = usize::try_from(number)
        .ok()
        .and_then(|number| capabilities::NAMES.get(number));
    name.map_or_else(|| format!("capability {number}"), |name| (*name).into())
}

/// `IPV6_RTHDR`, or by numbers what has no name here.
fn option(detail: &Detail) -> String {
    let [level, number] = detail.words.map(|word| word as u32);
    let kind = match detail.extra {
        0 => "option",
        1 => "control message",
        _ => return "several datagrams to addresses in one sendmmsg".into(),
    };
    let level_name =
        socket_option::level_name(level).map_or_else(|| format!("level {level}"), str::to_owned);
    let name = socket_option::refused_name(level, number)
        .map_or_else(|| number.to_string(), str::to_owned);
    format!("{kind} {name} of {level_name}")
}

/// As a grant writes it: `10.0.0.1:443/tcp`.
fn destination(event: &KernelEvent) -> String {
    let mut bytes = [0u8; 16];
    bytes[..8].copy_from_slice(&event.detail.words[0].to_ne_bytes());
    bytes[8..].copy_from_slice(&event.detail.words[1].to_ne_bytes());
    let (port, protocol) = event.detail.port_and_protocol();
    let protocol = match protocol {
        6 => "tcp".into(),
        17 => "udp".into(),
        number => number.to_string(),
    };
    match Ipv6Addr::from(bytes).to_canonical() {
        IpAddr::V4(address) => format!("{address}:{port}/{protocol}"),
        IpAddr::V6(address) => format!("[{address}]:{port}/{protocol}"),
    }
}

fn target(pid: u64) -> String {
    let name = u32::try_from(pid).ok().and_then(process::comm);
    name.map_or_else(|| format!("process {pid}"), |name| format!("{name}[{pid}]"))
}

fn signal(number: u64) -> String {
    let known = i32::try_from(number)
        .ok()
        .and_then(|n| nix::sys::signal::Signal::try_from(n).ok());
    known.map_or_else(|| number.to_string(), |signal| signal.as_str().into())
}

fn device(dev: u32) -> String {
    format!("{}:{}", dev >> 20, dev & 0xf_ffff)
}

fn comm(bytes: &[u8; 16]) -> String {
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// Folds neighbours that tell the same into one, with their count.
pub(super) fn fold(events: Vec<Event>) -> Vec<Event> {
    let mut folded = Vec::<Event>::with_capacity(events.len());
    for event in events {
        let same = |last: &Event| {
            let alike = Event {
                time: last.time,
                count: last.count,
                ..event.clone()
            };
            alike == *last
        };
        match folded.last_mut().filter(|last| same(last)) {
            Some(last) => last.count += event.count,
            None => folded.push(event),
        }
    }
    folded
}

#[cfg(test)]
mod tests;
