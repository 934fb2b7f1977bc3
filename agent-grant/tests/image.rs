//! Images: roots of filesystems, rules that every session has, limits.

mod common;

use agent_abi::{
    FileRights, Image, Reason, Right, Surface, image::SINK, ledger::NO_RULE, limits::MAX_DEPTH,
};
use agent_decide::{
    New, Old, Record,
    automaton::{is_settled, next},
    judge,
};
use agent_grant::{
    CompileOptions, Compiled, ImageError, ImageParams, Protected, VisibleFilesystem, VisibleMount,
    compile, explain, interpret::Interpreter,
};
use common::{compile_text, load_text, plain_image, whole};

const GRANT: &str = r#"
version = 1
name = "image"
mode = "audit"
[[file]]
allow = ["read"]
path = ["/home/**", "/srv/data/**"]
[[file]]
deny = ["read"]
path = ["/home/*/.ssh/**"]
[process]
jit = true
signal = "any"
capabilities = ["cap_kill", "NET_BIND_SERVICE"]
"#;

fn mount(root: &str, at: &str) -> VisibleMount {
    VisibleMount {
        root: root.as_bytes().to_vec(),
        at: at.as_bytes().to_vec(),
    }
}

fn image(grant: &Compiled, superblocks: &[VisibleFilesystem]) -> Box<Image> {
    grant
        .image(&ImageParams {
            generation: 7,
            policy: 8,
            epoch: 9,
            superblocks,
        })
        .expect("fits")
}

fn moves(grant: &Compiled, old: &[u8], new: &[u8]) -> bool {
    grant.may_move(true, Old(old), New(new))
}

fn reads(image: &Image, superblock: u32, path: &str) -> bool {
    let kernel = Interpreter::new(image).unwrap();
    kernel
        .decide(
            kernel.walk(kernel.root(superblock), path.as_bytes()),
            Right::FileRead,
        )
        .0
}

#[test]
fn header_says_what_the_grant_says() {
    let grant = compile_text(GRANT);
    let image = plain_image(&grant);
    assert_eq!(image.header.audit, 1);
    assert_eq!(image.header.capabilities, 1 << 5 | 1 << 10);
    assert_eq!(
        image.header.surface,
        Surface::Jit.bit() | Surface::SignalAny.bit()
    );
    let sink = Interpreter::new(&image).unwrap();
    assert_eq!(sink.walk(0, b"/any/thing"), 0);
    assert_eq!(sink.decide(0, Right::FileRead), (false, NO_RULE));
}

#[test]
fn whole_filesystems_begin_at_their_mount_point() {
    let grant = compile_text(GRANT);
    let view = VisibleFilesystem {
        number: 3,
        // The topmost mount counts, in whatever order they come.
        mounts: vec![
            mount("/", "/srv/data/deep"),
            mount("", "/home"),
            mount("/u", "/srv/data"),
        ],
    };
    let image = image(&grant, &[whole(0), view]);
    assert!(reads(&image, 3, "/u/notes") && reads(&image, 3, ""));
    assert!(!reads(&image, 3, "/u/.ssh/id"));
    assert!(reads(&image, 0, "/home/u/notes") && !reads(&image, 0, "/etc/passwd"));
    // No such filesystem: nothing.
    assert!(!reads(&image, 4, "/home/u"));
}

