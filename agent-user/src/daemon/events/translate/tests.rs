//! What people are told, field by field.

use agent_abi::event::Detail;

use super::*;
use crate::mounts::{Mount, MountView};

fn context<'a>(view: &'a MountView, rules: &'a [RuleRef]) -> Context<'a> {
    Context {
        session: "coder-1",
        rules,
        names: Some(view.names()),
        clock: BootClock::now(),
    }
}

fn view() -> MountView {
    MountView::new(&[
        Mount {
            id: 1,
            parent: 0,
            dev: 8 << 20 | 1,
            root: b"/".into(),
            point: b"/".into(),
            fstype: "ext4".into(),
            source: "none".into(),
            options: Vec::new(),
        },
        Mount {
            id: 2,
            parent: 1,
            dev: 23,
            root: b"/".into(),
            point: b"/tmp".into(),
            fstype: "tmpfs".into(),
            source: "none".into(),
            options: Vec::new(),
        },
    ])
}

fn event(right: Right) -> KernelEvent {
    KernelEvent {
        right: right as u8,
        verdict: Verdict::Deny as u8,
        reason: Reason::NoRule as u8,
        rule: NO_RULE,
        dev: 23,
        comm: *b"cat\0\0\0\0\0\0\0\0\0\0\0\0\0",
        ..KernelEvent::default()
    }
}

#[test]
fn a_path_begins_with_its_mount_point() {
    let view = view();
    let owned = OwnedEvent {
        event: event(Right::FileRead),
        path: b"/a/b".into(),
    };
    let shown = translate(&owned, &context(&view, &[]));
    assert_eq!(shown.object, "/tmp/a/b");
    assert_eq!(
        (shown.verdict.as_str(), shown.right.as_str()),
        ("deny", "file.read")
    );
    assert_eq!(shown.process.comm, "cat");
    assert_eq!(shown.rule, None);
    let top = OwnedEvent {
        path: vec![],
        ..owned.clone()
    };
    assert_eq!(translate(&top, &context(&view, &[])).object, "/tmp");
    let mut by_handle = top.clone();
    by_handle.event.reason = Reason::Unresolvable as u8;
    by_handle.event.ino = 12;
    let shown = translate(&by_handle, &context(&view, &[])).object;
    assert!(
        shown.starts_with("?dev=") && shown.ends_with("?inode=12"),
        "{shown}"
    );
    let mut unseen = owned;
    unseen.event.dev = 8 << 20 | 2;
    assert_eq!(
        translate(&unseen, &context(&view, &[])).object,
        "?dev=8:2/a/b"
    );
}

#[test]
fn a_destination_is_written_as_in_a_grant() {
    let view = view();
    let connect = |address: Ipv6Addr, port: u64, protocol: u64| {
        let bytes = address.octets();
        let word = |half: &[u8]| u64::from_ne_bytes(half.try_into().unwrap());
        let words = [word(&bytes[..8]), word(&bytes[8..])];
        let detail = Detail {
            words,
            extra: port | protocol << 16,
        };
        let event = KernelEvent {
            detail,
            dev: 0,
            ..event(Right::NetConnect)
        };
        translate(
            &OwnedEvent {
                event,
                path: vec![],
            },
            &context(&view, &[]),
        )
        .object
    };
    let v4 = std::net::Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped();
    assert_eq!(connect(v4, 443, 6), "10.0.0.1:443/tcp");
    assert_eq!(connect(Ipv6Addr::LOCALHOST, 53, 17), "[::1]:53/udp");
}

fn shown(event: KernelEvent, path: &[u8]) -> Event {
    let view = view();
    let owned = OwnedEvent {
        event,
        path: path.into(),
    };
    translate(&owned, &context(&view, &[]))
}

#[test]
fn what_has_no_path_is_told_by_what_it_was_for() {
    let told = |right, words, extra, path: &[u8]| {
        let detail = Detail { words, extra };
        let bare = KernelEvent {
            detail,
            dev: 0,
            ..event(right)
        };
        shown(bare, path).object
    };
    // No process has so high a number.
    let nobody = u64::from(u32::MAX);
    let own = u64::from(std::process::id());
    let own_name = process::comm(std::process::id()).unwrap();
    for (right, words, extra, path, expected) in [
        (
            Right::NetSocket,
            [17, 3],
            768 << 16,
            "",
            "socket family 17 type 3 protocol 768",
        ),
        (
            Right::NetOption,
            [41, 57],
            1,
            "",
            "control message IPV6_RTHDR of IPPROTO_IPV6",
        ),
        (
            Right::NetOption,
            [41, 57],
            0,
            "",
            "option IPV6_RTHDR of IPPROTO_IPV6",
        ),
        (
            Right::NetOption,
            [9999, 8888],
            0,
            "",
            "option 8888 of level 9999",
        ),
        (
            Right::NetOption,
            [0, 0],
            2,
            "",
            "several datagrams to addresses in one sendmmsg",
        ),
        (Right::UnixConnect, [0, 0], 0, "bus", "@bus"),
        (
            Right::ProcessSignal,
            [nobody, 9],
            0,
            "",
            "process 4294967295 signal SIGKILL",
        ),
        (
            Right::ProcessSignal,
            [nobody, 200],
            0,
            "",
            "process 4294967295 signal 200",
        ),
        (Right::ProcessControl, [0, 77], 0, "", "process group 77"),
        (
            Right::ProcessControl,
            [nobody, 77],
            0,
            "",
            "process 4294967295",
        ),
        (
            Right::ProcessControl,
            [nobody, 0],
            0,
            "",
            "process 4294967295",
        ),
        (Right::ProcessControl, [0, 0], 0, "", "process 0"),
        (Right::ProcessPtrace, [0, 77], 0, "", "process 0"),
        (
            Right::ProcessPtrace,
            [own, 0],
            0,
            "",
            &format!("{own_name}[{own}]"),
        ),
        (Right::ProcessCapability, [21, 0], 0, "", "sys_admin"),
        (Right::ProcessCapability, [900, 0], 0, "", "capability 900"),
        (Right::ProcessIpc, [3, 0x10], 0, "", "object 3 key 0x10"),
        (Right::KernelMount, [0, 0], 0, "", "-"),
        (Right::KernelBpf, [0, 0], 0, "name", "name"),
        (Right::NetConnect, [0, 0], 80 | 132 << 16, "", "[::]:80/132"),
    ] {
        assert_eq!(told(right, words, extra, path.as_bytes()), expected);
    }
}

