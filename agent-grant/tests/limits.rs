//! What a grant may be at most: its limits are errors that say so, and below them tables stay
//! small.

mod common;
#[path = "../benches/thousand/mod.rs"]
mod thousand;

use agent_grant::{
    CompileOptions, IncludeError, Source, compile,
    glob::{MAX_ALTERNATIVES, MAX_PATTERN},
    load, shipped_includes,
};
use common::{compile_text, inputs, load_text};

const HEAD: &str = "version = 1\nname = \"g\"\n";

fn refusal(text: &str) -> String {
    let source = Source::new("g.toml", format!("{HEAD}{text}"));
    match load(source, &inputs(), &shipped_includes) {
        Err(errors) => errors.to_string(),
        Ok(grant) => compile(&grant, &CompileOptions::default())
            .expect_err("a limit")
            .to_string(),
    }
}

#[test]
fn more_rules_than_fit() {
    let rule = |n| format!("[[file]]\nallow = [\"read\"]\npath = [\"/d/{n}\"]\n");
    let rules = |count: usize| (0..count).map(rule).collect::<String>();
    // Those that every session has take their part.
    let own = compile_text(HEAD).rules().len();
    let most = agent_abi::limits::MAX_RULES - 1 - own;
    compile_text(&format!("{HEAD}{}", rules(most)));
    let message = refusal(&rules(most + 1));
    let expected = format!("the grant has {} rules, {most} fit", most + 1);
    assert!(message.contains(&expected), "{message}");
    assert!(message.contains("can share one table"), "{message}");
}

#[test]
fn more_states_than_fit() {
    let message =
        refusal("[[file]]\nallow = [\"read\"]\npath = [\"/**/*a????????????????????\"]\n");
    assert!(message.contains("too large an automaton"), "{message}");
    assert!(
        message.contains("g.toml:5:9"),
        "the pattern has a place: {message}"
    );
    assert!(message.contains("help: "), "{message}");
}

#[test]
fn a_longer_pattern_than_fits() {
    let path = |length: usize| {
        let path = format!("/{}", "a".repeat(length - 1));
        format!("[[file]]\nallow = [\"read\"]\npath = [\"{path}\"]\n")
    };
    compile_text(&format!("{HEAD}{}", path(MAX_PATTERN)));
    let message = refusal(&path(MAX_PATTERN + 1));
    assert!(message.contains("the pattern is too long"), "{message}");
    assert!(message.contains("at most 4096 bytes"), "{message}");
}

#[test]
fn more_alternatives_than_fit() {
    let path = |ways: usize| {
        let ways: Vec<_> = (0..ways).map(|n| n.to_string()).collect();
        format!(
            "[[file]]\nallow = [\"read\"]\npath = [\"/{{{}}}\"]\n",
            ways.join(",")
        )
    };
    compile_text(&format!("{HEAD}{}", path(MAX_ALTERNATIVES)));
    let message = refusal(&path(MAX_ALTERNATIVES + 1));
    assert!(
        message.contains("too many patterns") && message.contains("at most 256"),
        "{message}"
    );
}

#[test]
fn includes_and_variables_that_nest_too_deeply() {
    let include = |name: &str| match name.parse::<usize>() {
        Ok(level) => {
            let text = format!("{HEAD}include = [\"{}\"]\n", level + 1);
            Ok(Source::new(format!("{name}.toml"), text))
        }
        Err(_) => Err(IncludeError {
            message: "no such file".to_owned(),
            known: vec![],
        }),
    };
    let source = Source::new("g.toml", format!("{HEAD}include = [\"0\"]\n"));
    let message = load(source, &inputs(), &include)
        .expect_err("a limit")
        .to_string();
    assert!(message.contains("includes nest too deeply"), "{message}");
    assert!(message.contains("at most 16 levels"), "{message}");

    let variables = (0..40).map(|n| format!("v{n:02} = \"${{v{:02}}}\"\n", n + 1));
    let text = format!(
        "[variables]\n{}v40 = \"/x\"\n",
        variables.collect::<String>()
    );
    assert!(refusal(&text).contains("variables nest too deeply"));
}

#[test]
fn sixty_patterns_take_less_than_256_kb() {
    let text = include_str!("../benches/sixty.toml");
    let patterns: usize = load_text(text)
        .rules
        .iter()
        .map(|rule| rule.objects().len())
        .sum();
    assert!(patterns >= 60, "{patterns}");
    let bytes = compile_text(text).table_bytes();
    assert!(bytes < 256 * 1024, "{bytes}");
}

#[test]
fn a_thousand_patterns_fit() {
    let grant = compile_text(&thousand::thousand());
    assert!(grant.table_bytes() <= 2 * agent_abi::limits::IMAGE_WORDS);
    common::plain_image(&grant);
}
