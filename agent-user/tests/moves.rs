//! What `bailiff grant` says of renames, links and exchanges.

mod common;

use std::fs;

use common::{HEAD, bailiff_in, grant_among, json};

const REPOSITORY: &str = r#"
[[file]]
id = "work"
allow = ["read", "write", "create", "delete", "exec"]
path = ["/w/**"]

[[file]]
id = "incoming"
allow = ["read", "create", "delete"]
path = ["/in/**"]

[[file]]
id = "hooks"
deny = ["write", "create", "delete"]
path = ["/**/.git/hooks/*"]
reason = "They run later."
"#;

#[test]
fn a_failed_test_of_a_move_says_what_forbids_it() {
    let grant = format!("{HEAD}{REPOSITORY}");
    let test = |keys: &str| {
        let tests = format!("[[test]]\n{keys}\n");
        let files = [("mine.toml", grant.as_str()), ("more.toml", tests.as_str())];
        let run = grant_among(&files, &["test", "mine.toml", "--tests", "more.toml"]);
        assert_eq!(run.code, 1, "{keys}: {}{}", run.out, run.err);
        let args = ["test", "mine.toml", "--tests", "more.toml", "--json"];
        (
            run.out,
            json(&grant_among(&files, &args))["tests"][0].clone(),
        )
    };
    let (out, moved) =
        test("rename = \"/w/.git\"\nto = \"/w/x\"\ndirectory = true\nexpect = \"allow\"");
    assert_eq!(
        out.lines().next(),
        Some(
            "more.toml:1:1: test failed: rename directory /w/.git to /w/x should be allowed, and is refused: \
             below it, /w/.git/hooks/a would gain write, create, delete as \
             /w/x/hooks/a: rule hooks (mine.toml:14:1) denies it under its old name"
        )
    );
    assert_eq!(moved["decided"], "deny");
    let moved = &moved["moved"];
    assert_eq!(
        (&moved["move"], &moved["directory"]),
        (&"rename".into(), &true.into())
    );
    assert_eq!(moved["bars"][0]["old"]["text"], "/w/.git/hooks/a");
    assert_eq!(moved["bars"][0]["gained"][0], "file.write");
    assert_eq!(moved["bars"][0]["rule"]["id"], "hooks");
    for (keys, part) in [
        (
            "rename = \"/w/x\"\nto = \"/w/.git\"\ndirectory = true\nexpect = \"allow\"",
            "/w/x/hooks/a would lose write, create as /w/.git/hooks/a: rule hooks",
        ),
        (
            "link = \"/in/x\"\nto = \"/w/x\"\nexpect = \"allow\"",
            "/in/x would gain write, exec as /w/x: no rule allows it",
        ),
        (
            "rename = \"/w/x\"\nto = \"/w/.git/hooks/x\"\nreplaces = true\nexpect = \"allow\"",
            "and is refused: create is missing at /w/.git/hooks/x: rule hooks (mine.toml:14:1) \
             denies it; delete is missing",
        ),
        (
            "exchange = \"/w/x\"\nto = \"/w/y\"\nexpect = \"deny\"",
            "exchange /w/x with /w/y should be refused, and is allowed: allowed by rule work (mine.toml:4:1)",
        ),
    ] {
        let (out, _) = test(keys);
        assert!(out.contains(part), "`{part}` is not in {out}");
    }
}

