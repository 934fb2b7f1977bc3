//! What is said of a move is what the kernel decides, and why.

mod common;

use std::{cell::RefCell, collections::BTreeSet};

use agent_abi::{FileRights, Right};
use agent_decide::{
    New, Old,
    refer::{gained, gained_by_file},
};
use agent_grant::{
    Compiled, Effect, Interpreter, Manner, Move, MoveError, MoveExplanation,
    compile::{making_rights_lost, rights_permit_move},
    explain::{Bar, Transfer},
    explain_move,
};
use common::{
    OfImage, all_paths_below, arb_grant, arb_path, arb_rules, compile_rules, compile_text,
    plain_image,
};
use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};

fn arb_manner() -> impl Strategy<Value = Manner> {
    prop_oneof![
        any::<bool>().prop_map(|replaces| Manner::Rename { replaces }),
        Just(Manner::Link),
        any::<bool>().prop_map(|other_is_directory| Manner::Exchange { other_is_directory }),
    ]
}

/// Moves that a kernel could be asked for.
fn arb_moves() -> impl Strategy<Value = Vec<Move>> {
    let one = (arb_path(), arb_path(), any::<bool>(), arb_manner());
    prop::collection::vec(one, 1..20).prop_map(|moves| {
        let moves = moves.into_iter();
        moves
            .filter_map(|(old, new, directory, manner)| Move::new(old, new, directory, manner).ok())
            .collect()
    })
}

/// Whether the path `below` an object forbids its transfer.
fn forbids(grant: &Compiled, transfer: &Transfer, below: &[u8]) -> bool {
    let rights = |above: &[u8]| grant.rights(&[above, below].concat());
    let (new, old) = (rights(&transfer.new), rights(&transfer.old));
    if transfer.is_directory {
        !rights_permit_move(Old(old), New(new))
    } else {
        below.is_empty() && !gained_by_file(Old(old), New(new)).is_empty()
    }
}

/// What is said of a bar is true, and no shorter path shows one.
fn check_bar(grant: &Compiled, transfer: &Transfer) -> Result<(), TestCaseError> {
    let Some(Bar::Rights {
        below,
        gained,
        lost,
        rule,
    }) = &transfer.bar
    else {
        prop_assert!(transfer.bar.is_none(), "an exact relation has a witness");
        for below in all_paths_below() {
            prop_assert!(
                !forbids(grant, transfer, &below),
                "{}",
                below.escape_ascii()
            );
        }
        return Ok(());
    };
    prop_assert!(forbids(grant, transfer, below), "{transfer:?}");
    let (old, new) = (
        [transfer.old.as_slice(), below].concat(),
        [transfer.new.as_slice(), below].concat(),
    );
    let (before, after) = (grant.rights(&old), grant.rights(&new));
    let more = if transfer.is_directory {
        after.without(before)
    } else {
        gained_by_file(Old(before), New(after))
    };
    prop_assert_eq!(*gained, more);
    let making = making_rights_lost(Old(before), New(after));
    prop_assert_eq!(
        *lost,
        if transfer.is_directory {
            making
        } else {
            FileRights::NONE
        }
    );
    prop_assert!(!gained.is_empty() || !lost.is_empty());
    let shorter = all_paths_below()
        .into_iter()
        .filter(|path| path.len() < below.len());
    for path in shorter {
        prop_assert!(!forbids(grant, transfer, &path), "{}", path.escape_ascii());
    }
    // Whoever is said to refuse it denies that right on that path.
    if let Some(rule) = rule {
        let (path, refused) = if gained.is_empty() {
            (&new, lost)
        } else {
            (&old, gained)
        };
        prop_assert_eq!(rule.effect, Effect::Deny);
        let mut rights = Right::ALL.iter().map(|(right, _)| *right);
        let first = rights
            .find(|right| *right as u32 == refused.lowest())
            .expect("a right");
        prop_assert!(!grant.decide(path, first).0);
    }
    Ok(())
}

