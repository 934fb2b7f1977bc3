//! Compares the eBPF object with the tables of its programs and maps, when the crate is built: a program
//! that no row attaches, or a map that no row pins, would limit nobody, in silence.
//!
//! Compiled into the build script, and here for its tests.

use std::collections::BTreeSet;

use object::{File, Object, ObjectSection, ObjectSymbol, SymbolKind};

use super::{
    hooks::{Attach, HOOKS},
    maps::MAPS,
};

/// Where the rows are.
const HOOK_ROWS: &str = "agent-user/src/kernel/hooks.rs";
const MAP_ROWS: &str = "agent-user/src/kernel/maps.rs";
/// Where functions are that programs call.
const FUNCTIONS: &str = ".text";
const MAP_DEFINITIONS: &str = ".maps";

/// A program: the kind of its section, and its name.
type Program = (String, String);

/// What the object and the tables do not agree on, one sentence each that says what to do. An empty
/// object, as in an editor, has nothing to compare.
///
/// # Errors
/// The object cannot be read.
pub(super) fn differences(object: &[u8]) -> Result<Vec<String>, object::Error> {
    if object.is_empty() {
        return Ok(Vec::new());
    }
    let programs = HOOKS
        .iter()
        .map(|hook| (hook.attach.kind().to_owned(), hook.name.to_owned()));
    let maps = MAPS.iter().map(|map| map.name.to_owned());
    let tables = Contents {
        programs: programs.collect(),
        maps: maps.collect(),
        misnamed: Vec::new(),
    };
    Ok(Contents::of_object(object)?.without_row_or_program(&tables))
}

/// Programs and maps, of an object or of the tables.
#[derive(Default)]
struct Contents {
    programs: BTreeSet<Program>,
    maps: BTreeSet<String>,
    /// Programs that are not called like the hooks of their sections.
    misnamed: Vec<String>,
}

impl Contents {
    fn of_object(object: &[u8]) -> Result<Self, object::Error> {
        let file = File::parse(object)?;
        let mut found = Self::default();
        for symbol in file.symbols() {
            let Some(section) = symbol.section_index().filter(|_| symbol.is_global()) else {
                continue;
            };
            let section = file.section_by_index(section)?;
            let (section, name) = (section.name()?, symbol.name()?);
            if section == MAP_DEFINITIONS {
                found.maps.insert(name.to_owned());
            } else if symbol.kind() == SymbolKind::Text && !section.starts_with(FUNCTIONS) {
                found.add_program(section, name);
            }
        }
        Ok(found)
    }

    fn add_program(&mut self, section: &str, name: &str) {
        // A section without a hook's name is of programs that are called like their hooks.
        let (kind, hook) = section.split_once('/').unwrap_or((section, name));
        // An iterator's section names what it walks over.
        let is_called_so = name
            .strip_prefix(hook)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'));
        if kind != Attach::TaskIterator.kind() && !is_called_so {
            self.misnamed.push(format!(
                "the program `{name}` is in the section `{section}`: call it `{hook}`, like its hook"
            ));
        }
        self.programs.insert((kind.to_owned(), name.to_owned()));
    }

