//! `bailiff grant`: needs neither root, nor a daemon, nor a kernel that enforces.

#[path = "../common/mod.rs"]
mod common;
mod diff;
mod explain;
mod own_tests;

use std::{fs, path::Path};

use common::{HEAD, bailiff_in, check, grant, grant_among, json};

const ETC: &str = "[[file]]\nid = \"etc\"\nallow = [\"read\", \"list\"]\npath = [\"/etc/**\"]\n";
const NO_SHADOW: &str =
    "[[file]]\nid = \"no\"\ndeny = [\"all\"]\npath = [\"/etc/shadow\"]\nreason = \"Secrets.\"\n";

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
fn check_names_three_of_many_patterns_that_match_nothing_now() {
    let text = format!(
        "{HEAD}{ETC}[[file]]\nid = \"typos\"\nallow = [\"read\"]\n\
         path = [\"/ect/a\", \"/ect/b\", \"/ect/c\", \"/ect/d\", \"/ect/e\"]\n"
    );
    let run = grant_among(&[("mine.toml", &text)], &["check", "mine.toml"]);
    let note = "match nothing now: /ect/a, /ect/b, /ect/c and 2 more";
    assert!(run.out.contains(note), "{}", run.out);
}

#[test]
fn check_remarks_on_a_directory_that_is_denied_and_open() {
    let rules = |denial: &str| {
        format!(
            "{HEAD}{ETC}[[file]]\nid = \"all\"\nallow = [\"read\", \"write\"]\npath = [\"/etc/**\"]\n\
             [[file]]\nid = \"ssl\"\ndeny = [\"all\"]\npath = [{denial}]\n"
        )
    };
    let of = |denial: &str| {
        let text = rules(denial);
        grant_among(&[("mine.toml", &text)], &["check", "mine.toml"]).out
    };
    let out = of("\"/etc/ssl\"");
    let remark = "rule `ssl` denies the directory `/etc/ssl` and nothing in it";
    assert!(out.contains(remark), "{out}");
    assert!(
        out.contains("`/etc/ssl/**` is what is in it; read, write, list there stays allowed"),
        "{out}"
    );
    for closed in [
        "\"/etc/ssl\", \"/etc/ssl/**\"",
        "\"/etc/hosts\"",
        "\"/etc/s?l\"",
    ] {
        let out = of(closed);
        assert!(!out.contains("and nothing in it"), "{out}");
    }
}

#[test]
fn list_names_what_ships_and_what_it_is_for() {
    let run = bailiff_in(Path::new("/"), &["grant", "list"]);
    assert_eq!(run.code, 0, "{}", run.err);
    let line = run
        .out
        .lines()
        .find(|line| line.starts_with("coder "))
        .unwrap();
    assert!(
        line.contains("Edit, build and test one checkout."),
        "{line}"
    );
    let list = json(&bailiff_in(Path::new("/"), &["grant", "list", "--json"]));
    assert!(
        list["grants"]
            .as_array()
            .unwrap()
            .iter()
            .any(|grant| grant["name"] == "base")
    );
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