#[test]
fn a_move_is_explained_by_what_forbids_it() {
    let dir = tempfile::tempdir().unwrap();
    let base = fs::canonicalize(dir.path()).unwrap();
    let at = |name: &str| base.join(name).to_str().unwrap().to_owned();
    let text = format!("{HEAD}{REPOSITORY}").replace("/w/**", &at("w/**"));
    fs::write(at("mine.toml"), text).unwrap();
    fs::create_dir_all(at("w/.git/hooks")).unwrap();
    fs::write(at("w/file"), "").unwrap();
    std::os::unix::fs::symlink("w", at("link")).unwrap();
    let explain = |path: &str, to: &str, more: &[&str]| {
        let (path, to) = (at(path), at(to));
        let args = ["grant", "explain", "mine.toml", &path, "--to", &to];
        bailiff_in(&base, &[&args[..], more].concat())
    };
    let refused = explain("w/.git", "w/x", &[]);
    assert_eq!(refused.code, 0, "{}", refused.err);
    let gain = format!(
        "Below it, {} would gain write, create, delete as {}:\n    rule hooks \
         (mine.toml:14:1) denies it under its old name.\n    They run later.\n",
        at("w/.git/hooks/a"),
        at("w/x/hooks/a")
    );
    for part in [
        &format!(
            "rename directory {} to {}: refused",
            at("w/.git"),
            at("w/x")
        )[..],
        "  allowed  work (mine.toml:4:1)",
        &gain,
        "EXDEV (\"Invalid cross-device link\")",
    ] {
        assert!(
            refused.out.contains(part),
            "`{part}` is not in {}",
            refused.out
        );
    }
    let json = json(&explain("w/.git", "w/x", &["--json"]));
    assert_eq!(
        (&json["schema"], &json["allowed"]),
        (&1.into(), &false.into())
    );
    assert_eq!(json["move"], "rename");
    assert_eq!(json["needs"][1]["right"], "file.create");
    assert_eq!(json["needs"][1]["rule"]["id"], "work");
    assert_eq!(
        json["bars"][0]["new"]["text"].as_str(),
        Some(&at("w/x/hooks/a")[..])
    );
    // What is there tells what is moved, and whether something is replaced; links in the way are
    // followed, the last name is not.
    let file = explain("link/file", "link/other", &[]).out;
    let head = format!("rename {} to {}: allowed\n", at("w/file"), at("w/other"));
    assert!(file.starts_with(&head), "`{head}` does not begin {file}");
    assert!(
        explain("link", "other", &[])
            .out
            .starts_with(&format!("rename {} to", at("link")))
    );
    let over = explain("w/x", "w/file", &[]).out;
    assert!(
        over.contains(&format!(" over {}: allowed", at("w/file"))),
        "{over}"
    );
    // What is not there can be said.
    assert!(explain("w/x", "w/y/.git", &[]).out.contains(": allowed"));
    let planted = explain("w/x", "w/y/.git", &["--directory"]).out;
    assert!(planted.contains("would lose write, create as"), "{planted}");
    let link = explain("w/.git/hooks/a", "w/a", &["--link"]).out;
    assert!(
        link.contains("would gain write") && !link.contains("Below it"),
        "{link}"
    );
    let exchange = explain("w/file", "w/.git", &["--exchange"]).out;
    assert!(
        exchange.contains("with directory") && exchange.contains(": refused"),
        "{exchange}"
    );
    let missing = explain("w/file", "w/.git/hooks/a", &[]).out;
    assert!(
        missing.contains("refused  hooks (mine.toml:14:1)  They run later."),
        "{missing}"
    );
    assert!(!missing.contains("EXDEV"), "{missing}");
    for (path, to, more, part) in [
        ("w/a", "w/a/b", &[][..], "one path is within the other"),
        ("w/a", "w/a", &[], "both paths are the same"),
        (
            "w/a",
            "w/b",
            &["--link", "--directory"],
            "cannot be used with",
        ),
        ("w/a", "w/b", &["read"], "cannot be used with"),
    ] {
        let run = explain(path, to, more);
        assert!(
            run.code != 0 && run.err.contains(part),
            "`{part}` is not in {}",
            run.err
        );
    }
    let relative = ["grant", "explain", "mine.toml", "/a", "--to", "b"];
    let run = bailiff_in(&base, &relative);
    assert!(run.err.contains("`b` is no absolute path"), "{}", run.err);
}