#[test]
fn partly_visible_filesystems_show_their_directories_only() {
    let grant = compile_text(GRANT);
    let view = VisibleFilesystem {
        number: 5,
        mounts: vec![
            mount("/@home", "/home"),
            mount("/@homework/x", "/srv/data"),
            mount("/@home/u", "/etc"),
            mount("/@root", "/"),
        ],
    };
    let image = image(&grant, &[whole(0), view]);
    assert!(reads(&image, 5, "/@home") && reads(&image, 5, "/@home/u/notes"));
    assert!(!reads(&image, 5, "/@home/u/.ssh/id"));
    assert!(reads(&image, 5, "/@homework/x/y") && !reads(&image, 5, "/@homework"));
    assert!(!reads(&image, 5, "/@homeworks") && !reads(&image, 5, "/@homes/u"));
    assert!(!reads(&image, 5, "") && !reads(&image, 5, "/") && !reads(&image, 5, "/@hom"));
    assert!(reads(&image, 5, "/@root/home/u") && !reads(&image, 5, "/@root/etc"));
    // The other filesystem is as it was.
    assert!(reads(&image, 0, "/home/u/notes") && !reads(&image, 0, "/home/u/.ssh/x"));
    let kernel = Interpreter::new(&image).unwrap();
    let state = |superblock: u32, path: &str| kernel.walk(kernel.root(superblock), path.as_bytes());
    assert!(kernel.may_move(
        true,
        Old(state(0, "/home/u/b")),
        New(state(5, "/@home/u/a"))
    ));
    assert!(kernel.may_move(true, Old(state(0, "/home")), New(state(5, "/@home"))));
    assert!(!kernel.may_move(
        true,
        Old(state(5, "/@other/b")),
        New(state(5, "/@home/u/a"))
    ));
}

#[test]
fn a_refusal_tells_all_that_is_missing_and_the_rule_of_the_first() {
    let grant = compile_text(
        r#"
version = 1
name = "refusals"
[[file]]
id = "read"
allow = ["read"]
path = ["/d/**"]
[[file]]
id = "no-write"
deny = ["write"]
path = ["/d/**"]
[[file]]
id = "no-attr"
deny = ["attr"]
path = ["/d/**"]
"#,
    );
    let image = plain_image(&grant);
    let kernel = Interpreter::new(&image).unwrap();
    let state = kernel.walk(kernel.root(0), b"/d/f");
    let record = Record::of(&image, state.into());
    let refused = |wanted| judge(&image, record, wanted).unwrap_err();
    assert_eq!(judge(&image, record, FileRights::READ), Ok(()));
    let (write, attr, create) = (FileRights::WRITE, FileRights::ATTR, FileRights::CREATE);
    for (wanted, missing, first) in [
        (FileRights::READ.union(write), write, Right::FileWrite),
        (FileRights::READ.union(attr), attr, Right::FileAttr),
        (write.union(attr), write.union(attr), Right::FileWrite),
        (create.union(attr), create.union(attr), Right::FileCreate),
    ] {
        let refusal = refused(wanted);
        let (_, rule) = kernel.decide(state, first);
        assert_eq!((refusal.missing, refusal.rule), (missing, rule));
        let reason = if first == Right::FileCreate {
            Reason::NoRule
        } else {
            Reason::Rule
        };
        assert_eq!(refusal.reason, reason, "{wanted:?}");
    }
    let of = |right| kernel.decide(state, right).1;
    assert_ne!(of(Right::FileWrite), of(Right::FileAttr));
    assert_eq!(of(Right::FileCreate), NO_RULE);
}

/// The kernel side refuses a name of several spellings only where the state is not settled, and reads no name on
/// where it is.
#[test]
fn a_state_is_settled_where_no_byte_of_a_name_leads_out_of_it() {
    let image = plain_image(&compile_text(GRANT));
    let mut found = vec![u64::from(Interpreter::new(&image).unwrap().root(0))];
    let mut settled = 0;
    let mut at = 0;
    while let Some(state) = found.get(at).copied() {
        at += 1;
        let step = |byte: u8| next(&image, state, u64::from(byte));
        for to in (1..=u8::MAX).map(step) {
            if to != u64::from(SINK) && !found.contains(&to) {
                found.push(to);
            }
        }
        let stays = (1..=u8::MAX).all(|byte| byte == b'/' || step(byte) == state);
        assert_eq!(is_settled(&image, state), stays, "{state}");
        settled += usize::from(stays);
    }
    assert!(
        settled > 0 && settled < found.len(),
        "{settled} of {found:?}"
    );
}