#[test]
fn every_field_of_an_event_is_its_own() {
    let all = KernelEvent {
        slot: 1,
        generation: 2,
        pid: 3,
        tid: 4,
        parent: 5,
        uid: 6,
        cgroup: 7,
        ino: 8,
        dev: 8 << 20 | 0x1_0001,
        truncated: 1,
        ..event(Right::FileWrite)
    };
    let told = shown(all, b"/end");
    let process = &told.process;
    assert_eq!(
        (
            process.pid,
            process.tid,
            process.parent,
            process.uid,
            process.cgroup
        ),
        (3, 4, 5, 6, 7)
    );
    assert_eq!(
        (told.inode, told.device.as_deref()),
        (Some(8), Some("8:65537"))
    );
    assert!(told.truncated && !told.moved);
    let moved = shown(
        KernelEvent {
            moved: 1,
            ..event(Right::FileWrite)
        },
        b"/x",
    );
    assert!(moved.moved && !moved.truncated);
    // What there is none of is not told as zero.
    let none = KernelEvent {
        dev: 0,
        ino: 0,
        comm: *b"sixteen-letters!",
        ..event(Right::ProcessJit)
    };
    let told = shown(none, b"");
    assert_eq!(
        (&told.inode, &told.device, &told.path),
        (&None, &None, &None)
    );
    assert_eq!(told.process.comm, "sixteen-letters!");
}

#[test]
fn of_a_path_that_is_too_long_the_end_is_shown_as_it_is() {
    let truncated = |path: &[u8]| {
        let event = KernelEvent {
            truncated: 1,
            ..event(Right::FileRead)
        };
        shown(event, path).object
    };
    // It is below no mount point that could be told.
    assert_eq!(truncated(b"/the/end"), "/the/end");
    assert_eq!(truncated(b""), "");
    let other = KernelEvent {
        dev: 8 << 20 | 2,
        ..event(Right::FileRead)
    };
    assert_eq!(shown(other, b"").object, "?dev=8:2/");
    // Something other than a file's right that has a path after all.
    assert_eq!(shown(event(Right::KernelMount), b"/a").object, "/tmp/a");
    let bare = KernelEvent {
        dev: 0,
        ..event(Right::KernelMount)
    };
    assert_eq!(shown(bare, b"/a").path, None);
}

#[test]
fn what_another_build_numbers_is_told_by_its_number() {
    let strange = KernelEvent {
        right: 250,
        verdict: 251,
        reason: 252,
        ..event(Right::ProcessJit)
    };
    let told = shown(strange, b"");
    assert_eq!(told.object, "right 250");
    assert_eq!(
        (
            told.right.as_str(),
            told.verdict.as_str(),
            told.reason.as_str()
        ),
        ("unknown-250", "unknown-251", "unknown-252")
    );
}

#[test]
fn the_deciding_rule_is_named() {
    let view = view();
    let rules = [RuleRef {
        number: 4,
        id: "secrets".into(),
        reason: Some("Ask.".into()),
        place: None,
    }];
    let mut owned = OwnedEvent {
        event: event(Right::FileRead),
        path: b"/x".into(),
    };
    owned.event.rule = 4;
    assert_eq!(
        translate(&owned, &context(&view, &rules)).rule.unwrap().id,
        "secrets"
    );
    owned.event.rule = 5;
    assert_eq!(
        translate(&owned, &context(&view, &rules)).rule.unwrap().id,
        "rule 5"
    );
}

#[test]
fn neighbours_that_tell_the_same_become_one() {
    let view = view();
    let at = |path: &[u8], time| {
        let event = KernelEvent {
            time,
            ..event(Right::FileRead)
        };
        let owned = OwnedEvent {
            event,
            path: path.into(),
        };
        translate(&owned, &context(&view, &[]))
    };
    let folded = fold(vec![at(b"/a", 1), at(b"/a", 2), at(b"/b", 3), at(b"/a", 4)]);
    assert_eq!(
        folded.iter().map(|event| event.count).collect::<Vec<_>>(),
        [2, 1, 1]
    );
    // What was folded before counts as often as it was.
    let again = fold(vec![folded[0].clone(), at(b"/a", 5), folded[1].clone()]);
    assert_eq!(
        again.iter().map(|event| event.count).collect::<Vec<_>>(),
        [3, 1]
    );
    assert_eq!(again[0].time, folded[0].time);
}
