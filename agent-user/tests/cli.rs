//! What the command line says when something is wrong. Needs neither root nor a kernel that
//! enforces.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

struct Run {
    code: i32,
    out: String,
    err: String,
}

fn bailiff(args: &[&str]) -> Run {
    bailiff_in(Path::new("/"), args)
}

fn bailiff_in(dir: &Path, args: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bailiff"));
    command
        .current_dir(dir)
        .args(args)
        .env("HOME", "/root")
        .env("USER", "root");
    finish(
        command
            .env("BAILIFF_SOCKET", "/nonexistent/bailiff.sock")
            .output()
            .unwrap(),
    )
}

fn finish(output: Output) -> Run {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run {
        code: output.status.code().unwrap(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

/// A grant in a directory of its own.
fn grant(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mine.toml");
    fs::write(&path, format!("version = 1\nname = \"mine\"\n{text}")).unwrap();
    (dir, path)
}

fn check(text: &str) -> Run {
    let (dir, _) = grant(text);
    bailiff_in(dir.path(), &["grant", "check", "mine.toml"])
}

#[test]
fn without_a_daemon_every_command_says_how_to_start_it() {
    for args in [
        &["ps"][..],
        &["status"],
        &["events"],
        &["why"],
        &["stop", "coder-1"],
        &["untag", "agent"],
        &["report", "coder-1"],
        &["tag", "agent", "--grant", "base"],
    ] {
        let run = bailiff(args);
        assert_eq!(run.code, 1, "{args:?}: {}", run.err);
        assert!(
            run.err.contains("/nonexistent/bailiff.sock"),
            "{args:?}: {}",
            run.err
        );
        assert!(
            run.err.contains("systemctl start bailiff"),
            "{args:?}: {}",
            run.err
        );
        assert_eq!(run.out, "");
    }
}

#[test]
fn run_uses_the_exit_codes_of_a_shell() {
    let run = bailiff(&["run", "--grant", "base", "--", "/bin/true"]);
    assert_eq!(run.code, 125, "{}", run.err);
    assert!(run.err.contains("systemctl start bailiff"), "{}", run.err);
    let run = bailiff(&["run", "--grant", "base", "--", "no-such-command"]);
    assert_eq!(run.code, 127, "{}", run.err);
    assert!(
        run.err.contains("`no-such-command` is not found"),
        "{}",
        run.err
    );
    let run = bailiff(&["run", "--grant", "base", "--", "/etc/passwd"]);
    assert_eq!(run.code, 126, "{}", run.err);
    assert!(run.err.contains("not executable"), "{}", run.err);
}

#[test]
fn an_unknown_grant_names_those_that_there_are() {
    let run = bailiff(&["run", "--grant", "codr", "--", "/bin/true"]);
    assert_eq!(run.code, 125);
    assert!(
        run.err.contains("`codr`") && run.err.contains("coder"),
        "{}",
        run.err
    );
}

#[test]
fn the_daemon_must_be_root() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bailiff"));
    command.args(["daemon"]);
    if nix::unistd::geteuid().is_root() {
        // Files of root's build need not be readable to others: a copy is.
        let dir = tempfile::tempdir().unwrap();
        let copy = dir.path().join("bailiff");
        fs::copy(env!("CARGO_BIN_EXE_bailiff"), &copy).unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(dir.path(), open).unwrap();
        command = Command::new(copy);
        std::os::unix::process::CommandExt::uid(command.arg("daemon"), 65534);
        let run = finish(command.output().unwrap());
        assert_not_root(&run);
    } else {
        assert_not_root(&finish(command.output().unwrap()));
    }
}

fn assert_not_root(run: &Run) {
    assert_eq!(run.code, 1);
    assert!(
        run.err.contains("must run as root") && run.err.contains("sudo"),
        "{}",
        run.err
    );
}

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
    assert_eq!(run.code, 2);
    assert!(run.err.contains("write the real path: /etc"), "{}", run.err);
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
    assert_eq!(json["rights"][0]["rule"], "no");
    assert_eq!(json["rights"][0]["reason"], "Secrets.");
    let run = explain(&["/etc/hostname"]);
    assert!(
        run.out.contains("file.read") && run.out.contains("etc"),
        "{}",
        run.out
    );
    assert_eq!(explain(&["not-a-path"]).code, 1);
}

#[test]
fn options_say_what_they_take() {
    let run = bailiff(&["events", "--right", "file.wirte"]);
    assert_eq!(run.code, 2);
    assert!(run.err.contains("file.write"), "{}", run.err);
    let run = bailiff(&["events", "--since", "soon"]);
    assert!(run.err.contains("1h"), "{}", run.err);
    let run = bailiff(&["why", "x"]);
    assert!(run.err.contains("#12"), "{}", run.err);
}

#[test]
fn doctor_answers_in_json() {
    let run = bailiff(&["doctor", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(json["schema"], 1);
    assert!(
        json["checks"]
            .as_array()
            .is_some_and(|checks| !checks.is_empty())
    );
    assert_eq!(json["ok"].as_bool().unwrap(), run.code == 0);
    assert!(json["daemon_error"].as_str().unwrap().contains("systemctl"));
}
