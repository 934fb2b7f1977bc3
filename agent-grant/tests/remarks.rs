//! Explanations, lints, graph, resolved prefixes.

mod common;

use agent_abi::Right;
use agent_grant::{
    CompileOptions, LintKind, compile, explain, graph, lint, load,
    model::{LiteralPrefix, Object, Resolution},
    shipped, shipped_includes,
};
use common::{compile_text, inputs, load_text};

const GRANT: &str = r#"
version = 1
name = "remarks"
[[file]]
id = "workspace"
allow = ["read", "write", "create", "delete", "exec"]
path = ["/w/**"]
[[file]]
id = "secrets"
deny = ["all"]
path = ["/**/.env*"]
except = ["/**/.env.example"]
[[file]]
id = "locked"
deny = ["write"]
path = ["/w/locked/**"]
[[file]]
id = "tools"
allow = ["read", "exec"]
path = ["/usr/bin/*"]
"#;

#[test]
fn explanations() {
    let grant = compile_text(GRANT);
    let why = |path: &str, right| explain(&grant, path.as_bytes(), right).unwrap();
    let secret = why("/w/.env", Right::FileRead);
    assert!(!secret.allowed);
    assert_eq!(secret.rule.as_ref().unwrap().id, "secrets");
    assert_eq!(
        secret.change,
        "to allow it, name /w/.env in `except` of `secrets`"
    );
    let example = why("/w/.env.example", Right::FileRead);
    assert!(example.allowed && example.matches.iter().any(|m| m.except.is_some()));
    let lacking = why("/usr/bin/ls", Right::FileWrite);
    assert_eq!(
        lacking.change,
        "to allow it, add \"write\" to rule `tools`, or add a rule"
    );
    let outside = why("/etc/passwd", Right::FileRead);
    assert!(outside.rule.is_none() && outside.nearest.is_some());
    let own = why("/var/lib/bailiff/x", Right::FileRead);
    assert!(own.change.starts_with("no grant can allow it"));
    assert!(explain(&grant, b"/w", Right::NetConnect).is_none());
}

#[test]
fn lints() {
    let kinds: Vec<_> = lint(&compile_text(GRANT)).iter().map(|l| l.kind).collect();
    assert!(kinds.contains(&LintKind::WritableAndExecutable));
    assert!(kinds.contains(&LintKind::DenialCanBeMovedAway));
    let quiet = "version = 1\nname = \"q\"\n[[file]]\nallow = [\"read\"]\npath = [\"/w/**\"]\n";
    assert!(lint(&compile_text(quiet)).is_empty());
    let grant = load(shipped("coder").unwrap(), &inputs(), &shipped_includes).unwrap();
    let shipped = lint(&compile(&grant, &CompileOptions::default()).unwrap());
    for lint in &shipped {
        println!("{}\n", lint.diagnostic);
    }
    assert!(shipped.iter().all(|l| l.kind != LintKind::NeverDecides));
}

#[test]
fn picture_of_three_rules() {
    let text = r#"
        version = 1
        name = "three"
        [[file]]
        allow = ["read"]
        path = ["/w/**"]
    "#;
    let picture = graph(&compile_text(text));
    println!("{picture}");
    assert!(
        picture.starts_with("digraph \"three\" {") && picture.contains("label=\"/w\""),
        "{picture}"
    );
}

#[test]
fn prefixes_are_resolved_and_kept() {
    let mut grant = load_text(GRANT);
    let mut asked = Vec::new();
    grant
        .resolve_prefixes(&mut |prefix: &LiteralPrefix<'_>| {
            asked.push((prefix.path.to_vec(), prefix.whole));
            Ok(match prefix.path {
                b"/w" => Resolution::To(vec![b"/real/w[1]".to_vec(), b"/w".to_vec()]),
                _ => Resolution::Same,
            })
        })
        .unwrap();
    assert_eq!(asked[0], (b"/w".to_vec(), false));
    assert!(asked.contains(&(Vec::new(), false)));
    let Object::File { paths, .. } = &grant.rules[0].object else {
        panic!()
    };
    assert_eq!(
        paths[0].alternatives[0].glob.to_string(),
        "/real/w\\[1\\]/**"
    );
    assert_eq!(
        paths[0].alternatives[0]
            .written
            .as_ref()
            .unwrap()
            .to_string(),
        "/w/**"
    );
    assert!(paths[0].alternatives[1].written.is_none());
    let compiled = compile(&grant, &CompileOptions::default()).unwrap();
    assert!(compiled.decide(b"/real/w[1]/x", Right::FileWrite).0);
    assert!(compiled.decide(b"/w/x", Right::FileWrite).0);
    assert!(!compiled.decide(b"/real/w1/x", Right::FileWrite).0);

    let refused = load_text(GRANT).resolve_prefixes(&mut |prefix: &LiteralPrefix<'_>| {
        if prefix.rule == "tools" {
            Err("/usr/bin is a link".to_owned())
        } else {
            Ok(Resolution::Same)
        }
    });
    let message = refused.unwrap_err().to_string();
    assert!(
        message.contains("test.toml:20:9") && message.contains("is a link"),
        "{message}"
    );
}