#[test]
fn nonsense_mounts_are_errors() {
    let grant = compile_text(GRANT);
    let image = |view| {
        grant.image(&ImageParams {
            generation: 1,
            policy: 1,
            epoch: 1,
            superblocks: &[view],
        })
    };
    assert_eq!(
        image(whole(1024)).err(),
        Some(ImageError::SuperblockNumber(1024))
    );
    for bad in ["home", "/a//b", "/a/../b"] {
        let view = VisibleFilesystem {
            number: 0,
            mounts: vec![mount("/", bad)],
        };
        assert!(matches!(image(view), Err(ImageError::Path(_))), "{bad}");
    }
}

#[test]
fn no_grant_lets_a_session_change_its_limits() {
    let everything =
        load_text("version = 1\nname = \"all\"\n[[file]]\nallow = [\"all\"]\npath = [\"/**\"]\n");
    let options = CompileOptions {
        protected: Protected {
            program: vec![b"/usr/bin/bailiff".to_vec()],
            ..Protected::default()
        },
    };
    let grant = compile(&everything, &options).expect("compiles");
    let refused = [
        ("/var/lib/bailiff", Right::FileList),
        ("/var/lib/bailiff/store.db", Right::FileRead),
        ("/sys/fs/bpf/bailiff/LABELS", Right::FileRead),
        ("/run/bailiff/bailiff.sock", Right::FileDelete),
        ("/run/bailiff/other.sock", Right::FileConnect),
        ("/sys/fs/cgroup/x/cgroup.procs", Right::FileWrite),
        ("/etc/bailiff/grants/a.toml", Right::FileWrite),
        ("/usr/bin/bailiff", Right::FileWrite),
        ("/usr/bin/bailiff", Right::FileDelete),
        ("/proc/1/mem", Right::FileWrite),
        ("/proc/1/task/2/mem", Right::FileWrite),
        ("/proc/sys/kernel/core_pattern", Right::FileWrite),
        ("/proc/sysrq-trigger", Right::FileWrite),
        ("/sys/kernel/security/lockdown", Right::FileWrite),
        ("/sys/kernel/security/apparmor/.load", Right::FileWrite),
        ("/sys/kernel/uevent_helper", Right::FileWrite),
        ("/sys/kernel/debug/kprobes/enabled", Right::FileWrite),
        ("/sys/kernel/livepatch/fix/enabled", Right::FileWrite),
        ("/sys/fs/selinux/enforce", Right::FileWrite),
    ];
    for (path, right) in refused {
        let (allowed, rule) = grant.decide(path.as_bytes(), right);
        assert!(!allowed, "{path} {right:?}");
        assert!(
            grant
                .rule(rule)
                .is_some_and(|rule| rule.id.starts_with("bailiff:")),
            "{path}"
        );
    }
    let allowed = [
        ("/run/bailiff/bailiff.sock", Right::FileConnect),
        ("/usr/bin/bailiff", Right::FileExec),
        ("/etc/bailiff/grants/a.toml", Right::FileRead),
        ("/proc/1/status", Right::FileRead),
        ("/usr/bin/bailiff2", Right::FileWrite),
        ("/sys/kernel/mm/ksm/run", Right::FileWrite),
        ("/sys/kernel/security/lockdown", Right::FileRead),
        ("/", Right::FileList),
    ];
    for (path, right) in allowed {
        let path = if path == "/" { "" } else { path };
        assert!(grant.decide(path.as_bytes(), right).0, "{path} {right:?}");
    }
    // Nor by moving a directory around them.
    assert!(!moves(&grant, b"/run/bailiff", b"/run/x"));
    assert!(!moves(&grant, b"/run", b"/r"));
    assert!(moves(&grant, b"/w/b", b"/w/a"));
}

