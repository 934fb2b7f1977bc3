//! The examples of the reference are valid and their tests pass.

mod common;

use common::compile_text;

#[test]
fn examples() {
    let text = include_str!("../../docs/grants.md");
    let mut examples = 0;
    for block in text.split("```toml\n").skip(1) {
        let (example, _) = block.split_once("```").expect("the block ends");
        let grant = compile_text(example);
        for outcome in grant.run_tests() {
            assert!(outcome.passed, "{}: {}", outcome.location, outcome.question);
        }
        examples += 1;
    }
    assert_eq!(examples, 3);
}
