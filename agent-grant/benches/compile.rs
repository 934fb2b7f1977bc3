//! How long a grant takes from text to automaton, and how large its tables get.
//!
//! Budget: 60 realistic patterns below 50 ms and 256 KB, 1,000 patterns below 2 s.

mod thousand;

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

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compile");
    group.sample_size(10);
    let cases = [
        ("60 patterns", Source::new("sixty.toml", SIXTY)),
        ("coder", shipped("coder").expect("ships")),
        (
            "1000 patterns",
            Source::new("thousand.toml", thousand::thousand()),
        ),
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
