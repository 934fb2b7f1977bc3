//! `bailiff grant diff`

use super::{ETC, NO_SHADOW};
use crate::common::{HEAD, Run, grant_among, json};

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