fn check(
    grant: &Compiled,
    kernel: &OfImage<'_>,
    wanted: &Move,
) -> Result<MoveExplanation, TestCaseError> {
    let found = explain_move(grant, wanted);
    prop_assert_eq!(found.allowed, wanted.is_permitted(kernel), "{}", wanted);
    let nothing_forbids = found.needs.iter().all(|need| need.allowed)
        && found
            .transfers
            .iter()
            .all(|transfer| transfer.bar.is_none());
    prop_assert_eq!(found.allowed, nothing_forbids, "{:?}", found);
    for need in &found.needs {
        prop_assert_eq!(need.allowed, grant.decide(&need.path, need.right).0);
    }
    for transfer in &found.transfers {
        check_bar(grant, transfer)?;
    }
    Ok(found)
}

#[test]
fn every_answer_is_the_kernels_and_has_true_reasons() {
    let config = ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let reasons = RefCell::new(BTreeSet::new());
    let outcome = TestRunner::new_with_rng(config, rng).run(
        &(prop_oneof![arb_rules(4), arb_grant()], arb_moves()),
        |(rules, moves)| {
            // The relation also looks at names that never occur (`.`); patterns that tell only those
            // apart would show it.
            prop_assume!(
                rules
                    .iter()
                    .flat_map(|r| r.paths.iter().chain(&r.except))
                    .all(|p| !p.contains("[!b"))
            );
            let grant = compile_rules(&rules);
            let image = plain_image(&grant);
            let kernel = OfImage(Interpreter::new(&image).expect("an image"));
            for wanted in &moves {
                let found = check(&grant, &kernel, wanted)?;
                reasons.borrow_mut().extend(reasons_of(&found));
            }
            Ok(())
        },
    );
    outcome.unwrap_or_else(|why| panic!("{why}"));
    let all = [
        "allowed",
        "missing",
        "its own gain",
        "a gain below",
        "a loss below",
    ];
    assert_eq!(
        reasons.into_inner(),
        all.into(),
        "every reason must have occurred"
    );
}

fn reasons_of(found: &MoveExplanation) -> Vec<&'static str> {
    let mut reasons = Vec::new();
    if found.allowed {
        reasons.push("allowed");
    }
    if found.needs.iter().any(|need| !need.allowed) {
        reasons.push("missing");
    }
    let bars = found
        .transfers
        .iter()
        .filter_map(|transfer| transfer.bar.as_ref());
    reasons.extend(bars.map(|bar| match bar {
        Bar::Rights { below, gained, .. } if below.is_empty() && !gained.is_empty() => {
            "its own gain"
        }
        Bar::Rights { gained, .. } if !gained.is_empty() => "a gain below",
        Bar::Rights { .. } => "a loss below",
        Bar::Coarse => "coarse",
    }));
    reasons
}

const GIT: &str = r#"version = 1
name = "git"
[[file]]
id = "all"
allow = ["read", "write", "create", "delete"]
path = ["/w/**"]
[[file]]
id = "incoming"
allow = ["read", "create", "delete"]
path = ["/in/**"]
[[file]]
id = "hooks"
deny = ["write", "create"]
path = ["/**/.git/hooks/*"]
"#;

fn explained(old: &str, new: &str, directory: bool, manner: Manner) -> MoveExplanation {
    let (old, new) = (old.into(), new.into());
    let wanted = Move::new(old, new, directory, manner).expect("a move");
    explain_move(&compile_text(GIT), &wanted)
}

const RENAME: Manner = Manner::Rename { replaces: false };

fn bar(found: &MoveExplanation) -> (&str, FileRights, FileRights, Option<&str>) {
    let bar = found
        .transfers
        .iter()
        .find_map(|transfer| transfer.bar.as_ref());
    let Some(Bar::Rights {
        below,
        gained,
        lost,
        rule,
    }) = bar
    else {
        panic!("{found:?}")
    };
    let below = std::str::from_utf8(below).expect("text");
    (
        below,
        *gained,
        *lost,
        rule.as_ref().map(|rule| rule.id.as_str()),
    )
}

