//! Which module may name which: the order of the crates' modules, held by a test.

mod source;

use crate::paths;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

struct Crate {
    folder: &'static str,
    /// From the bottom: a module, and what it may name of what stands before it.
    layers: &'static [(&'static str, &'static [&'static str])],
}

const GRANT: Crate = Crate {
    folder: "agent-grant",
    layers: &[
        ("effect", &[]),
        ("diagnostic", &[]),
        ("glob", &[]),
        ("interpret", &[]),
        ("naive", &[]),
        ("net", &["effect"]),
        ("unix", &["effect", "glob"]),
        ("moves", &["glob"]),
        ("automaton", &["effect", "glob"]),
        ("attachments", &["automaton", "effect", "glob"]),
        ("syntax", &["diagnostic", "effect", "moves"]),
        ("opens", &["syntax"]),
        (
            "environment",
            &["diagnostic", "effect", "glob", "syntax", "unix"],
        ),
        (
            "model",
            &[
                "diagnostic",
                "environment",
                "glob",
                "moves",
                "net",
                "syntax",
                "unix",
            ],
        ),
        ("policies", &["diagnostic", "model"]),
        (
            "compile",
            &[
                "automaton",
                "diagnostic",
                "environment",
                "glob",
                "interpret",
                "model",
                "moves",
                "net",
                "syntax",
                "unix",
            ],
        ),
        ("graph", &["automaton", "compile", "model"]),
        (
            "algebra",
            &[
                "automaton",
                "compile",
                "environment",
                "glob",
                "model",
                "net",
                "syntax",
                "unix",
            ],
        ),
        (
            "explain",
            &["algebra", "compile", "glob", "model", "moves", "net"],
        ),
        (
            "testing",
            &["compile", "diagnostic", "environment", "explain", "model"],
        ),
        (
            "lint",
            &[
                "algebra",
                "compile",
                "diagnostic",
                "environment",
                "glob",
                "model",
                "opens",
                "syntax",
            ],
        ),
    ],
};

const EBPF: Crate = Crate {
    folder: "agent-ebpf",
    layers: &[
        ("kernel", &[]),
        ("address", &["kernel"]),
        ("name", &["kernel"]),
        ("program", &["address", "kernel"]),
        ("automaton", &["name"]),
        ("place", &["kernel"]),
        ("counter", &[]),
        ("renames", &["kernel"]),
        ("values", &[]),
        ("scratch", &["kernel", "name"]),
        ("storage", &["address", "kernel"]),
        ("maps", &["kernel", "scratch", "storage", "values"]),
        ("notice", &["counter", "maps"]),
        ("forking", &["address", "counter", "kernel", "maps"]),
        ("membership", &["forking", "kernel", "maps", "notice"]),
        ("subject", &["forking", "kernel", "maps", "membership"]),
        (
            "launcher",
            &["address", "kernel", "maps", "place", "program", "subject"],
        ),
        ("nested", &["address", "kernel", "maps", "subject"]),
        (
            "daemon",
            &["address", "forking", "kernel", "maps", "program", "subject"],
        ),
        (
            "namespace",
            &["daemon", "kernel", "maps", "notice", "subject"],
        ),
        ("sockets", &["kernel", "maps", "subject", "values"]),
        ("listeners", &["kernel", "sockets", "subject"]),
        (
            "groups",
            &["address", "daemon", "forking", "kernel", "maps", "subject"],
        ),
        ("terminal", &["kernel", "maps", "place", "subject"]),
        (
            "directory",
            &["automaton", "kernel", "maps", "name", "renames", "values"],
        ),
        (
            "walk",
            &[
                "automaton",
                "directory",
                "kernel",
                "maps",
                "name",
                "renames",
                "scratch",
            ],
        ),
        (
            "short_walk",
            &["automaton", "kernel", "name", "renames", "walk"],
        ),
        (
            "event",
            &[
                "automaton",
                "counter",
                "kernel",
                "maps",
                "name",
                "notice",
                "scratch",
                "subject",
                "walk",
            ],
        ),
        (
            "decide",
            &[
                "counter",
                "directory",
                "event",
                "kernel",
                "maps",
                "notice",
                "scratch",
                "short_walk",
                "subject",
                "walk",
            ],
        ),
        (
            "refer",
            &[
                "decide",
                "kernel",
                "maps",
                "place",
                "short_walk",
                "subject",
                "walk",
            ],
        ),
        ("hooks", EVERYTHING),
    ],
};

const USER: Crate = Crate {
    folder: "agent-user",
    layers: &[
        ("clock", &[]),
        ("working_directory", &[]),
        ("accounts", &[]),
        ("api", &[]),
        ("process", &["clock"]),
        ("mounts", &["api"]),
        ("cgroup", &["mounts", "process"]),
        ("render", &["api"]),
        ("why", &["api", "render"]),
        ("grants", &["api", "mounts", "render", "working_directory"]),
        ("kernel", &["api", "process"]),
        ("attachments", &["accounts", "api", "render"]),
        ("self_test", &["api"]),
        ("store", &["api", "clock", "grants", "mounts"]),
        ("client", &["api"]),
        (
            "daemon",
            &[
                "accounts",
                "api",
                "attachments",
                "cgroup",
                "clock",
                "grants",
                "kernel",
                "mounts",
                "process",
                "render",
                "self_test",
                "store",
                "why",
            ],
        ),
        (
            "cli",
            &[
                "accounts",
                "api",
                "attachments",
                "client",
                "clock",
                "daemon",
                "grants",
                "kernel",
                "mounts",
                "process",
                "render",
                "self_test",
                "store",
                "why",
                "working_directory",
            ],
        ),
    ],
};