    /// How an object differs from the tables.
    fn without_row_or_program(self, tables: &Self) -> Vec<String> {
        let mut said = self.misnamed;
        for (kind, name) in self.programs.difference(&tables.programs) {
            said.push(format!(
                "the program `{name}` ({kind}) would never be attached: add a row to HOOKS in {HOOK_ROWS}"
            ));
        }
        for (kind, name) in tables.programs.difference(&self.programs) {
            said.push(format!(
                "{HOOK_ROWS} has a row for the program `{name}` ({kind}), which the object does not have: \
                 add it in agent-ebpf/src/hooks/, or take the row away"
            ));
        }
        for name in self.maps.difference(&tables.maps) {
            said.push(format!(
                "the map `{name}` would never be pinned: add a row to MAPS in {MAP_ROWS}"
            ));
        }
        for name in tables.maps.difference(&self.maps) {
            said.push(format!(
                "{MAP_ROWS} has a row for the map `{name}`, which the object does not have: add it in \
                 agent-ebpf/src/maps.rs and use it in a program, or take the row away"
            ));
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use object::{
        Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolScope,
        write::{Object, StandardSegment, Symbol, SymbolSection},
    };

    use super::*;

    const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];

    /// An object with these programs, as section and name, and these maps.
    fn object(programs: &[(&str, &str)], maps: &[&str]) -> Vec<u8> {
        let mut object = Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
        let mut add = |section: &str, name: &str, kind, symbol_kind| {
            let segment = object.segment_name(StandardSegment::Text).to_vec();
            let section = object.add_section(segment, section.into(), kind);
            object.append_section_data(section, &EXIT, 8);
            object.add_symbol(Symbol {
                name: name.into(),
                value: 0,
                size: 8,
                kind: symbol_kind,
                scope: SymbolScope::Dynamic,
                weak: false,
                section: SymbolSection::Section(section),
                flags: SymbolFlags::None,
            });
        };
        add(".text", "memcpy", SectionKind::Text, SymbolKind::Text);
        for (section, name) in programs {
            add(section, name, SectionKind::Text, SymbolKind::Text);
        }
        for name in maps {
            add(MAP_DEFINITIONS, name, SectionKind::Data, SymbolKind::Data);
        }
        object.write().unwrap()
    }

    fn section(attach: Attach, name: &str) -> String {
        match attach {
            Attach::TaskIterator => format!("{}/task", attach.kind()),
            _ => format!("{}/{name}", attach.kind()),
        }
    }

    /// What is said of an object that the tables describe but for `change`.
    fn said(change: impl FnOnce(&mut Vec<(String, &str)>, &mut Vec<&str>)) -> Vec<String> {
        let programs = HOOKS
            .iter()
            .map(|hook| (section(hook.attach, hook.name), hook.name));
        let mut programs = programs.collect();
        let mut maps = MAPS.iter().map(|map| map.name).collect();
        change(&mut programs, &mut maps);
        let programs = programs
            .iter()
            .map(|(section, name)| (section.as_str(), *name))
            .collect::<Vec<_>>();
        differences(&object(&programs, &maps)).unwrap()
    }

    #[test]
    fn what_the_tables_describe_passes_and_so_does_nothing() {
        assert_eq!(said(|_, _| {}), [""; 0]);
        assert_eq!(differences(&[]).unwrap(), [""; 0]);
        assert!(differences(b"not an object").is_err());
    }

    #[test]
    fn a_program_without_a_row_is_named_whatever_its_kind() {
        for (section, kind) in [
            ("lsm/quota_on", "lsm"),
            ("lsm", "lsm"),
            ("kprobe/quota_on", "kprobe"),
        ] {
            let said = said(|programs, _| programs.push((section.into(), "quota_on")));
            let [only] = &said[..] else {
                panic!("{said:?}");
            };
            assert!(
                only.contains(&format!("`quota_on` ({kind})")) && only.contains(HOOK_ROWS),
                "{only}"
            );
        }
    }

    #[test]
    fn a_row_without_a_program_is_named() {
        let said = said(|programs, _| programs.retain(|(_, name)| *name != "file_open"));
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("`file_open` (lsm)"), "{said:?}");
    }

    #[test]
    fn a_program_of_another_kind_than_its_row_is_named_from_both_sides() {
        let said = said(|programs, _| {
            for (section, _) in programs.iter_mut().filter(|(_, name)| *name == "file_open") {
                *section = "fexit/file_open".into();
            }
        });
        assert_eq!(said.len(), 2, "{said:?}");
    }

    #[test]
    fn a_program_that_is_not_called_like_its_hook_is_named() {
        let said = said(|programs, _| {
            for (section, _) in programs.iter_mut().filter(|(_, name)| *name == "file_open") {
                *section = "lsm/file_lock".into();
            }
        });
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("call it `file_lock`"), "{said:?}");
    }

    #[test]
    fn maps_are_compared_both_ways() {
        let more = said(|_, maps| maps.push("EXTRA"));
        assert_eq!(more.len(), 1, "{more:?}");
        assert!(more[0].contains("`EXTRA`") && more[0].contains(MAP_ROWS));
        let fewer = said(|_, maps| maps.retain(|name| *name != "LEDGER"));
        assert_eq!(fewer.len(), 1, "{fewer:?}");
        assert!(fewer[0].contains("`LEDGER`") && fewer[0].contains(MAP_ROWS));
    }

    #[test]
    fn no_program_and_no_map_has_two_rows() {
        let programs = HOOKS.iter().map(|hook| hook.name).collect::<BTreeSet<_>>();
        assert_eq!(programs.len(), HOOKS.len());
        let maps = MAPS.iter().map(|map| map.name).collect::<BTreeSet<_>>();
        assert_eq!(maps.len(), MAPS.len());
    }
}
