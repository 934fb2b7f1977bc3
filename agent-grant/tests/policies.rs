//! The grants that ship do what they say.

mod common;

use agent_grant::{
    CompileOptions, Inputs, compile, load, shipped, shipped_includes, shipped_names,
};

fn inputs() -> Inputs {
    Inputs {
        cwd: Some("/home/u/src/app".to_owned()),
        home: Some("/home/u".to_owned()),
        user: Some("u".to_owned()),
        ..Inputs::default()
    }
}

#[test]
fn expectations_hold() {
    for name in shipped_names() {
        let grant = match load(shipped(name).unwrap(), &inputs(), &shipped_includes) {
            Ok(grant) => grant,
            Err(errors) => panic!("{errors}"),
        };
        let compiled = compile(&grant, &CompileOptions::default()).unwrap();
        let outcomes = compiled.run_tests();
        assert!(outcomes.len() > 20);
        for outcome in outcomes {
            assert!(
                outcome.passed,
                "{}: {} should be {}, rule {:?}",
                outcome.location,
                outcome.question,
                if outcome.expected_allow {
                    "allowed"
                } else {
                    "denied"
                },
                outcome.rule
            );
        }
        assert!(compiled.attributes_all, "{name}");
        println!(
            "{name}: {} states, {} columns, {} labels, {} classes, {} bytes",
            compiled.dfa.states(),
            compiled.dfa.columns,
            compiled.dfa.labels.len(),
            compiled.refer.classes,
            compiled.table_bytes()
        );
    }
}
