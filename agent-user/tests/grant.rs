//! `bailiff grant`: needs neither root, nor a daemon, nor a kernel that enforces.

mod common;

use std::{fs, path::Path};

use common::{HEAD, Run, bailiff_as, bailiff_in, check, grant, grant_among, json};

#[test]
fn mistakes_in_a_grant_are_shown_at_their_place() {
    for (text, words) in [
        ("[[fil]]\n", &["mine.toml:3", "fil", "file"][..]),
        (
            "[[file]]\nid = \"a\"\nallow = [\"raed\"]\npath = [\"/a\"]\n",
            &["raed", "read"],
        ),
        (
            "[[file]]\nid = \"a\"\nallow = \"read\"\npath = 3\n",
            &["mine.toml:"],
        ),
        (
            "[[net]]\nid = \"n\"\nallow = [\"connect\"]\nto = [\"10.0.0.0/99:1\"]\n",
            &["10.0.0.0/99"],
        ),
        (
            "[[file]]\nid = \"a\"\nallow = [\"read\"]\npath = [\"/a[b\"]\n",
            &["/a[b"],
        ),
        ("include = [\"bsae\"]\n", &["bsae", "base"]),
    ] {
        let run = check(text);
        assert_eq!(run.code, 2, "{text}: {}{}", run.out, run.err);
        for word in words {
            assert!(
                run.err.contains(word),
                "{text}: `{word}` is not in {}",
                run.err
            );
        }
        assert!(!run.err.contains('\x1b'), "no colours in a pipe");
    }
}

#[test]
fn a_link_that_others_can_change_is_no_way_to_a_grant() {
    let (dir, path) = grant("");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(dir.path(), open).unwrap();
    std::os::unix::fs::symlink("/etc", dir.path().join("out")).unwrap();
    let out = dir.path().join("out");
    let text = format!(
        "version = 1\nname = \"mine\"\n[[file]]\nid = \"a\"\nallow = [\"read\"]\npath = [\"{}/**\"]\n",
        out.display()
    );
    fs::write(&path, text).unwrap();
    let run = bailiff_in(dir.path(), &["grant", "check", "mine.toml"]);
    assert_eq!(run.code, 0);
    assert!(run.out.contains("leads to /etc: name that"), "{}", run.out);
    let shown = bailiff_in(dir.path(), &["grant", "show", "mine.toml"]);
    assert!(!shown.out.contains("-> /etc"), "{}", shown.out);
    let passwd = out.join("passwd");
    let words = [
        "grant",
        "explain",
        "mine.toml",
        passwd.to_str().unwrap(),
        "read",
    ];
    let explained = bailiff_in(dir.path(), &words).out;
    assert!(explained.contains("/etc/passwd: refused"), "{explained}");
}

#[test]
fn grants_that_ship_are_sound() {
    let dir = tempfile::tempdir().unwrap();
    let run = bailiff_in(dir.path(), &["grant", "check", "base", "coder"]);
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    assert!(
        run.out.contains("base: ok") && run.out.contains("coder: ok"),
        "{}",
        run.out
    );
}