const EVERYTHING: &[&str] = &["*"];

impl Crate {
    fn may(&self, module: &str, other: &str) -> bool {
        let before = self.layers.iter().take_while(|(name, _)| *name != module);
        let layer = self.layers.iter().find(|(name, _)| *name == module);
        layer.is_some_and(|(_, may)| {
            (may.contains(&other) || *may == EVERYTHING)
                && before.into_iter().any(|(name, _)| *name == other)
        })
    }

    /// The lines that break the order.
    fn offences(&self) -> Result<Vec<String>> {
        let root = paths::workspace().join(self.folder).join("src");
        let mut files = Vec::new();
        add_files(&root, &mut files)?;
        files.sort();
        let again = self.names_at_the_root(&root)?;
        let mut offences = Vec::new();
        for file in files {
            let module = module(file.strip_prefix(&root)?);
            let Some(own) = module.first() else {
                continue;
            };
            let text = fs::read_to_string(&file)?;
            let named = source::paths(&text, &module)
                .with_context(|| format!("parse {}", file.display()))?;
            for named in named {
                let name = named.path.first().map_or("*", String::as_str);
                let name = again.get(name).map_or(name, String::as_str);
                if name == own || self.may(own, name) {
                    continue;
                }
                let file = file.strip_prefix(paths::workspace())?.display();
                offences.push(format!("{file}:{}: {own} names {name}", named.line));
            }
        }
        Ok(offences)
    }

    /// What the crate's root has of its modules under its own name, and the module.
    fn names_at_the_root(&self, root: &Path) -> Result<BTreeMap<String, String>> {
        let lib = root.join("lib.rs");
        let text = if lib.exists() {
            fs::read_to_string(lib)?
        } else {
            String::new()
        };
        let mut names = BTreeMap::new();
        for (module, _) in self.layers {
            let own = text.replace(
                &format!("pub use {module}::"),
                &format!("pub use crate::{module}::"),
            );
            for named in source::paths(&own, &[])? {
                if let [first, .., last] = named.path.as_slice()
                    && first == module
                {
                    names.insert(last.clone(), first.clone());
                }
            }
        }
        // A function that has its module's name is told from it by nothing but its place.
        names.retain(|name, _| !self.layers.iter().any(|(module, _)| module == name));
        Ok(names)
    }
}

fn add_files(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            add_files(&path, files)?;
        } else if path.extension().is_some_and(|name| name == "rs")
            && path.file_stem().is_some_and(|name| name != "tests")
        {
            files.push(path);
        }
    }
    Ok(())
}

fn module(file: &Path) -> Vec<String> {
    let names = file.with_extension("");
    let mut names: Vec<String> = names
        .iter()
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    if names
        .last()
        .is_some_and(|name| ["lib", "main", "mod"].contains(&name.as_str()))
    {
        names.pop();
    }
    names
}

#[test]
fn no_module_names_what_is_above_it() {
    let crates = [GRANT, EBPF, USER];
    let offences: Vec<_> = crates
        .iter()
        .flat_map(|held| held.offences().unwrap())
        .collect();
    assert!(offences.is_empty(), "{}", offences.join("\n"));
}

#[test]
fn a_layer_names_those_before_it() {
    for held in [GRANT, EBPF, USER] {
        let mut before = BTreeSet::from(["*"]);
        for (module, may) in held.layers {
            let missing: Vec<_> = may.iter().filter(|name| !before.contains(*name)).collect();
            assert!(missing.is_empty(), "{module}: {missing:?}");
            before.insert(module);
        }
    }
}

#[test]
fn a_path_is_read_wherever_it_stands() {
    let text = "
        pub(crate) use crate::{a, b::{self, C}, d::*};
        use super::{super::e, f};
        mod inner { use super::g; }
        fn f() { println!(\"crate::no {}\", crate::h::I::<u8>::J); /* crate::no */ }
        #[cfg(test)]
        mod tests { use crate::no; }
        impl T for super::super::k::L {}
    ";
    let module = ["one", "two"].map(str::to_owned);
    let found = source::paths(text, &module).unwrap();
    let found: Vec<_> = found
        .iter()
        .map(|named| format!("{} {}", named.line, named.path.join("::")))
        .collect();
    let expected = [
        "2 a",
        "2 b",
        "2 b::C",
        "2 d",
        "3 e",
        "3 one::f",
        "4 one::two::g",
        "5 h::I",
        "8 k::L",
    ];
    assert_eq!(found, expected);
}