#[test]
fn a_directory_is_held_by_a_shortest_path_below_it() {
    let making = FileRights::WRITE
        .union(FileRights::CREATE)
        .union(FileRights::SYMLINK);
    let away = explained("/w/.git", "/w/x", true, RENAME);
    assert!(!away.allowed);
    assert_eq!(
        bar(&away),
        ("/hooks/a", making, FileRights::NONE, Some("hooks"))
    );
    let planted = explained("/w/x", "/w/.git", true, RENAME);
    assert_eq!(
        bar(&planted),
        ("/hooks/a", FileRights::NONE, making, Some("hooks"))
    );
    let inner = explained("/w/.git/hooks", "/w/x", true, RENAME);
    assert_eq!(bar(&inner).0, "/a");
    assert!(explained("/w/a/.git", "/w/b/.git", true, RENAME).allowed);
    // A file has nothing below it.
    assert!(explained("/w/.git", "/w/x", false, RENAME).allowed);
}

#[test]
fn a_file_is_held_by_its_own_rights() {
    let arrives = explained("/in/a", "/w/a", false, RENAME);
    assert_eq!(
        bar(&arrives),
        ("", FileRights::WRITE, FileRights::NONE, None)
    );
    // It may lose what it had; a directory may not.
    assert!(explained("/w/a", "/in/a", false, RENAME).allowed);
    assert_eq!(
        bar(&explained("/w/a", "/in/a", true, RENAME)),
        ("", FileRights::NONE, FileRights::WRITE, None)
    );
}

#[test]
fn each_manner_needs_its_rights() {
    let needs = |manner| {
        let found = explained("/w/a", "/w/b", false, manner);
        let names = found.needs.iter();
        let names: Vec<_> = names
            .map(|need| format!("{} {}", need.right.name(), need.path.escape_ascii()))
            .collect();
        names.join(", ")
    };
    assert_eq!(needs(RENAME), "file.delete /w/a, file.create /w/b");
    assert_eq!(
        needs(Manner::Rename { replaces: true }),
        "file.delete /w/a, file.create /w/b, file.delete /w/b"
    );
    assert_eq!(needs(Manner::Link), "file.create /w/b");
    assert_eq!(
        needs(Manner::Exchange {
            other_is_directory: false
        }),
        "file.create /w/a, file.delete /w/a, file.create /w/b, file.delete /w/b"
    );
}

#[test]
fn both_objects_of_an_exchange_are_asked_about() {
    let manner = |other_is_directory| Manner::Exchange { other_is_directory };
    let found = explained("/w/a", "/in/a", false, manner(false));
    assert_eq!(bar(&found).1, FileRights::WRITE);
    assert_eq!(found.transfers[0].bar, None);
    assert_eq!(found.transfers[1].old, b"/in/a");
    assert!(explained("/w/a", "/w/b", true, manner(false)).allowed);
    // Only the directory of the two has something below it.
    assert!(!explained("/w/a", "/w/.git", false, manner(true)).allowed);
    assert!(explained("/w/a", "/w/.git", false, manner(false)).allowed);
}

#[test]
fn a_missing_right_comes_with_its_rule() {
    let found = explained("/w/a", "/w/.git/hooks/a", false, RENAME);
    assert!(!found.allowed);
    let missing: Vec<_> = found.needs.iter().filter(|need| !need.allowed).collect();
    let [missing] = missing.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(missing.right, Right::FileCreate);
    assert_eq!(
        missing.rule.as_ref().map(|rule| rule.id.as_str()),
        Some("hooks")
    );
}

/// Written out, since the properties take the relation's own definition for true.
#[test]
fn a_move_gives_no_right_and_a_directory_keeps_those_by_which_what_is_in_it_was_made() {
    let rights = [
        ("read", false),
        ("write", true),
        ("create", true),
        ("delete", false),
        ("list", false),
        ("exec", false),
        ("attr", true),
        ("ioctl", false),
        ("symlink", true),
    ];
    for (right, makes) in rights {
        let text = format!(
            "version = 1\nname = \"g\"\n\
             [[file]]\nallow = [\"connect\"]\npath = [\"/bare/**\", \"/more/**\"]\n\
             [[file]]\nallow = [\"{right}\"]\npath = [\"/more/**\"]\n"
        );
        let grant = compile_text(&text);
        let image = plain_image(&grant);
        let kernel = Interpreter::new(&image).unwrap();
        let state = |path: &str| kernel.walk(kernel.root(0), path.as_bytes());
        let may = |is_directory, old: &str, new: &str| {
            kernel.may_move(is_directory, Old(state(old)), New(state(new)))
        };
        for is_directory in [true, false] {
            assert!(may(is_directory, "/more/x", "/more/y"), "{right}");
        }
        assert!(!may(true, "/bare/x", "/more/x"), "{right}");
        assert_eq!(may(true, "/more/x", "/bare/x"), !makes, "{right}");
        // A file is made where it is; of a symbolic link it is asked when it moves.
        assert_eq!(
            may(false, "/bare/x", "/more/x"),
            right == "symlink",
            "{right}"
        );
        assert!(may(false, "/more/x", "/bare/x"), "{right}");
    }
}