#[test]
fn a_grant_explains_itself() {
    let (dir, _) = grant(
        "[[file]]\nid = \"etc\"\nallow = [\"read\"]\npath = [\"/etc/**\"]\n\
         [[file]]\nid = \"no\"\ndeny = [\"all\"]\npath = [\"/etc/shadow\"]\nreason = \"Secrets.\"\n",
    );
    let explain = |args: &[&str]| {
        bailiff_in(
            dir.path(),
            &[&["grant", "explain", "mine.toml"][..], args].concat(),
        )
    };
    let run = explain(&["/etc/shadow", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(json["schema"], 1);
    assert_eq!(json["rights"][0]["allowed"], false);
    assert_eq!(json["rights"][0]["rule"]["id"], "no");
    assert_eq!(json["rights"][0]["rule"]["reason"], "Secrets.");
    let run = explain(&["/etc/hostname"]);
    assert!(
        run.out.contains("file.read") && run.out.contains("etc"),
        "{}",
        run.out
    );
    assert_eq!(explain(&["not-a-path"]).code, 1);
}

const ETC: &str = "[[file]]\nid = \"etc\"\nallow = [\"read\", \"list\"]\npath = [\"/etc/**\"]\n";
const NO_SHADOW: &str =
    "[[file]]\nid = \"no\"\ndeny = [\"all\"]\npath = [\"/etc/shadow\"]\nreason = \"Secrets.\"\n";

fn diff(first: &str, second: &str, more: &[&str]) -> Run {
    let files = [first, second].map(|text| format!("{HEAD}{text}"));
    grant_among(
        &[("a.toml", &files[0]), ("b.toml", &files[1])],
        &[&["diff", "a.toml", "b.toml"][..], more].concat(),
    )
}

#[test]
fn diff_of_equal_grants_says_so_with_exit_code_0() {
    let parted = "[[file]]\nid = \"etc\"\nallow = [\"read\"]\npath = [\"/etc/**\"]\n\
        [[file]]\nid = \"list\"\nallow = [\"list\"]\npath = [\"/etc\", \"/etc/**/*\"]\n";
    let run = diff(ETC, parted, &[]);
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    assert_eq!(run.out, "a.toml is equal to b.toml: they allow the same.\n");
    let json = json(&diff(ETC, parted, &["--json"]));
    assert_eq!(json["relation"], "equal");
    assert_eq!(json["differences"].as_array().unwrap().len(), 0);
}

#[test]
fn diff_shows_where_and_by_which_rules() {
    let narrower = format!("{ETC}{NO_SHADOW}");
    let run = diff(&narrower, ETC, &[]);
    assert_eq!(run.code, 1, "{}{}", run.out, run.err);
    assert!(
        run.out.starts_with("a.toml is narrower than b.toml"),
        "{}",
        run.out
    );
    let line = run.out.lines().last().unwrap();
    for part in [
        ">  file.read,list  /etc/shadow",
        "refused: no (a.toml:7:1)",
        "allowed: etc (b.toml:3:1)",
    ] {
        assert!(line.contains(part), "`{part}` is not in {line}");
    }
    assert!(!run.out.contains('\x1b'), "no colours in a pipe");
    let json = json(&diff(&narrower, ETC, &["--json"]));
    assert_eq!(json["schema"], 1);
    assert_eq!(json["relation"], "narrower");
    let difference = &json["differences"][0];
    assert_eq!(difference["object"]["text"], "/etc/shadow");
    assert_eq!(difference["wider"], "second");
    assert_eq!(difference["rights"], serde_json::json!(["read", "list"]));
    assert_eq!(difference["first"]["rule"]["id"], "no");
    assert_eq!(difference["second"]["rule"]["id"], "etc");
    assert_eq!(difference["second"]["rule"]["place"], "b.toml:3:1");
}

#[test]
fn diff_compares_network_settings_and_limits() {
    let run = diff(
        "[process]\njit = true\n[limits]\ndeletes = 5\n",
        "[[net]]\nid = \"web\"\nallow = [\"connect\"]\nto = [\"10.0.0.0/8:443/tcp\"]\n\
         [limits]\ndeletes = 6\n[kernel]\nbpf = true\n",
        &[],
    );
    assert_eq!(run.code, 1);
    assert!(
        run.out.starts_with("a.toml is incomparable with b.toml"),
        "{}",
        run.out
    );
    let rows: Vec<Vec<&str>> = run
        .out
        .lines()
        .map(|l| {
            l.split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .collect()
        })
        .collect();
    for row in [
        &[
            ">",
            "net.connect",
            "10.0.0.0:443/tcp",
            "refused: no rule",
            "allowed: web (b.toml:3:1)",
        ][..],
        &["<", "process.jit", "true", "false"],
        &[">", "kernel.bpf", "false", "true"],
        &[">", "limits.deletes", "5", "6"],
    ] {
        assert!(
            rows.iter().any(|found| found == row),
            "{row:?}: {}",
            run.out
        );
    }
}

#[test]
fn diff_ends_with_2_where_it_cannot_compare() {
    let run = diff("[[fil]]\n", ETC, &[]);
    assert_eq!(run.code, 2);
    assert!(run.err.contains("a.toml:3"), "{}", run.err);
    let run = grant_among(&[], &["diff", "base", "nonesuch"]);
    assert_eq!(run.code, 2);
    assert!(run.err.contains("`nonesuch`"), "{}", run.err);
}

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
        "more.toml:1:1: test failed: file.read+write /etc/shadow: expected allow, but deny of \
         file.read, file.write: rule no (mine.toml:7:1) decides\n\
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
        "file.write /home/agent/project/x: expected allow, but deny",
        "file.read /srv/agent/x: expected deny, but allow",
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
        ("workspace=/tmp", "file.read /tmp/x: expected deny"),
        ("cwd=/tmp", "file.read /tmp/x: expected deny"),
        ("user=me", "file.read /srv/me/x: expected deny"),
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

#[test]
fn a_graph_is_a_graphviz_document() {
    let text = format!("{HEAD}{ETC}");
    let run = grant_among(&[("mine.toml", &text)], &["graph", "mine.toml"]);
    assert_eq!(run.code, 0, "{}", run.err);
    for part in [
        "digraph \"mine\" {",
        "start -> s1",
        "label=\"read list\"",
        "label=\"nothing\"",
    ] {
        assert!(run.out.contains(part), "`{part}` is not in {}", run.out);
    }
    let run = grant_among(&[("mine.toml", &text)], &["graph", "mine.toml", "--json"]);
    assert!(json(&run)["dot"].as_str().unwrap().starts_with("digraph"));
}

#[test]
fn one_right_is_explained_with_pattern_and_change() {
    let text = format!("{HEAD}{ETC}{NO_SHADOW}");
    let run = grant_among(
        &[("mine.toml", &text)],
        &["explain", "mine.toml", "/etc/shadow", "read"],
    );
    assert_eq!(run.code, 0, "{}", run.err);
    for part in [
        "file.read /etc/shadow: refused by rule no: Secrets.",
        "allows  etc (mine.toml:3:1)  /etc/**",
        "denies  no (mine.toml:7:1)   /etc/shadow        decides",
        "To allow it, name /etc/shadow in `except` of `no`.",
    ] {
        assert!(run.out.contains(part), "`{part}` is not in {}", run.out);
    }
    let run = grant_among(
        &[("mine.toml", &text)],
        &["explain", "mine.toml", "/etc/shadow", "raed"],
    );
    assert_eq!(run.code, 2);
    assert!(run.err.contains("file.read"), "{}", run.err);
}

#[test]
fn a_destination_is_explained_like_a_path() {
    let text = format!(
        "{HEAD}[[net]]\nid = \"web\"\nallow = [\"connect\"]\nto = [\"10.0.0.0/8:443\"]\n\
         [[net]]\nid = \"not-this\"\ndeny = [\"connect\"]\nto = [\"10.0.0.1:*\"]\n"
    );
    let explain =
        |to: &str| grant_among(&[("mine.toml", &text)], &["explain", "mine.toml", to]).out;
    let out = explain("10.0.0.1:443/tcp");
    assert!(
        out.contains("refused by rule not-this") && out.contains("10.0.0.0/8:443"),
        "{out}"
    );
    assert!(
        out.contains("To allow it, take 10.0.0.1:443/tcp out of `not-this`."),
        "{out}"
    );
    assert!(explain("10.0.0.2:443/udp").contains("allowed by rule web"));
    let out = explain("[::1]:1/tcp");
    assert!(
        out.contains("no rule allows it") && out.contains("to = [\"[::1]:1/tcp\"]"),
        "{out}"
    );
}

#[test]
fn show_says_in_words_what_is_not_a_rule() {
    let text = format!("{HEAD}{ETC}[process]\njit = true\n[limits]\nbytes_out = \"2GiB\"\n");
    let run = grant_among(&[("mine.toml", &text)], &["show", "mine.toml"]);
    for part in [
        "etc   allow  read list  /etc/**",
        "file.read     etc         -",
        "The network is closed.",
        "Anonymous memory can be made executable.",
        "Limits: bytes_out 2GiB.",
    ] {
        assert!(run.out.contains(part), "`{part}` is not in {}", run.out);
    }
    let json = json(&grant_among(
        &[("mine.toml", &text)],
        &["show", "mine.toml", "--json"],
    ));
    assert_eq!(json["limits"]["bytes_out"], "2GiB");
}

#[test]
fn a_grant_for_the_current_directory_is_not_one_for_the_root() {
    let run = bailiff_in(Path::new("/"), &["grant", "check", "coder"]);
    assert_eq!(run.code, 2);
    assert!(
        run.err.contains("the current directory is `/`"),
        "{}",
        run.err
    );
    assert!(run.err.contains("--set workspace=VALUE"), "{}", run.err);
    assert_eq!(run.err.matches("error:").count(), 1, "{}", run.err);
    let run = bailiff_in(
        Path::new("/"),
        &["grant", "check", "coder", "--set", "workspace="],
    );
    assert_eq!(run.code, 2);
    assert!(
        run.err.contains("`workspace` is set to nothing"),
        "{}",
        run.err
    );
    assert_eq!(run.err.matches("error:").count(), 1, "{}", run.err);
    let set = ["grant", "check", "coder", "--set", "workspace=/srv/app"];
    assert_eq!(bailiff_in(Path::new("/"), &set).code, 0);
}

#[test]
fn check_remarks_on_patterns_that_match_nothing_now() {
    let text = format!(
        "{HEAD}{ETC}[[file]]\nid = \"typo\"\nallow = [\"read\"]\n\
         path = [\"/ect/hosts\", \"/etc/hosts*\", \"/usr/shrae/**\"]\n"
    );
    let run = grant_among(&[("mine.toml", &text)], &["check", "mine.toml"]);
    assert_eq!(run.code, 0, "a remark is no error: {}{}", run.out, run.err);
    let note = "note: rule `typo` has patterns that match nothing now: /ect/hosts, /usr/shrae/**";
    assert!(run.out.contains(note), "{}", run.out);
    assert!(run.out.contains("mine.toml:10:9"), "{}", run.out);
}

#[test]
fn check_remarks_on_what_may_not_be_meant() {
    let text = format!(
        "{HEAD}{ETC}[[file]]\nid = \"again\"\nallow = [\"read\"]\npath = [\"/etc/hosts\"]\n"
    );
    let run = grant_among(&[("mine.toml", &text)], &["check", "mine.toml"]);
    assert_eq!(run.code, 0, "a remark is no error: {}{}", run.out, run.err);
    assert!(
        run.out.contains("warning: rule `again` never decides"),
        "{}",
        run.out
    );
    assert!(run.out.contains("mine.toml:7"), "{}", run.out);
    let json = json(&grant_among(
        &[("mine.toml", &text)],
        &["check", "mine.toml", "--json"],
    ));
    assert_eq!(json[0]["remarks"][0]["kind"], "never-decides");
}

#[test]
fn check_tells_every_mistake_at_once_with_its_place() {
    let run = check(
        "include = [\"bsae\"]\n\
         [[file]]\nallow = [\"raed\"]\npath = [\"/w/[a\"]\n\
         [[file]]\nallow = [\"read\"\npath = [\"/b\"]\n\
         [[unix]]\nallow = [\"connect\"]\nname = [\"@x\"]\n\
         [[test]]\npath = \"x\"\nright = \"read\"\nexpect = \"deny\"\n",
    );
    assert_eq!(run.code, 2, "{}{}", run.out, run.err);
    for place in [3, 5, 6, 9, 10, 14] {
        assert!(
            run.err.contains(&format!("mine.toml:{place}:")),
            "{place}: {}",
            run.err
        );
    }
    assert_eq!(run.err.matches("error:").count(), 6, "{}", run.err);
}

#[test]
fn mistakes_are_data_for_programs() {
    let text = format!("{HEAD}[[file]]\nallow = [\"raed\"]\npath = [\"/x\"]\n");
    let run = grant_among(
        &[("mine.toml", &text)],
        &["check", "mine.toml", "base", "--json"],
    );
    assert_eq!(run.code, 2, "{}", run.err);
    let json = json(&run);
    let mistake = &json[0]["mistakes"][0];
    assert_eq!(mistake["message"], "`raed` is no right of `[[file]]`");
    assert_eq!(mistake["place"], "mine.toml:4:10");
    assert_eq!(mistake["help"], "did you mean `read`?");
    let error = json[0]["error"].as_str().unwrap();
    assert!(
        error.contains("4 | allow = [\"raed\"]") && !error.contains('\x1b'),
        "{error}"
    );
    assert_eq!(
        (&json[0]["ok"], &json[1]["ok"]),
        (&false.into(), &true.into())
    );
    assert_eq!(json[1]["mistakes"].as_array().map(Vec::len), Some(0));
}

/// Programs are told what a file is called, people what that looks like.
#[test]
fn a_path_is_as_it_is_in_json_and_escaped_in_lines() {
    let text = format!("{HEAD}{ETC}");
    let explain = |more: &[&str]| {
        let args = [&["explain", "mine.toml", "/etc/a\x1b\\b"][..], more].concat();
        grant_among(&[("mine.toml", &text)], &args)
    };
    let json = json(&explain(&["--json"]));
    assert_eq!(json["object"]["text"], "/etc/a\x1b\\b");
    let out = explain(&[]).out;
    assert!(out.starts_with("/etc/a\\u{1b}\\\\b\n"), "{out}");
}

#[test]
fn a_working_directory_that_was_removed_is_told_once() {
    let (dir, path) = grant(
        "[variables]\nout = \"${cwd}/out\"\n\
         [[file]]\nallow = [\"read\"]\npath = [\"${cwd}/**\", \"${out}/**\", \"${cwd}/x\"]\n\
         [[file]]\nid = \"more\"\nallow = [\"read\"]\npath = [\"${out}/x\"]\nexcept = [\"${cwd}/y\"]\n",
    );
    for command in ["run --grant", "grant check"] {
        let script = format!(
            "mkdir gone; cd gone; rmdir ../gone; exec '{}' {command} '{}' -- true",
            env!("CARGO_BIN_EXE_bailiff"),
            path.display()
        );
        let script = script.replace(
            if command == "grant check" {
                " -- true"
            } else {
                "\0"
            },
            "",
        );
        let output = std::process::Command::new("sh")
            .current_dir(dir.path())
            .args(["-c", &script])
            .env("BAILIFF_SOCKET", "/nonexistent/bailiff.sock")
            .output()
            .unwrap();
        let run = common::finish(output);
        assert_ne!(run.code, 0);
        let told = run.err.matches("current directory was removed").count();
        assert_eq!(told, 1, "{command}: {}", run.err);
        assert_eq!(
            run.err.matches("error:").count(),
            1,
            "{command}: {}",
            run.err
        );
        assert!(run.err.contains("--set cwd="), "{command}: {}", run.err);
    }
}