/// The remarks of one kind: severity aside, what they say, and what to write instead.
fn remarks_of(kind: LintKind, rules: &str) -> Vec<(String, String)> {
    let text = format!("version = 1\nname = \"proc\"\n{rules}");
    let lints = lint(&compile_text(&text));
    let of_kind = lints.into_iter().filter(|lint| lint.kind == kind);
    of_kind
        .map(|lint| {
            (
                lint.diagnostic.message,
                lint.diagnostic.help.unwrap_or_default(),
            )
        })
        .collect()
}

#[test]
fn links_of_proc_are_remarked_on_with_what_to_write() {
    let rule = |effect: &str, path: &str| {
        format!("[[file]]\nid = \"p\"\n{effect} = [\"read\"]\npath = [\"{path}\"]\n")
    };
    let told = |rules: &str| remarks_of(LintKind::NamesALink, rules);
    for (path, instead) in [
        ("/proc/self/status", "`/proc/*`"),
        ("/proc/self/**", "`/proc/*`"),
        ("/proc/self", "`/proc/*`"),
        ("/proc/{1,self}/maps", "`/proc/*`"),
        ("/proc/thread-self/comm", "`/proc/*/task/*`"),
        ("/proc/mounts", "`/proc/*/mounts`"),
        ("/proc/net/tcp", "`/proc/*/net`"),
        ("/dev/fd/*", "leave the pattern out"),
        ("/dev/stdin", "leave the pattern out"),
        ("/dev/{stdout,stderr}", "leave the pattern out"),
    ] {
        // A denial that matches nothing is worse.
        for effect in ["allow", "deny"] {
            let told = told(&rule(effect, path));
            assert_eq!(told.len(), 1, "{path}: {told:?}");
            assert!(
                told[0].0.contains(path) && told[0].1.contains(instead),
                "{told:?}"
            );
        }
    }
    for path in [
        "/proc/*/status",
        "/proc/**",
        "/proc/selfish",
        "/w/proc/self/x",
        "/dev/fd0",
        "/**/self/x",
    ] {
        assert_eq!(told(&rule("allow", path)), [], "{path}");
    }
    let except = rule("allow", "/proc/**") + "except = [\"/proc/self/mem\"]\n";
    assert_eq!(told(&except).len(), 1);
    // One for each rule and link.
    let many = rule("allow", "/proc/self/a\", \"/proc/self/b\", \"/dev/stdin");
    assert_eq!(told(&many).len(), 2);
}

#[test]
fn writing_what_is_of_other_processes_is_remarked_on() {
    let told = |rights: &str, path: &str| {
        let rule = format!("[[file]]\nid = \"p\"\nallow = [{rights}]\npath = [\"{path}\"]\n");
        remarks_of(LintKind::WritesOfOthers, &rule).len()
    };
    for path in [
        "/proc/*/oom_score_adj",
        "/proc/[0-9]*/sched",
        "/proc/**",
        "/**",
        "/proc/*/{comm,autogroup}",
    ] {
        assert_eq!(told("\"read\", \"write\"", path), 1, "{path}");
        assert_eq!(told("\"read\"", path), 0, "{path}");
    }
    assert_eq!(told("\"write\"", "/proc/*/comm"), 0);
    assert_eq!(told("\"write\"", "/proc/*/task/*/comm"), 0);
}

#[test]
fn what_ships_is_not_remarked_on_for_proc() {
    for name in agent_grant::shipped_names() {
        let grant = load(shipped(name).unwrap(), &inputs(), &shipped_includes).unwrap();
        let lints = lint(&compile(&grant, &CompileOptions::default()).unwrap());
        let strange = [LintKind::NamesALink, LintKind::WritesOfOthers];
        let found = lints.iter().find(|lint| strange.contains(&lint.kind));
        assert!(found.is_none(), "{name}: {found:?}");
    }
}
