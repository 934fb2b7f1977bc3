//! Refuses a BPF object that can reach a panic.
//!
//! A panic has nowhere to go in the kernel: the verifier reports it as "last insn is not an exit",
//! far from its cause. Here the cause still has a name: the function that calls into the panic.

use anyhow::{Context, Result, bail};
use object::{
    File, Object, ObjectSection, ObjectSymbol, RelocationTarget, SectionIndex, SectionKind,
    SymbolKind,
};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Functions of `core` and of the language that only a panic calls, as their mangled names show.
const PANIC: &[&str] = &[
    "panicking",
    "panic_",
    "rust_begin_unwind",
    "rust_eh_personality",
    "slice_index_fail",
    "unwrap_failed",
    "expect_failed",
];

/// `goto -1`, an endless loop. The panic handler is one, also where it has been inlined.
const ENDLESS: [u8; 8] = [0x05, 0, 0xff, 0xff, 0, 0, 0, 0];

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
        "the kernel side can panic, or needs what the kernel does not have:\n{}\n\
         Replace indexing, slicing, division and unwrap by forms that cannot fail.",
        list.join("\n")
    )
}

fn offences(bytes: &[u8]) -> Result<BTreeSet<String>> {
    let file = File::parse(bytes)?;
    let mut found = BTreeSet::new();
    for symbol in file.symbols() {
        let name = symbol.name().unwrap_or_default();
        if is_panic(name) {
            found.insert(format!("{} is linked in", readable(name)));
        } else if symbol.is_undefined() && !name.is_empty() && symbol.kind() != SymbolKind::File {
            found.insert(format!("{} is not resolved", readable(name)));
        }
    }
    for section in file
        .sections()
        .filter(|section| section.kind() == SectionKind::Text)
    {
        add_callers(&file, &section, &mut found)?;
        let data = section.data()?;
        for (number, instruction) in data.chunks_exact(8).enumerate() {
            let function = function_at(&file, section.index(), number as u64 * 8);
            if instruction == ENDLESS && !function.as_deref().is_some_and(is_panic) {
                let function = function.map_or_else(|| "?".into(), |name| readable(&name));
                found.insert(format!("{function} holds the panic handler"));
            }
        }
    }
    Ok(found)
}

/// Notes the functions of the section that call a panic.
fn add_callers<'data>(
    file: &File<'data>,
    section: &impl ObjectSection<'data>,
    found: &mut BTreeSet<String>,
) -> Result<()> {
    for (offset, relocation) in section.relocations() {
        let RelocationTarget::Symbol(index) = relocation.target() else {
            continue;
        };
        let target = file.symbol_by_index(index)?;
        let called = if target.kind() == SymbolKind::Section {
            // A call within the object names the section; the instruction holds the place in it,
            // counted in instructions from the next one.
            let Some(section_called) = target.section_index() else {
                continue;
            };
            let at = section
                .data()?
                .get(offset as usize + 4..offset as usize + 8);
            let Some(at) = at.and_then(|at| <[u8; 4]>::try_from(at).ok()) else {
                continue;
            };
            let place = (i64::from(i32::from_le_bytes(at)) + 1) * 8;
            function_at(file, section_called, place.cast_unsigned())
        } else {
            target.name().ok().map(str::to_owned)
        };
        if let Some(called) = called
            && is_panic(&called)
            && let Some(caller) = function_at(file, section.index(), offset)
            && !is_panic(&caller)
        {
            found.insert(format!("{} calls {}", readable(&caller), readable(&called)));
        }
    }
    Ok(())
}

/// The function at this place of the section.
fn function_at(file: &File<'_>, section: SectionIndex, at: u64) -> Option<String> {
    let found = file.symbols().find(|symbol| {
        symbol.kind() == SymbolKind::Text
            && symbol.section_index() == Some(section)
            && (symbol.address()..symbol.address() + symbol.size().max(1)).contains(&at)
    })?;
    found.name().ok().map(str::to_owned)
}

fn is_panic(symbol: &str) -> bool {
    PANIC.iter().any(|part| symbol.contains(part))
}

fn readable(symbol: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(symbol))
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::write::{Object, Relocation, StandardSegment, Symbol, SymbolSection};
    use object::{
        Architecture, BinaryFormat, Endianness, RelocationFlags, SymbolFlags, SymbolScope,
    };

    const NOTHING: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];

    /// An object with the program `hook`, which calls the function `callee` or an outside one.
    fn calling(callee: &str, is_inside: bool, body: [u8; 8]) -> Vec<u8> {
        let mut object = Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
        let segment = object.segment_name(StandardSegment::Text).to_vec();
        let hook = object.add_section(segment.clone(), b"lsm/hook".to_vec(), SectionKind::Text);
        let cold = object.add_section(segment, b".text.unlikely".to_vec(), SectionKind::Text);
        object.append_section_data(hook, &body, 8);
        object.append_section_data(cold, &NOTHING, 8);
        let symbol = |name: &str, section| Symbol {
            name: name.into(),
            value: 0,
            size: 8,
            kind: SymbolKind::Text,
            scope: SymbolScope::Compilation,
            weak: false,
            section,
            flags: SymbolFlags::None,
        };
        object.add_symbol(symbol("hook", SymbolSection::Section(hook)));
        let place = if is_inside {
            SymbolSection::Section(cold)
        } else {
            SymbolSection::Undefined
        };
        let symbol = object.add_symbol(symbol(callee, place));
        let flags = RelocationFlags::Elf {
            r_type: object::elf::R_BPF_64_32,
        };
        let relocation = Relocation {
            offset: 0,
            symbol,
            addend: 0,
            flags,
        };
        object.add_relocation(hook, relocation).unwrap();
        object.write().unwrap()
    }

    #[test]
    fn a_harmless_object_passes() {
        assert!(
            offences(&calling("walk", true, NOTHING))
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn a_panic_is_found_with_its_caller() {
        let found = offences(&calling("_ZN4core9panicking9panic_fmtE", true, NOTHING)).unwrap();
        assert!(
            found.contains("hook calls core::panicking::panic_fmt"),
            "{found:?}"
        );
    }

    #[test]
    fn an_unresolved_symbol_is_found() {
        let found = offences(&calling("memcmp", false, NOTHING)).unwrap();
        assert!(found.contains("memcmp is not resolved"), "{found:?}");
    }

    #[test]
    fn an_inlined_panic_handler_is_found() {
        let found = offences(&calling("walk", true, ENDLESS)).unwrap();
        assert!(found.contains("hook holds the panic handler"), "{found:?}");
    }
}