/// For the event: what a refused move would have given, or that it would have hidden how a thing was made.
#[test]
fn what_a_refused_move_would_have_given_is_told() {
    let grant = compile_text(
        "version = 1\nname = \"g\"\n\
         [[file]]\nallow = [\"read\"]\npath = [\"/bare/**\", \"/more/**\"]\n\
         [[file]]\nallow = [\"write\", \"attr\"]\npath = [\"/more/**\"]\n",
    );
    let image = plain_image(&grant);
    let kernel = Interpreter::new(&image).unwrap();
    let state = |path: &str| u64::from(kernel.walk(kernel.root(0), path.as_bytes()));
    let (bare, more) = (state("/bare/x"), state("/more/x"));
    let both = FileRights::WRITE.union(FileRights::ATTR);
    assert_eq!(gained(&image, Old(bare), New(more)), both);
    assert_eq!(gained(&image, Old(more), New(bare)), FileRights::CREATE);
}

/// So many names that the automaton is too large for the relation.
fn large_grant() -> Compiled {
    let mut text = "version = 1\nname = \"large\"\n".to_owned();
    for (at, rights) in [
        ("more", "\"read\", \"list\", \"delete\""),
        ("less", "\"read\", \"create\""),
    ] {
        text += &format!("[[file]]\nallow = [{rights}]\npath = [\"/{at}/**\"]\n");
    }
    let names: Vec<_> = (1..400_u64)
        .map(|number| format!("\"/{:016x}\"", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        .collect();
    text += &format!(
        "[[file]]\nallow = [\"read\"]\npath = [{}]\n",
        names.join(", ")
    );
    compile_text(&text)
}

#[test]
fn a_relation_that_is_too_large_is_said_to_be_coarse() {
    let grant = large_grant();
    assert!(grant.refer.allowed.is_none());
    let image = plain_image(&grant);
    let kernel = OfImage(Interpreter::new(&image).expect("an image"));
    let explained = |old: &str, new: &str, directory| {
        let wanted = Move::new(old.into(), new.into(), directory, RENAME).expect("a move");
        let found = explain_move(&grant, &wanted);
        assert_eq!(found.allowed, wanted.is_permitted(&kernel));
        found
    };
    let found = explained("/less/a", "/more/a", true);
    assert!(
        matches!(found.transfers[0].bar, Some(Bar::Rights { .. })),
        "{found:?}"
    );
    // Nothing is gained, and nothing lost that counts: an exact relation would allow it.
    let found = explained("/more/a", "/elsewhere", true);
    assert_eq!(found.transfers[0].bar, Some(Bar::Coarse));
    assert_eq!(explained("/more/a", "/more/b", true).transfers[0].bar, None);
    assert_eq!(
        explained("/more/a", "/elsewhere", false).transfers[0].bar,
        None
    );
}

#[test]
fn what_no_kernel_does_is_no_move() {
    let new = |old: &str, new: &str, directory, manner| {
        Move::new(old.into(), new.into(), directory, manner).err()
    };
    assert_eq!(
        new("/a", "/b", true, Manner::Link),
        Some(MoveError::LinkedDirectory)
    );
    assert_eq!(new("/a", "/a", false, RENAME), Some(MoveError::Same));
    assert_eq!(new("/a", "/a/b", true, RENAME), Some(MoveError::Within));
    assert_eq!(new("/a/b", "/a", true, RENAME), Some(MoveError::Within));
    assert_eq!(new("", "/a", true, RENAME), Some(MoveError::Within));
    assert_eq!(new("/a", "/ab", true, RENAME), None);
}
