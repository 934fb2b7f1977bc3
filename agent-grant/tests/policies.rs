//! The grants that ship do what they say.

use std::collections::{BTreeMap, BTreeSet};

use agent_abi::Right;
use agent_decide::{New, Old};
use agent_grant::{
    CompileOptions, Grant, Rule, Source, compile, load_for_tests, net, run_tests, shipped,
    shipped_includes, shipped_names,
};

#[test]
fn expectations_hold() {
    for name in shipped_names() {
        let grant = shipped_grant(name);
        let compiled = compile(&grant, &CompileOptions::default()).unwrap();
        let outcomes = run_tests(&compiled);
        assert!(outcomes.is_empty() == PARTS.contains(&name), "{name}");
        for outcome in outcomes {
            assert!(
                outcome.passed,
                "{}: {} should be {}, {:?}",
                outcome.location,
                outcome.question,
                if outcome.expected_allow {
                    "allowed"
                } else {
                    "denied"
                },
                outcome.answer
            );
        }
        assert!(compiled.attributes_all, "{name}");
        println!(
            "{name}: {} states, {} columns, {} labels, {} classes, {} bytes",
            compiled.dfa.states(),
            compiled.dfa.columns,
            compiled.dfa.labels.len(),
            compiled.refer.classes,
            compiled.table_bytes()
        );
    }
}

/// As its tests see it.
fn shipped_grant(name: &str) -> Grant {
    shipped_with(name, &[])
}

fn shipped_with(name: &str, set: &[(&str, &str)]) -> Grant {
    let set = set
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    load_for_tests(
        shipped(name).unwrap(),
        None,
        set.collect(),
        &shipped_includes,
    )
    .unwrap_or_else(|errors| panic!("{errors}"))
}

/// Grants that allow nothing by themselves. What they deny is tried where they are included.
const PARTS: [&str; 2] = ["secrets", "delayed-code"];

/// Where nothing allows what they deny; they have tests of their own.
const WHERE_NOTHING_ALLOWS_IT: [&str; 4] = [
    "start-up-files",
    "no-network",
    "claude-later",
    "codex-later",
];

/// A rule that can be taken away without a failing test could be lost in an edit without anybody's
/// noticing.
#[test]
fn every_rule_is_held_by_a_test() {
    let mut loose = BTreeSet::new();
    let mut held = BTreeSet::new();
    for name in shipped_names() {
        let grant = shipped_grant(name);
        let is_tried_here = |rule: &Rule| {
            let at = rule.location.as_ref().expect("a written rule");
            let file = at.source.name.split('.').next().unwrap_or_default();
            file == name || PARTS.contains(&file)
        };
        for number in (0..grant.rules.len()).filter(|n| is_tried_here(&grant.rules[*n])) {
            let mut without = grant.clone();
            let rule = without.rules.remove(number);
            let compiled = compile(&without, &CompileOptions::default()).unwrap();
            let fails = run_tests(&compiled).iter().any(|outcome| !outcome.passed);
            if fails {
                held.insert(rule.id);
            } else if !WHERE_NOTHING_ALLOWS_IT.contains(&rule.id.as_str()) {
                loose.insert(rule.id);
            }
        }
    }
    let loose = loose.difference(&held).collect::<Vec<_>>();
    assert!(
        loose.is_empty(),
        "no test notices if these are gone: {loose:?}"
    );
}

#[test]
fn offline_stays_so_whatever_is_added() {
    let text = "version = 1\nname = \"x\"\ninclude = [\"offline\"]\n\
        [[net]]\nallow = [\"connect\"]\nto = [\"*:*\"]\n";
    let added = load_for_tests(
        Source::new("x", text),
        None,
        BTreeMap::new(),
        &shipped_includes,
    );
    let added = compile(&added.unwrap(), &CompileOptions::default()).unwrap();
    let endpoint = net::parse_endpoint("127.0.0.1:80/tcp").unwrap();
    assert!(!added.decide_net(endpoint).0);
}

#[test]
fn start_up_files_stay_where_home_is_the_workspace() {
    let grant = shipped_with("coder", &[("cwd", "/home/agent")]);
    let coder = compile(&grant, &CompileOptions::default()).unwrap();
    let may = |path: &str, right| coder.decide(path.as_bytes(), right).0;
    assert!(may("/home/agent/.bashrc", Right::FileRead));
    assert!(may("/home/agent/.bash_history", Right::FileWrite));
    for path in [
        "/home/agent/.bashrc",
        "/home/agent/.config/systemd/user/x.service",
        "/home/agent/.zshenv",
    ] {
        for right in [
            Right::FileWrite,
            Right::FileCreate,
            Right::FileDelete,
            Right::FileAttr,
        ] {
            assert!(!may(path, right), "{path} {right:?}");
        }
    }
    assert!(!may("/home/agent/.ssh/id_rsa", Right::FileRead));
}

/// Where an agent's own rules name what it may write, the rest is closed by that; a workspace that holds it all is
/// another matter.
#[test]
fn what_an_agent_takes_commands_from_stays_where_home_is_the_workspace() {
    for (name, paths) in [
        ("claude", [".claude.json", ".claude/shell-snapshots/0.sh"]),
        ("codex", [".codex/config.toml", ".agents/skills/a/SKILL.md"]),
        (
            "gemini",
            [".gemini/settings.json", ".agents/skills/a/SKILL.md"],
        ),
    ] {
        let grant = shipped_with(name, &[("cwd", "/home/agent")]);
        let agent = compile(&grant, &CompileOptions::default()).unwrap();
        assert!(agent.decide(b"/home/agent/main.c", Right::FileWrite).0);
        for path in paths {
            let path = format!("/home/agent/{path}");
            for right in [Right::FileWrite, Right::FileCreate, Right::FileDelete] {
                assert!(!agent.decide(path.as_bytes(), right).0, "{path} {right:?}");
            }
        }
    }
}

/// Directories move by the exact relation.
#[test]
fn no_grant_is_too_large_for_the_relation_of_moves() {
    for name in shipped_names() {
        let compiled = compile(&shipped_grant(name), &CompileOptions::default()).unwrap();
        assert!(compiled.refer.allowed.is_some(), "{name}");
    }
}

#[test]
fn git_hooks_are_not_reached_by_moves() {
    let coder = compile(&shipped_grant("coder"), &CompileOptions::default()).unwrap();
    let at = |path: &str| format!("/home/agent/project/{path}").into_bytes();
    for (old, new) in [
        ("prepared", ".git"),
        ("prepared", ".git/hooks"),
        ("prepared", ".git/hooks/pre-commit"),
        ("prepared", ".git/modules/sub"),
        ("prepared", ".git/modules/sub/hooks"),
        (".git", "away"),
        (".git/hooks", "away"),
        ("prepared", ".github"),
        ("prepared", ".vscode"),
        ("clone/.git", ".git"),
        ("prepared", "clone/.git"),
    ] {
        assert!(
            !coder.may_move(true, Old(&at(old)), New(&at(new))),
            "{old} -> {new}"
        );
    }
    // What work needs goes on.
    for (old, new) in [
        ("src", "source"),
        (".git/index.lock", ".git/index"),
        (".git/objects/tmp", ".git/objects/ab"),
        ("clone/.git", "other/.git"),
        ("build/a", "b"),
    ] {
        assert!(
            coder.may_move(true, Old(&at(old)), New(&at(new))),
            "{old} -> {new}"
        );
    }
    assert!(
        !coder.may_move(true, Old(&at(".env")), New(b"/tmp/readable")),
        "a secret does not move to be read"
    );
}
