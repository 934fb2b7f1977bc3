//! Patterns: whatever parses means the same to the naive matcher and to the compiled automaton, and
//! is printed as a pattern that means the same again.
//!
//! The input's first line is the pattern; the others are paths.

#![no_main]

use std::sync::Arc;

use agent_abi::{FileRights, Right};
use agent_grant::{
    CompileOptions, Effect, Grant, Mode, Rule, Source, compile,
    diagnostic::Location,
    environment::Environment,
    glob::{self, Component, Glob},
    model::{Alternative, FilePattern, Limits, Object},
    naive,
    syntax::Text,
};
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else {
        return Corpus::Reject;
    };
    let (pattern, rest) = text.split_once('\n').unwrap_or((text, ""));
    match glob::parse(pattern, &|_| Err("there is none".to_owned())) {
        Ok(globs) => check(pattern, &globs, rest),
        Err(error) => assert!(
            pattern.get(error.span).is_some() && !error.message.is_empty(),
            "a mistake has a place"
        ),
    }
    Corpus::Keep
});

fn check(pattern: &str, globs: &[Glob], rest: &str) {
    for glob in globs {
        let printed = glob.to_string();
        let again = glob::parse(&printed, &|_| Err(String::new()));
        assert_eq!(
            again.as_deref().ok(),
            Some(&[glob.clone()][..]),
            "{printed}"
        );
    }
    // What is too large is refused, and there is nothing to compare.
    let compiled = is_cheap(globs)
        .then(|| compile(&grant(pattern, globs), &CompileOptions::default()).ok())
        .flatten();
    for path in paths(globs, rest) {
        let expected = naive::matches(pattern, &path);
        let shown = path.escape_ascii();
        assert_eq!(
            globs.iter().any(|glob| glob.matches(&path)),
            expected,
            "{pattern} {shown}"
        );
        // Denials that every session has stand above the grant's own rule.
        if let Some(compiled) = compiled.as_ref().filter(|_| ours(&path)) {
            let (allowed, _) = compiled.decide(&path, Right::FileRead);
            assert_eq!(allowed, expected, "{pattern} {shown}");
        }
    }
}

/// Wildcards behind stars, and stars in many alternatives, multiply. The compiler gives up in time,
/// but a fuzzer that tries many such patterns tries little else.
fn is_cheap(globs: &[Glob]) -> bool {
    let atoms = globs
        .iter()
        .flat_map(Glob::components)
        .flat_map(|component| match component {
            Component::Any => vec![glob::Atom::Star],
            Component::Name(atoms) => atoms,
        });
    let (stars, others): (Vec<_>, Vec<_>) = atoms
        .filter(|atom| !matches!(atom, glob::Atom::Byte(_)))
        .partition(|atom| *atom == glob::Atom::Star);
    globs.len() <= 16 && stars.len() <= 12 && others.len() <= 8
}

fn ours(path: &[u8]) -> bool {
    let fixed = [&b"/var/lib/bailiff"[..], b"/sys/fs/bpf", b"/run/bailiff"];
    !fixed.iter().any(|fixed| path.starts_with(fixed))
}

/// A grant of one rule.
fn grant(pattern: &str, globs: &[Glob]) -> Grant {
    let location = Location {
        source: Arc::new(Source::new("pattern", pattern)),
        span: 0..pattern.len(),
    };
    let alternatives = globs.iter().map(|glob| Alternative {
        glob: glob.clone(),
        written: None,
    });
    let pattern = FilePattern {
        text: Text {
            value: pattern.to_owned(),
            location: location.clone(),
        },
        alternatives: alternatives.collect(),
    };
    Grant {
        name: "fuzz".to_owned(),
        purpose: None,
        mode: Mode::Enforce,
        rules: vec![Rule {
            id: "rule".to_owned(),
            effect: Effect::Allow,
            reason: None,
            object: Object::File {
                rights: FileRights::READ,
                paths: vec![pattern],
                except: vec![],
            },
            location: Some(location),
        }],
        surface: 0,
        capabilities: 0,
        environment: Environment::default(),
        limits: Limits::default(),
        tests: vec![],
    }
}

/// The root, the input's own paths, and paths that are like the pattern.
fn paths(globs: &[Glob], rest: &str) -> Vec<Vec<u8>> {
    let mut paths = vec![Vec::new()];
    paths.extend(
        rest.lines()
            .filter_map(|line| path(line.as_bytes().split(|byte| *byte == b'/'))),
    );
    for glob in globs.iter().take(8) {
        for (any, one) in [(0, b'a'), (1, b'.'), (2, 0xff), (3, b'-')] {
            let names: Vec<Vec<u8>> = glob
                .components()
                .iter()
                .flat_map(|component| name_like(component, any, one))
                .collect();
            let whole = path(names.iter().map(Vec::as_slice));
            let above = names
                .split_last()
                .and_then(|(_, above)| path(above.iter().map(Vec::as_slice)));
            paths.extend(whole.into_iter().chain(above));
        }
    }
    paths
}

/// A path of the names that can be one.
fn path<'n>(names: impl Iterator<Item = &'n [u8]>) -> Option<Vec<u8>> {
    let mut path = Vec::new();
    for name in names.filter(|name| !name.is_empty()) {
        if name == b"." || name == b".." || name.contains(&0) {
            return None;
        }
        path.push(b'/');
        path.extend_from_slice(name);
    }
    Some(path)
}

/// Names that the component may match: wildcards stand for `any` times the byte `one`.
fn name_like(component: &Component, any: usize, one: u8) -> Vec<Vec<u8>> {
    let Component::Name(atoms) = component else {
        return vec![vec![one]; any];
    };
    let mut name = Vec::new();
    for atom in atoms {
        match atom {
            glob::Atom::Byte(byte) => name.push(*byte),
            glob::Atom::One => name.push(one),
            glob::Atom::Star => name.extend(std::iter::repeat_n(one, any)),
            glob::Atom::Set(set) => name.extend(set.iter().nth(any).or(set.iter().next())),
        }
    }
    vec![name]
}