#[test]
fn prepared_content_cannot_be_moved_in() {
    let grant = compile_text(
        r#"
        version = 1
        name = "hooks"
        [[file]]
        allow = ["all"]
        path = ["/w/**"]
        [[file]]
        deny = ["write", "create"]
        path = ["/**/.git/hooks/*"]
        "#,
    );
    assert!(!moves(&grant, b"/w/prepared", b"/w/.git"));
    assert!(!moves(&grant, b"/w/prepared", b"/w/.git/hooks"));
    assert!(!moves(&grant, b"/w/.git", b"/w/other"));
    assert!(!moves(&grant, b"/w/.git/hooks/x", b"/w/sub"));
    assert!(moves(&grant, b"/w/a", b"/w/b"));
    assert!(moves(&grant, b"/w/.git/index.lock", b"/w/.git/index"));
    assert!(moves(&grant, b"/w/b/.git", b"/w/a/.git"));
}

#[test]
fn too_large_names_the_heaviest_pattern() {
    let stars: Vec<_> = (0..24)
        .map(|n| {
            let c = char::from(b'a' + n);
            format!("\"/**/{c}*/**/*{c}*{c}\"")
        })
        .collect();
    let text = format!(
        "version = 1\nname = \"x\"\n[[file]]\nallow = [\"read\"]\npath = [{}]\n",
        stars.join(", ")
    );
    let errors = compile(&load_text(&text), &CompileOptions::default()).unwrap_err();
    let place = errors.0[0].location.as_ref().unwrap();
    assert!(
        errors.to_string().contains("too large an automaton") && place.text().contains("/**/"),
        "{errors}"
    );
}

/// Next state in the image's transition table, as a hook reads it.
fn step(image: &Image, state: u32, byte: u8) -> u32 {
    let class = u32::from(image.classes[usize::from(byte)]);
    u32::from(image.words[(state * image.header.columns + class) as usize])
}

#[test]
fn settled_states_are_those_that_only_a_slash_leaves() {
    let grant = compile_text(GRANT);
    let views = [
        whole(1),
        VisibleFilesystem {
            number: 2,
            mounts: vec![mount("/volumes/a", "/srv"), mount("/volumes/b", "/home/b")],
        },
    ];
    let image = image(&grant, &views);
    let header = &image.header;
    assert!(
        (2..header.states).contains(&header.settled),
        "both kinds exist: {} of {}",
        header.settled,
        header.states
    );
    let stays = |state: u32| {
        (1..=u8::MAX)
            .filter(|byte| *byte != b'/')
            .all(|byte| step(&image, state, byte) == state)
    };
    for state in header.settled..header.states {
        assert!(stays(state), "state {state} is left within a name");
    }
    for state in 1..header.settled {
        assert!(!stays(state), "state {state} is settled and does not count");
    }
}

#[test]
fn what_is_deeper_than_the_kernel_goes_is_refused_and_said_so() {
    let grant = compile_text(
        "version = 1\nname = \"deep\"\n[[file]]\nallow = [\"read\"]\npath = [\"/**\"]\n",
    );
    let at = |depth: usize| b"/d".repeat(depth);
    for (depth, allowed) in [(1, true), (MAX_DEPTH, true), (MAX_DEPTH + 1, false)] {
        let path = at(depth);
        assert_eq!(grant.decide(&path, Right::FileRead).0, allowed, "{depth}");
        let explained = explain(&grant, &path, Right::FileRead).expect("a file right");
        assert_eq!(explained.allowed, allowed, "{depth}");
        assert_eq!(
            explained.change.contains("directories above it"),
            !allowed,
            "{}",
            explained.change
        );
    }
    // As long as a name can be, and longer than any.
    for (length, allowed) in [(255, true), (256, false)] {
        let long = [b"/", "x".repeat(length).as_bytes()].concat();
        assert_eq!(grant.decide(&long, Right::FileRead).0, allowed, "{length}");
    }
}
