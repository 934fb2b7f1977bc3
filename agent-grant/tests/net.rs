//! Network tables against the rules read one by one.

mod common;

use agent_abi::ledger::NO_RULE;
use agent_grant::{
    Compiled,
    net::{Endpoint, parse_destination, parse_endpoint},
};
use common::compile_text;
use proptest::prelude::*;

/// (allow, destination) in file order.
type Rules = Vec<(bool, String)>;

fn compiled(rules: &Rules) -> Compiled {
    let mut text = "version = 1\nname = \"net\"\n".to_owned();
    for (allow, to) in rules {
        let effect = if *allow { "allow" } else { "deny" };
        text += &format!("[[net]]\n{effect} = [\"connect\"]\nto = [\"{to}\"]\n");
    }
    compile_text(&text)
}

/// The first denying rule that matches, else the first allowing one.
fn naive(rules: &Rules, to: Endpoint) -> (bool, u16) {
    let v4 = to.address >> 32 == 0xffff;
    let matches = |text: &str| {
        let d = parse_destination(text).expect("valid");
        let inside = d
            .prefixes
            .iter()
            .any(|p| p.contains(to.address) && p.is_v4() == v4);
        inside
            && (d.ports.0..=d.ports.1).contains(&to.port)
            && d.protocol.is_none_or(|protocol| protocol == to.protocol)
    };
    for effect in [false, true] {
        let found = rules
            .iter()
            .position(|(allow, to)| *allow == effect && matches(to));
        if let Some(rule) = found {
            return (effect, rule as u16);
        }
    }
    (false, NO_RULE)
}

fn arb_rules() -> impl Strategy<Value = Rules> {
    let address = prop_oneof![
        3 => (0_u32..4, 30_u32..33).prop_map(|(host, bits)| {
            let host = host & !((1_u32 << (32 - bits)) - 1);
            format!("10.0.0.{host}/{bits}")
        }),
        1 => Just("0.0.0.0/0".to_owned()),
        1 => Just("*".to_owned()),
        1 => Just("[::]/0".to_owned()),
        2 => (0_u32..4, 126_u32..129).prop_map(|(host, bits)| {
            let host = host & !((1_u32 << (128 - bits)) - 1);
            format!("[2001:db8::{host}]/{bits}")
        }),
    ];
    let ports = prop_oneof![
        Just("*"),
        Just("1"),
        Just("0-1"),
        Just("1-2"),
        Just("65535")
    ];
    let protocol = prop_oneof![Just(""), Just("/tcp"), Just("/udp")];
    let rule =
        (any::<bool>(), address, ports, protocol).prop_map(|(allow, address, ports, protocol)| {
            (allow, format!("{address}:{ports}{protocol}"))
        });
    prop::collection::vec(rule, 0..6)
}

proptest! {
    #[test]
    fn table_decides_like_the_rules(rules in arb_rules()) {
        let grant = compiled(&rules);
        let hosts = ["10.0.0.", "[2001:db8::"];
        for (host, end) in hosts.into_iter().zip(["", "]"]) {
            for last in 0..5 {
                for port in ["0", "1", "2", "3", "65535"] {
                    for protocol in ["tcp", "udp"] {
                        let to = parse_endpoint(&format!("{host}{last}{end}:{port}/{protocol}"))
                            .expect("valid");
                        let expected = naive(&rules, to);
                        let found = grant.decide_net(to);
                        prop_assert_eq!(found.0, expected.0, "{}", to);
                        // A rule that an earlier one swallows is not named; effects agree.
                        prop_assert_eq!(found.1 == NO_RULE, expected.1 == NO_RULE, "{}", to);
                    }
                }
            }
        }
    }

    /// The map entries are the table, with the policy in front.
    #[test]
    fn kernel_entries_are_the_table(rules in arb_rules(), policy in any::<u32>()) {
        let grant = compiled(&rules);
        let entries = grant.net_entries(policy);
        prop_assert_eq!(entries.len(), grant.net.nodes.len());
        for ((bits, key, value), node) in entries.iter().zip(&grant.net.nodes) {
            prop_assert_eq!(*bits, 32 + u32::from(node.prefix.length));
            prop_assert_eq!(key.policy, policy.to_be_bytes());
            prop_assert_eq!(u128::from_be_bytes(key.address), node.prefix.bits);
            prop_assert_eq!(&value.entries[..value.count as usize], node.entries.as_slice());
        }
    }
}

#[test]
fn ipv6_rules_never_reach_mapped_addresses() {
    let grant = compiled(&vec![(true, "[::]/0:*".to_owned())]);
    assert!(
        grant
            .decide_net(parse_endpoint("[2001:db8::1]:443/tcp").unwrap())
            .0
    );
    assert!(
        !grant
            .decide_net(parse_endpoint("10.0.0.1:443/tcp").unwrap())
            .0
    );
}

#[test]
fn only_tcp_and_udp_are_allowed_without_a_protocol() {
    let grant = compiled(&vec![(true, "*:*".to_owned())]);
    let to = |protocol| Endpoint {
        address: 1,
        port: 1,
        protocol,
    };
    assert!(grant.decide_net(to(6)).0 && grant.decide_net(to(17)).0);
    assert!(!grant.decide_net(to(132)).0);
}

#[test]
fn crowded_prefix_is_an_error() {
    let rules: Vec<_> = (0..17)
        .map(|n| format!("\"10.0.0.0/8:{}/tcp\"", n * 2))
        .collect();
    let text = format!(
        "version = 1\nname = \"net\"\n[[net]]\nallow = [\"connect\"]\nto = [{}]\n",
        rules.join(", ")
    );
    let grant = common::load_text(&text);
    let error = agent_grant::compile(&grant, &agent_grant::CompileOptions::default()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("17 port ranges meet at 10.0.0.0/8"),
        "{error}"
    );
}
