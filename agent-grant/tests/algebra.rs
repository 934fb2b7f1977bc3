//! Laws of the comparison and the intersection.

mod common;

use agent_abi::{Right, Surface};
use agent_decide::{New, Old};
use agent_grant::{
    Compiled, Relation, Witness,
    algebra::{Side, differences, move_witness},
    compare, intersect,
    model::Limits,
    syntax::settings::settings,
    unreachable_rules,
};
use common::{all_paths_below, arb_path, arb_rules, compile_rules, compile_text};
use proptest::prelude::*;

fn holds(grant: &Compiled, witness: &Witness) -> bool {
    match witness {
        Witness::File { path, right } => grant.decide(path, *right).0,
        Witness::Net(endpoint) => grant.decide_net(*endpoint).0,
        other => panic!("{other}"),
    }
}

fn within(relation: Relation) -> bool {
    matches!(relation, Relation::Equal | Relation::Narrower)
}

/// The intersection of `x` and `y`, once its laws hold.
fn meet(x: &Compiled, y: &Compiled, z: &Compiled) -> Result<Compiled, TestCaseError> {
    let both = intersect(x, y).expect("fits");
    let relation = |a, b| compare(a, b).relation;
    prop_assert!(within(relation(&both, x)) && within(relation(&both, y)));
    let turned = intersect(y, x).expect("fits");
    prop_assert_eq!(relation(&both, &turned), Relation::Equal);
    let twice = intersect(x, x).expect("fits");
    prop_assert_eq!(relation(&twice, x), Relation::Equal);
    let third = intersect(&both, z).expect("fits");
    prop_assert!(within(relation(&third, &both)));
    if within(relation(z, x)) && within(relation(z, y)) {
        prop_assert!(within(relation(z, &both)));
    }
    if within(relation(x, y)) {
        prop_assert_eq!(relation(&both, x), Relation::Equal);
    }
    Ok(both)
}

