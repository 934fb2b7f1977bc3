//! Refuses a BPF object that can reach a panic.
//!
//! A panic has nowhere to go in the kernel: the verifier reports it as "last insn is not an exit",
//! far from its cause. Here the cause still has a name.

use anyhow::{Context, Result, bail};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

pub(super) fn check(path: &Path) -> Result<()> {
    let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let found = offences(&bytes).with_context(|| format!("parse {}", path.display()))?;
    if found.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = found
        .into_iter()
        .map(|offence| format!("  {offence}"))
        .collect();
    bail!(
        "the kernel side can panic or needs what the kernel does not have:\n{}\n\
         Replace indexing, slicing, division and unwrap by forms that cannot fail.",
        list.join("\n")
    )
}

fn offences(bytes: &[u8]) -> Result<BTreeSet<String>> {
    let file = object::File::parse(bytes)?;
    let mut found = BTreeSet::new();
    for symbol in file.symbols() {
        let name = symbol.name().unwrap_or_default();
        if is_panic(name) {
            found.insert(format!("function {name}"));
        } else if symbol.is_undefined() && !name.is_empty() && symbol.kind() != SymbolKind::File {
            found.insert(format!("unresolved symbol {name}"));
        }
    }
    // A panic that was inlined leaves its message and its caller's location behind.
    for section in file.sections() {
        let name = section.name().unwrap_or_default();
        if name.starts_with(".rodata") && mentions_source_location(section.data()?) {
            found.insert(format!("a panic's source location in section {name}"));
        }
    }
    Ok(found)
}

fn is_panic(symbol: &str) -> bool {
    let parts = [
        "panic",
        "rust_begin_unwind",
        "rust_eh_personality",
        "slice_index_fail",
    ];
    parts.iter().any(|part| symbol.contains(part))
}

fn mentions_source_location(data: &[u8]) -> bool {
    data.windows(4).any(|window| window == b".rs\0") || data.windows(5).any(|w| w == b"src/l")
}
