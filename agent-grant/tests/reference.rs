//! What the documentation shows is what there is.

mod common;

use agent_abi::Right;
use agent_grant::{
    CompileOptions, LintKind, Source, compile, graph, load_for_tests, model::Limits, run_tests,
    shipped_includes, syntax::settings::settings,
};
use common::compile_text;

#[test]
fn examples() {
    let text = include_str!("../../docs/grants.md");
    let mut examples = 0;
    for block in text.split("```toml\n").skip(1) {
        let (example, _) = block.split_once("```").expect("the block ends");
        let source = Source::new("grants.md", example);
        let grant = load_for_tests(source, None, [].into(), &shipped_includes)
            .unwrap_or_else(|errors| panic!("{errors}"));
        let grant = compile(&grant, &CompileOptions::default()).expect("compiles");
        for outcome in run_tests(&grant) {
            assert!(outcome.passed, "{}: {}", outcome.location, outcome.question);
        }
        examples += 1;
    }
    assert_eq!(examples, 9);
}

/// `bailiff grant graph docs/automaton.toml >docs/automaton.dot`, then `dot -Tsvg`.
#[test]
fn the_picture_is_what_the_tool_draws() {
    let drawn = graph(&compile_text(include_str!("../../docs/automaton.toml")));
    assert_eq!(drawn, include_str!("../../docs/automaton.dot"));
    // The picture itself cannot be drawn here; it names every state of the text.
    let picture = include_str!("../../docs/automaton.svg");
    let nodes = drawn
        .lines()
        .filter(|line| line.contains("[label=") && !line.contains("->"));
    for node in nodes {
        let name = node.trim().split(' ').next().expect("a name");
        assert!(
            picture.contains(&format!("<title>{name}</title>")),
            "{name}"
        );
    }
    assert!(include_str!("../../docs/design.md").contains("(automaton.svg)"));
}

#[test]
fn every_remark_right_and_key_is_in_the_reference() {
    let text = include_str!("../../docs/grants.md");
    let remarks = LintKind::ALL.iter().map(|(_, name)| *name);
    let rights = Right::ALL
        .iter()
        .filter_map(|(_, name)| name.strip_prefix("file."));
    let limits = Limits::default();
    let words = remarks.chain(rights);
    let words = words.chain(settings().map(|setting| setting.key));
    let words = words.chain(["environment", "keep", "set", "default"]);
    for word in words {
        assert!(text.contains(&format!("`{word}`")), "{word}");
    }
    for (limit, _) in limits.texts() {
        assert!(text.contains(&format!("\n{limit} = ")), "{limit}");
    }
    for name in agent_grant::environment::DEFAULT {
        assert!(text.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn every_way_around_has_one_row() {
    let text = include_str!("../../docs/threat-model.md");
    let numbers = text.lines().filter_map(|line| {
        let (number, _) = line.strip_prefix("| ")?.split_once(" |")?;
        number.parse::<usize>().ok()
    });
    let mut last = 0;
    for number in numbers {
        assert_eq!(number, last + 1, "the row after {last}");
        last = number;
    }
    assert!(last >= 170, "the rows end at {last}");
}
