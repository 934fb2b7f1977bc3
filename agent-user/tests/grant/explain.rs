//! `bailiff grant explain` and `bailiff grant show`

use super::{ETC, NO_SHADOW};
use crate::common::{HEAD, bailiff_in, grant, grant_among, json};

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
