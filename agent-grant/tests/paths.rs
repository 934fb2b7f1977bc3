//! The table of cases, through the naive matcher, the glob, and the automaton as the kernel reads
//! it.

mod common;

use agent_abi::Right;
use agent_grant::{
    interpret::Interpreter,
    naive::{self, NaiveRule, cases},
};
use common::{compile_rules, plain_image};

const TABLE: &str = include_str!("data/paths.txt");

#[test]
fn every_case() {
    let cases = cases(TABLE);
    assert!(cases.len() > 400, "{}", cases.len());
    let mut last: Option<(String, Box<agent_abi::Image>)> = None;
    for case in &cases {
        let shown = format!("{} on {}", case.pattern, case.path.escape_ascii());
        assert_eq!(
            naive::matches(&case.pattern, &case.path),
            case.matches,
            "naive: {shown}"
        );
        let globs = agent_grant::glob::parse(&case.pattern, &|_| Err(String::new())).unwrap();
        let found = globs.iter().any(|glob| glob.matches(&case.path));
        assert_eq!(found, case.matches, "glob: {shown}");
        // What is shown to people reads back as the same pattern.
        for glob in &globs {
            let again = agent_grant::glob::parse(&glob.to_string(), &|_| Err(String::new()));
            assert_eq!(again.unwrap(), std::slice::from_ref(glob), "{glob}");
        }
        if last
            .as_ref()
            .is_none_or(|(pattern, _)| *pattern != case.pattern)
        {
            let rule = NaiveRule {
                number: 0,
                allow: true,
                rights: agent_abi::FileRights::READ,
                paths: vec![case.pattern.clone()],
                except: vec![],
            };
            last = Some((case.pattern.clone(), plain_image(&compile_rules(&[rule]))));
        }
        let (_, image) = last.as_ref().unwrap();
        let kernel = Interpreter::new(image).unwrap();
        let state = kernel.walk(kernel.root(0), &case.path);
        assert_eq!(
            kernel.decide(state, Right::FileRead).0,
            case.matches,
            "image: {shown}"
        );
    }
}

/// What a rule's patterns begin with is shared up to a depth; beyond it they stand for themselves.
#[test]
fn patterns_that_begin_with_one_another_are_told_apart() {
    let deep = |length: usize| format!("/{}", "a".repeat(length));
    let forms: [fn(String) -> String; 3] = [
        |path| path,
        |path| format!("{path}/**"),
        |path| format!("/**{path}*z"),
    ];
    for form in forms {
        let paths = (1..=150).filter(|length| length % 3 != 0).map(deep);
        let rule = NaiveRule {
            number: 0,
            allow: true,
            rights: agent_abi::FileRights::READ,
            paths: paths.map(form).collect(),
            except: vec![],
        };
        let image = plain_image(&compile_rules(std::slice::from_ref(&rule)));
        let kernel = Interpreter::new(&image).unwrap();
        for length in 1..=152 {
            for end in ["", "/b", "z"] {
                let path = deep(length) + end;
                let state = kernel.walk(kernel.root(0), path.as_bytes());
                let mut patterns = rule.paths.iter();
                let expected = patterns.any(|pattern| naive::matches(pattern, path.as_bytes()));
                let found = kernel.decide(state, Right::FileRead).0;
                assert_eq!(found, expected, "{path} by {}", rule.paths[0]);
            }
        }
    }
}
