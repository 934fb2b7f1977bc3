//! How long a grant takes from text to automaton, and how large its tables get.
//!
//! Budget: 60 realistic patterns below 50 ms and 256 KB, 1,000 patterns below 2 s.

use std::fmt::Write;

use agent_grant::{
    CompileOptions, Compiled, Inputs, Source, compile, load, shipped, shipped_includes,
};
use criterion::{Criterion, criterion_group, criterion_main};

const SIXTY: &str = include_str!("sixty.toml");

fn inputs() -> Inputs {
    Inputs {
        cwd: Some("/home/alice/src/application".to_owned()),
        home: Some("/home/alice".to_owned()),
        user: Some("alice".to_owned()),
        ..Inputs::default()
    }
}

fn whole(source: Source) -> Compiled {
    let grant = load(source, &inputs(), &shipped_includes).unwrap_or_else(|e| panic!("{e}"));
    compile(&grant, &CompileOptions::default()).unwrap_or_else(|e| panic!("{e}"))
}

/// A thousand patterns: directories, files by name, extensions, some floating denials.
fn thousand() -> String {
    let mut text = "version = 1\nname = \"thousand\"\n".to_owned();
    for rule in 0..50 {
        let effect = if rule % 5 == 4 { "deny" } else { "allow" };
        let right = ["\"read\", \"list\"", "\"read\", \"exec\"", "\"all\""][rule % 3];
        writeln!(text, "[[file]]\n{effect} = [{right}]\npath = [").expect("a string");
        for n in 0..20 {
            let pattern = match (rule, n % 5) {
                (44 | 49, 0) => format!("/**/*.secret{}", n / 5),
                (_, 0) => format!("/srv/team{rule}/project{n}/**"),
                (_, 1) => format!("/srv/group{rule}/project{n}/src/*.c"),
                (_, 2) => format!("/opt/tool{rule}/bin/tool{n}"),
                (_, 3) => format!("/home/user{n}/.config/app{rule}/**"),
                _ => format!("/var/lib/data{n}/*/cache{rule}"),
            };
            writeln!(text, "\"{pattern}\",").expect("a string");
        }
        text.push_str("]\n");
    }
    text
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compile");
    group.sample_size(10);
    let cases = [
        ("60 patterns", Source::new("sixty.toml", SIXTY)),
        ("coder", shipped("coder").expect("ships")),
        ("1000 patterns", Source::new("thousand.toml", thousand())),
    ];
    for (name, source) in &cases {
        let compiled = whole(source.clone());
        println!(
            "{name}: {} states, {} columns, {} labels, {} refer classes (relation: {}), {} bytes",
            compiled.dfa.states(),
            compiled.dfa.columns,
            compiled.dfa.labels.len(),
            compiled.refer.classes,
            compiled.refer.allowed.is_some(),
            compiled.table_bytes(),
        );
        group.bench_function(*name, |bencher| bencher.iter(|| whole(source.clone())));
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
