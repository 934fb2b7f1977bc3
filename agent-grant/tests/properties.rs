//! The automaton, as read back from an image, against the naive matcher.

mod common;

use agent_abi::{Right, ledger::NO_RULE, right::FILE_RIGHTS};
use agent_decide::{New, Old};
use agent_grant::{compile::rights_permit_move, interpret::Interpreter, naive, naive::NaiveRule};
use common::{arb_path, arb_rules, compile_rules, plain_image};
use proptest::prelude::*;

/// The rule that is named: of an allowance the first that allows; of a refusal a denying rule that
/// matches, and none only where no rule made the difference and no anchored pattern matches.
fn check_rule(
    rules: &[NaiveRule],
    path: &[u8],
    right: usize,
    allowed: bool,
    by: u16,
) -> Result<(), TestCaseError> {
    let about = rules
        .iter()
        .filter(|r| r.rights.0 & (1 << right) != 0 && naive::rule_matches(r, path));
    let first_allow = about.clone().find(|r| r.allow);
    let denying: Vec<_> = about.filter(|r| !r.allow).collect();
    if allowed {
        prop_assert_eq!(Some(by), first_allow.map(|r| r.number));
    } else if by == NO_RULE {
        prop_assert!(first_allow.is_none(), "{}", path.escape_ascii());
        prop_assert!(!denying.iter().any(|r| naive::matches_anchored(r, path)));
    } else {
        prop_assert!(
            denying.iter().any(|r| r.number == by),
            "{}",
            path.escape_ascii()
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn image_decides_like_the_naive_matcher(
        rules in arb_rules(6),
        paths in prop::collection::vec(arb_path(), 1..60),
    ) {
        let compiled = compile_rules(&rules);
        let image = plain_image(&compiled);
        let kernel = Interpreter::new(&image).expect("an image");
        for path in &paths {
            let state = kernel.walk(kernel.root(0), path);
            for right in 0..FILE_RIGHTS {
                let (allowed, _) = naive::decide(&rules, path, right);
                let named = Right::from_number(right as u8).expect("a right");
                let (found, by) = kernel.decide(state, named);
                prop_assert_eq!(found, allowed, "{} {:?}", path.escape_ascii(), named);
                check_rule(&rules, path, right, allowed, by)?;
                let right = named;
                prop_assert_eq!(compiled.decide(path, right), kernel.decide(state, right));
            }
        }
    }

    /// A move that the relation allows gives no right and evades no refusal to make, neither here
    /// nor on any path below.
    #[test]
    fn refer_relation_is_sound(
        rules in arb_rules(4),
        moves in prop::collection::vec((arb_path(), arb_path()), 1..12),
    ) {
        let compiled = compile_rules(&rules);
        let image = plain_image(&compiled);
        let kernel = Interpreter::new(&image).expect("an image");
        let below = common::all_paths_below();
        for (new, old) in &moves {
            let state = |path: &[u8]| kernel.walk(kernel.root(0), path);
            let wrong = below.iter().any(|rest| {
                let at = |base: &[u8]| kernel.rights(state(&[base, rest].concat()));
                !rights_permit_move(Old(at(old)), New(at(new)))
            });
            let allowed = kernel.may_move(true, Old(state(old)), New(state(new)));
            prop_assert_eq!(allowed, compiled.may_move(true, Old(old), New(new)));
            prop_assert!(
                !(allowed && wrong),
                "{} -> {} must not", old.escape_ascii(), new.escape_ascii()
            );
        }
    }
}
