//! `bailiff grant test`

use std::{fs, path::Path};

use super::{ETC, NO_SHADOW};
use crate::common::{HEAD, bailiff_as, bailiff_in, grant_among, json};

#[test]
fn tests_that_hold_are_counted() {
    let text = format!(
        "{HEAD}{ETC}[[test]]\npath = \"/etc/hosts\"\nright = \"read\"\nexpect = \"allow\"\n"
    );
    let run = grant_among(&[("mine.toml", &text)], &["test", "mine.toml"]);
    assert_eq!(
        (run.code, run.out.as_str()),
        (0, "mine.toml: ok, 1 of 1 tests passed\n")
    );
}

#[test]
fn a_failed_test_shows_its_place_and_who_decided() {
    let grant = format!("{HEAD}{ETC}{NO_SHADOW}");
    let tests = "[[test]]\npath = \"/etc/shadow\"\nright = [\"read\", \"write\"]\nexpect = \"allow\"\n\
        [[test]]\nconnect = \"1.2.3.4:80/tcp\"\nexpect = \"deny\"\n";
    let files = [("mine.toml", grant.as_str()), ("more.toml", tests)];
    let args = ["test", "mine.toml", "--tests", "more.toml"];
    let run = grant_among(&files, &args);
    assert_eq!(run.code, 1, "{}{}", run.out, run.err);
    assert_eq!(
        run.out,
        "more.toml:1:1: test failed: file.read+write /etc/shadow should be allowed, and is refused \
         (file.read, file.write): rule no (mine.toml:7:1) decides\n\
         mine.toml: not ok, 1 of 2 tests passed\n"
    );
    let run = grant_among(&files, &[&args[..], &["--json"]].concat());
    let json = json(&run);
    assert_eq!((run.code, &json["failed"]), (1, &serde_json::json!(1)));
    assert_eq!(json["tests"][0]["place"], "more.toml:1:1");
    assert_eq!(json["tests"][0]["decided"], "deny");
    assert_eq!(json["tests"][1]["passed"], true);
}

#[test]
fn tests_that_cannot_be_run_end_with_2() {
    let text = format!("{HEAD}{ETC}");
    for (tests, words) in [
        (None, &["has no tests", "--tests"][..]),
        (Some("[[file]]\n"), &["more.toml:1", "a file of tests"]),
        (
            Some("[[test]]\npath = \"/a\"\n"),
            &["more.toml:1", "expect"],
        ),
    ] {
        let mut files = vec![("mine.toml", text.as_str())];
        let mut args = vec!["test", "mine.toml"];
        if let Some(tests) = tests {
            files.push(("more.toml", tests));
            args.extend(["--tests", "more.toml"]);
        }
        let run = grant_among(&files, &args);
        assert_eq!(run.code, 2, "{}{}", run.out, run.err);
        for word in words {
            assert!(run.err.contains(word), "`{word}` is not in {}", run.err);
        }
    }
    let run = grant_among(
        &[("mine.toml", &text)],
        &["test", "mine.toml", "--tests", "none.toml"],
    );
    assert_eq!(run.code, 2);
    assert!(run.err.contains("none.toml"), "{}", run.err);
}

/// A grant whose answers would change with the directory, home and name of whoever asks. Two of its
/// tests fail.
const PLACED: &str = r#"
[variables]
workspace = "${cwd}"

[[file]]
id = "own"
allow = ["read"]
path = ["${workspace}/**", "~/notes", "/srv/${user}/**"]

[[test]]
path = "/tmp/x"
right = "read"
expect = "deny"

[[test]]
path = "${workspace}/x"
right = "write"
expect = "allow"

[[test]]
path = "/srv/${user}/x"
right = "read"
expect = "deny"

[[test]]
path = "/usr/bin/bailiff"
right = "write"
expect = "deny"
"#;

#[test]
fn tests_give_the_same_answer_everywhere_and_to_everybody() {
    let dir = tempfile::tempdir().unwrap();
    let mine = dir.path().join("mine.toml");
    fs::write(&mine, format!("{HEAD}{PLACED}")).unwrap();
    let mine = mine.to_str().unwrap();
    let deep = dir.path().join("a/b/c/d/e/f");
    fs::create_dir_all(&deep).unwrap();
    let users = [
        &[][..],
        &[("HOME", "/tmp"), ("USER", "x")],
        &[("HOME", "/"), ("USER", "agent")],
    ];
    let mut answers = std::collections::BTreeSet::new();
    for directory in [Path::new("/"), Path::new("/tmp"), dir.path(), &deep] {
        for user in users {
            let run = bailiff_as(directory, user, &["grant", "test", "coder"]);
            assert_eq!(
                run.code, 0,
                "{directory:?} {user:?}: {}{}",
                run.out, run.err
            );
            let run = bailiff_as(directory, user, &["grant", "test", mine]);
            assert_eq!(
                run.code, 1,
                "{directory:?} {user:?}: {}{}",
                run.out, run.err
            );
            answers.insert(run.out);
        }
    }
    assert_eq!(answers.len(), 1, "{answers:#?}");
    let answer = answers.pop_first().unwrap();
    for part in [
        "file.write /home/agent/project/x should be allowed, and is refused",
        "file.read /srv/agent/x should be refused, and is allowed",
        "not ok, 2 of 4 tests passed",
    ] {
        assert!(answer.contains(part), "`{part}` is not in {answer}");
    }
    // `check` is about this place, but its tests are not.
    let run = bailiff_as(Path::new("/tmp"), users[1], &["grant", "check", mine]);
    assert_eq!(run.code, 2, "{}{}", run.out, run.err);
    let failed = answer.lines().filter(|line| line.contains("test failed"));
    for line in failed {
        assert!(run.out.contains(line), "`{line}` is not in {}", run.out);
    }
}

#[test]
fn what_tests_are_run_with_can_be_set() {
    let text = format!("{HEAD}{PLACED}");
    let test = |set: &str| {
        let files = [("mine.toml", text.as_str())];
        grant_among(&files, &["test", "mine.toml", "--set", set]).out
    };
    for (set, part) in [
        ("workspace=/tmp", "file.read /tmp/x should be refused"),
        ("cwd=/tmp", "file.read /tmp/x should be refused"),
        ("user=me", "file.read /srv/me/x should be refused"),
    ] {
        let out = test(set);
        assert!(out.contains(part), "{set}: `{part}` is not in {out}");
    }
    let run = grant_among(
        &[("mine.toml", &text)],
        &["test", "mine.toml", "--set", "hoem=/x"],
    );
    assert_eq!(run.code, 2);
    assert!(run.err.contains("did you mean `home`"), "{}", run.err);
    for (command, words) in [
        (
            "test",
            &["/home/agent/project", "`--set cwd=/home/agent`"][..],
        ),
        ("check", &["in `bailiff grant test`"]),
    ] {
        let help = bailiff_in(Path::new("/"), &["grant", command, "--help"]).out;
        let flowing = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in words {
            assert!(flowing.contains(word), "`{word}` is not in {help}");
        }
    }
}
