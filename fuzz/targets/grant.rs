//! Grants: whatever the text is, an answer and no panic; and what compiles keeps its promises.

#![no_main]

/// As people are shown them, by what has to bear every span.
#[allow(unreachable_pub, reason = "it is public in agent-user")]
#[path = "../../agent-user/src/render/diagnostic.rs"]
mod diagnostic;

use std::collections::BTreeMap;

use agent_abi::{FileRights, Right};
use agent_grant::{
    CompileOptions, Compiled, Grant, ImageParams, Inputs, Interpreter, Relation, Source,
    TestAnswer, VisibleFilesystem, VisibleMount, compare, compile, explain, graph, intersect, lint,
    load, load_for_tests,
    model::Object,
    naive::{self, NaiveRule},
    run_tests, shipped_includes,
};
use diagnostic::{Colours, render, render_all};
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else {
        return Corpus::Reject;
    };
    let inputs = Inputs {
        cwd: Some("/w".to_owned()),
        home: Some("/home/u".to_owned()),
        user: Some("u".to_owned()),
        set: BTreeMap::new(),
    };
    let errors = match load(Source::new("fuzz.toml", text), &inputs, &shipped_includes) {
        Err(errors) => errors,
        Ok(grant) => match compile(&grant, &CompileOptions::default()) {
            Err(errors) => errors,
            Ok(compiled) => {
                check(&grant, &compiled);
                check_tests(text);
                return Corpus::Keep;
            }
        },
    };
    assert!(!errors.0.is_empty(), "a refusal says why");
    for error in &errors.0 {
        assert!(!error.message.is_empty());
    }
    assert!(
        !render_all(&errors.0, Colours::Plain).contains('\x1b'),
        "plain where no colours are wanted"
    );
    let _ = render_all(&errors.0, Colours::Styled);
    Corpus::Keep
});

fn check(grant: &Grant, compiled: &Compiled) {
    let _ = (grant.unsupported(), graph(compiled));
    for remark in lint(compiled) {
        assert!(!render(&remark.diagnostic, Colours::Plain).is_empty());
    }
    assert_eq!(compare(compiled, compiled).relation, Relation::Equal);
    if let Ok(both) = intersect(compiled, compiled) {
        let relation = compare(&both, compiled).relation;
        assert!(
            matches!(relation, Relation::Equal | Relation::Narrower),
            "{relation:?}"
        );
    }
    let superblock = VisibleFilesystem {
        number: 0,
        mounts: vec![VisibleMount {
            root: vec![],
            at: vec![],
        }],
    };
    let image = compiled
        .image(&ImageParams {
            generation: 1,
            policy: 1,
            epoch: 1,
            superblocks: &[superblock],
        })
        .expect("what compiles fits");
    let kernel = Interpreter::new(&image).expect("an image");
    let rules = naive_rules(grant);
    for path in paths(grant) {
        let state = kernel.walk(kernel.root(0), &path);
        for (number, right) in Right::FILE.iter().enumerate() {
            let (allowed, _) = kernel.decide(state, *right);
            assert_eq!(compiled.decide(&path, *right), kernel.decide(state, *right));
            let explained = explain(compiled, &path, *right).expect("a file right");
            assert_eq!(explained.allowed, allowed);
            // Denials that every session has come on top of the grant's own.
            if allowed || ours(&path) {
                let (expected, _) = naive::decide(&rules, &path, number);
                assert_eq!(allowed, expected, "{} {right:?}", path.escape_ascii());
            }
        }
    }
}

/// What is said of a move has reasons, and none where it is allowed.
fn check_tests(text: &str) {
    let source = Source::new("fuzz.toml", text);
    let Ok(grant) = load_for_tests(source, None, BTreeMap::new(), &shipped_includes) else {
        return;
    };
    let Ok(compiled) = compile(&grant, &CompileOptions::default()) else {
        return;
    };
    for outcome in run_tests(&compiled) {
        if let TestAnswer::Move(found) = outcome.answer {
            let rights = found.needs.iter().all(|need| need.allowed);
            let bars = found.transfers.iter().any(|moved| moved.bar.is_some());
            assert_eq!(found.allowed, rights && !bars, "{found:?}");
        }
    }
}

fn ours(path: &[u8]) -> bool {
    let shared = [&b"/var/lib/"[..], b"/sys/", b"/run/", b"/etc/", b"/proc/"];
    !shared.iter().any(|shared| path.starts_with(shared))
}

/// The file rules as the naive matcher takes them: globs printed as patterns, so that it knows
/// neither variables nor braces.
fn naive_rules(grant: &Grant) -> Vec<NaiveRule> {
    let mut rules = Vec::new();
    for (number, rule) in grant.rules.iter().enumerate() {
        if let Object::File {
            rights,
            paths,
            except,
        } = &rule.object
        {
            let print = |patterns: &[agent_grant::model::FilePattern]| {
                let globs = patterns.iter().flat_map(|pattern| &pattern.alternatives);
                globs
                    .map(|alternative| alternative.glob.to_string())
                    .collect()
            };
            rules.push(NaiveRule {
                number: number as u16,
                allow: rule.effect == agent_grant::Effect::Allow,
                rights: FileRights(rights.0),
                paths: print(paths),
                except: print(except),
            });
        }
    }
    rules
}

/// The literal beginnings of the grant's patterns, and what could be below them.
fn paths(grant: &Grant) -> Vec<Vec<u8>> {
    let mut paths = vec![Vec::new(), b"/w/a".to_vec()];
    for rule in &grant.rules {
        if let Object::File {
            paths: patterns,
            except,
            ..
        } = &rule.object
        {
            for pattern in patterns.iter().chain(except) {
                for alternative in pattern.alternatives.iter().take(2) {
                    let prefix = alternative.glob.literal_prefix();
                    paths.push([prefix, b"/.a"].concat());
                    paths.push(prefix.to_vec());
                }
            }
        }
    }
    paths.truncate(24);
    paths
}