/// A grant of rules about abstract Unix sockets.
fn arb_names() -> impl Strategy<Value = Compiled> {
    let piece = prop::sample::select(vec!["a", "b", "*", "?", "[ab]", "{a,b?}", "/"]);
    let pattern = prop::collection::vec(piece, 1..4).prop_map(|mut pieces| {
        pieces.dedup_by(|next, piece| next == piece && *piece == "*");
        pieces.concat()
    });
    let effect = prop::sample::select(vec!["allow", "allow", "deny"]);
    let rules = prop::collection::vec((effect, pattern), 0..4);
    rules.prop_map(|rules| {
        let rule = |(number, (effect, pattern))| {
            format!(
                "[[unix]]\nid = \"r{number}\"\n{effect} = [\"connect\"]\nname = [\"@{pattern}\"]\n"
            )
        };
        let rules: String = rules.into_iter().enumerate().map(rule).collect();
        compile_text(&format!("version = 1\nname = \"names\"\n{rules}"))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn comparison_is_an_order_with_true_witnesses(
        x in arb_rules(3), y in arb_rules(3), z in arb_rules(3),
    ) {
        let [x, y, z] = [x, y, z].map(|rules| compile_rules(&rules));
        prop_assert_eq!(compare(&x, &x).relation, Relation::Equal);
        let xy = compare(&x, &y);
        let yx = compare(&y, &x);
        prop_assert_eq!(&xy.only_first, &yx.only_second);
        for witness in &xy.only_first {
            prop_assert!(holds(&x, witness) && !holds(&y, witness), "{}", witness);
        }
        for witness in &xy.only_second {
            prop_assert!(holds(&y, witness) && !holds(&x, witness), "{}", witness);
        }
        if within(xy.relation) && within(compare(&y, &z).relation) {
            prop_assert!(within(compare(&x, &z).relation));
        }
        // No path that was not found to differ does.
        let differs = !matches!(xy.relation, Relation::Equal);
        for path in all_paths_below() {
            for right in &Right::FILE {
                prop_assert!(differs || x.decide(&path, *right).0 == y.decide(&path, *right).0);
            }
        }
    }

    /// Each difference names the rules that decide it, and is a shortest path for them.
    #[test]
    fn differences_say_who_decides(x in arb_rules(3), y in arb_rules(3)) {
        let [x, y] = [x, y].map(|rules| compile_rules(&rules));
        let found = differences(&x, &y);
        for difference in &found {
            let Witness::File { path, right } = &difference.witness else {
                panic!("{difference:?}")
            };
            let (ours, our_rule) = x.decide(path, *right);
            let (theirs, their_rule) = y.decide(path, *right);
            prop_assert_eq!(ours, difference.wider == Side::First);
            prop_assert_eq!(theirs, difference.wider == Side::Second);
            prop_assert_eq!(x.rule(our_rule), difference.first.rule.as_ref());
            prop_assert_eq!(y.rule(their_rule), difference.second.rule.as_ref());
        }
        for path in all_paths_below() {
            for right in &Right::FILE {
                let (ours, theirs) = (x.decide(&path, *right), y.decide(&path, *right));
                let shorter = |witness: &Witness| matches!(witness,
                    Witness::File { path: shown, right: of } if of == right && shown.len() <= path.len());
                prop_assert!(ours.0 == theirs.0 || found.iter().any(|difference| {
                    shorter(&difference.witness)
                        && difference.first.rule.as_ref() == x.rule(ours.1)
                        && difference.second.rule.as_ref() == y.rule(theirs.1)
                }), "{} {:?}", path.escape_ascii(), right);
            }
        }
    }

    #[test]
    fn intersection_is_the_greatest_lower_bound(
        x in arb_rules(3), y in arb_rules(3), z in arb_rules(2),
        paths in prop::collection::vec(arb_path(), 1..40),
    ) {
        let [x, y, z] = [x, y, z].map(|rules| compile_rules(&rules));
        let both = meet(&x, &y, &z)?;
        for path in &paths {
            for right in &Right::FILE {
                prop_assert_eq!(
                    both.decide(path, *right).0,
                    x.decide(path, *right).0 && y.decide(path, *right).0
                );
            }
        }
    }

    /// The refer relation refuses a move exactly if some path below forbids it.
    #[test]
    fn refer_relation_is_exact(
        rules in arb_rules(4),
        moves in prop::collection::vec((arb_path(), arb_path()), 1..12),
    ) {
        // The relation also looks at names that never occur (`.`); patterns that tell only those
        // apart would show it.
        prop_assume!(rules.iter().flat_map(|r| r.paths.iter().chain(&r.except)).all(|p| !p.contains("[!b")));
        let grant = compile_rules(&rules);
        for (new, old) in &moves {
            let witness = move_witness(&grant, Old(old), New(new));
            prop_assert_eq!(grant.may_move(true, Old(old), New(new)), witness.is_none(), "{:?}", witness);
        }
    }
}

const HEAD: &str = "version = 1\nname = \"x\"\n";

fn grant(text: &str) -> Compiled {
    compile_text(&format!("{HEAD}{text}"))
}

#[test]
fn names_that_never_occur_make_no_difference() {
    let any = grant("[[file]]\nallow = [\"read\"]\npath = [\"/w/*\"]\n");
    let parts =
        grant("[[file]]\nallow = [\"read\"]\npath = [\"/w/[!.]*\", \"/w/.[!.]*\", \"/w/..?*\"]\n");
    assert_eq!(compare(&any, &parts).relation, Relation::Equal);
}

#[test]
fn shortest_witnesses() {
    let wide = grant("[[file]]\nallow = [\"read\", \"write\"]\npath = [\"/w/**\"]\n");
    let narrow =
        grant("[[file]]\nallow = [\"read\"]\npath = [\"/w/**\"]\nexcept = [\"/w/.env\"]\n");
    let found = compare(&narrow, &wide);
    assert_eq!(found.relation, Relation::Narrower);
    assert_eq!(
        found.only_second,
        [
            Witness::File {
                path: b"/w".to_vec(),
                right: Right::FileWrite
            },
            Witness::File {
                path: b"/w/.env".to_vec(),
                right: Right::FileRead
            },
        ]
    );
}

#[test]
fn the_rest_of_a_grant_counts() {
    let cases = [
        ("[process]\njit = true\n", "", Relation::Wider),
        (
            "[process]\ncapabilities = [\"kill\"]\n",
            "[process]\njit = true",
            Relation::Incomparable,
        ),
        (
            "[limits]\ndeletes = 5\n",
            "[limits]\ndeletes = 6\n",
            Relation::Narrower,
        ),
        ("[limits]\ndeletes = 5\n", "", Relation::Narrower),
        (
            "[limits]\nconnections = \"5/min\"\n",
            "[limits]\nconnections = 7\n",
            Relation::Incomparable,
        ),
        (
            "[limits]\nlifetime = \"1h\"\n",
            "[limits]\nlifetime = \"60min\"\n",
            Relation::Equal,
        ),
        (
            "[[net]]\nallow = [\"connect\"]\nto = [\"10.0.0.0/8:443\"]\n",
            "[[net]]\nallow = [\"connect\"]\nto = [\"10.0.0.0/9:443\", \"10.128.0.0/9:443\"]\n",
            Relation::Equal,
        ),
        (
            "[[net]]\nallow = [\"connect\"]\nto = [\"10.0.0.0/8:443/tcp\"]\n",
            "[[net]]\nallow = [\"connect\"]\nto = [\"*:*\"]\n[[net]]\ndeny = [\"connect\"]\nto = [\"10.1.2.3:443/udp\"]",
            Relation::Narrower,
        ),
        (
            "[[net]]\nallow = [\"connect\"]\nto = [\"[::]/0:443\"]\n",
            "[[net]]\nallow = [\"connect\"]\nto = [\"*:443\"]\n",
            Relation::Narrower,
        ),
        ("mode = \"audit\"\n", "", Relation::Wider),
        (
            "[limits]\nconnections = \"10/h\"\n",
            "[limits]\nconnections = \"10/min\"\n",
            Relation::Narrower,
        ),
        (
            "[limits]\nconnections = \"10/s\"\n",
            "[limits]\nconnections = \"100/min\"\n",
            Relation::Incomparable,
        ),
        (
            "[limits]\nrefusals = { max = 5, then = \"kill\" }\n",
            "[limits]\nrefusals = 5\n",
            Relation::Narrower,
        ),
        (
            "[[unix]]\nallow = [\"connect\"]\nname = [\"@a*\"]\n",
            "[[unix]]\nallow = [\"connect\"]\nname = [\"@a/b*\", \"@a*\"]\n",
            Relation::Equal,
        ),
        (
            "[[unix]]\nallow = [\"connect\"]\nname = [\"@a*\"]\n[[unix]]\ndeny = [\"connect\"]\nname = [\"@a?b\"]\n",
            "[[unix]]\nallow = [\"connect\"]\nname = [\"@a*\"]\n",
            Relation::Narrower,
        ),
        (
            "[[unix]]\ndeny = [\"connect\"]\nname = [\"@x\"]\n",
            "",
            Relation::Equal,
        ),
        (
            "[[unix]]\nallow = [\"connect\"]\nname = [\"@*\"]\n",
            "",
            Relation::Wider,
        ),
    ];
    for (a, b, relation) in cases {
        let found = compare(&grant(a), &grant(b));
        assert_eq!(found.relation, relation, "{a}\n{b}\n{found:?}");
    }
}

#[test]
fn every_limit_takes_part() {
    for (name, _) in Limits::default().texts() {
        let given = |value: &str| grant(&format!("[limits]\n{name} = {value}\n"));
        let [low, high] = if name == "lifetime" {
            ["\"1h\"", "\"2h\""]
        } else {
            ["5", "6"]
        };
        let found = compare(&given(low), &given(high));
        assert_eq!(found.relation, Relation::Narrower, "{name}");
        assert_eq!(found.only_second, [Witness::Limit(name)]);
        let found = compare(&given(low), &grant(""));
        assert_eq!(found.only_second, [Witness::Limit(name)]);
        let both = intersect(&given(high), &given(low)).unwrap();
        assert_eq!(
            compare(&both, &given(low)).relation,
            Relation::Equal,
            "{name}"
        );
    }
}

#[test]
fn every_setting_takes_part() {
    for setting in settings() {
        let text = match setting.words[1] {
            "true" => "true".to_owned(),
            word => format!("\"{word}\""),
        };
        let on = grant(&format!("[{}]\n{} = {text}\n", setting.table, setting.key));
        let found = differences(&on, &grant(""));
        let [difference] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert_eq!(difference.witness, Witness::Setting(setting));
        assert_eq!(difference.wider, Side::First);
        assert_eq!(
            [difference.second.value.as_str(), &difference.first.value],
            setting.words
        );
    }
    let all = settings().fold(0, |bits, setting| bits | setting.switch.bit());
    assert_eq!(settings().count(), 15);
    // `Containers` is the last one; a new one belongs into the table of settings.
    assert_eq!(all, (Surface::Containers.bit() << 1) - 1);
}

#[test]
fn differences_give_both_values() {
    let first = grant(
        "[limits]\nlifetime = \"90min\"\nbytes_out = \"10MiB/s\"\nrefusals = 7\n\
         [[net]]\nid = \"a\"\nallow = [\"connect\"]\nto = [\"10.0.0.0/8:443\"]\n\
         [[net]]\nid = \"b\"\nallow = [\"connect\"]\nto = [\"192.168.0.1:80/tcp\"]\n",
    );
    let second = grant("[process]\ncapabilities = [\"kill\"]\n");
    let lines: Vec<String> = differences(&first, &second)
        .iter()
        .map(|d| format!("{}: {} / {}", d.witness, d.first.value, d.second.value))
        .collect();
    assert_eq!(
        lines,
        [
            "net.connect 10.0.0.0:443/tcp: allowed / refused",
            "net.connect 192.168.0.1:80/tcp: allowed / refused",
            "process.capabilities kill: not granted / granted",
            "limits.lifetime: 1h30min / none",
            "limits.bytes_out: 10MiB/s / none",
            "limits.refusals: 7, then freeze / none",
        ]
    );
}

#[test]
fn rules_that_never_decide() {
    let grant = grant(
        r#"
        [[file]]
        id = "all"
        allow = ["read", "write"]
        path = ["/w/**"]
        [[file]]
        id = "shadowed"
        allow = ["read"]
        path = ["/w/src/*.c"]
        [[file]]
        id = "live"
        allow = ["exec"]
        path = ["/w/src/*.c"]
        [[file]]
        id = "void"
        allow = ["read"]
        path = ["/x/*"]
        except = ["/x/**"]
        [[net]]
        id = "wide"
        allow = ["connect"]
        to = ["10.0.0.0/8:*"]
        [[net]]
        id = "inside"
        allow = ["connect"]
        to = ["10.1.0.0/16:443"]
        "#,
    );
    let ids: Vec<_> = unreachable_rules(&grant)
        .iter()
        .map(|rule| rule.id.as_str())
        .collect();
    assert_eq!(ids, ["shadowed", "void", "inside"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn intersection_of_names_is_the_greatest_lower_bound(
        x in arb_names(), y in arb_names(), z in arb_names(),
    ) {
        let both = meet(&x, &y, &z)?;
        // A difference is one of a grant: what both allow, neither refuses.
        for difference in differences(&both, &x) {
            prop_assert_eq!(difference.wider, Side::Second);
            let Witness::Unix(name) = &difference.witness else { panic!("{difference:?}") };
            let of_y = differences(&y, &x);
            prop_assert!(of_y.iter().any(|other| other.wider == Side::Second), "{}", name.escape_ascii());
        }
    }
}
