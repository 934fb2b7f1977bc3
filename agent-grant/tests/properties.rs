//! The automaton, as read back from an image, against the naive matcher.

mod common;

use agent_abi::{Right, ledger::NO_RULE, right::FILE_RIGHTS};
use agent_grant::{interpret::Interpreter, naive};
use common::{arb_path, arb_rules, compile_rules, plain_image};
use proptest::prelude::*;

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
                let (allowed, rule) = naive::decide(&rules, path, right);
                let right = Right::from_number(right as u8).expect("a right");
                prop_assert_eq!(
                    kernel.decide(state, right),
                    (allowed, rule.unwrap_or(NO_RULE)),
                    "{} {:?}", path.escape_ascii(), right
                );
                prop_assert_eq!(compiled.decide(path, right), kernel.decide(state, right));
            }
        }
    }

    /// A move that the relation allows gives no right, neither here nor on any path below.
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
            let gains = below.iter().any(|rest| {
                let at = |base: &[u8]| kernel.rights(state(&[base, rest].concat()));
                !at(old).contains(at(new))
            });
            let allowed = kernel.may_move(state(new), state(old));
            prop_assert_eq!(allowed, compiled.may_move(new, old));
            prop_assert!(
                !(allowed && gains),
                "{} -> {} gains", old.escape_ascii(), new.escape_ascii()
            );
        }
    }
}
