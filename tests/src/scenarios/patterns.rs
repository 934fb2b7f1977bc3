//! The table of path patterns, through the automaton in the kernel.
//!
//! The compiler's own tests drive the same table in user space. Here every pattern becomes a rule
//! below a directory of its own, the paths become files, and one session opens them all.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use agent_grant::naive::{Case, cases};

use super::{Context, Single};
use crate::harness::{Check, Doing, ensure, session::Launch};

const TABLE: &str = include_str!("../../../agent-grant/tests/data/paths.txt");
const BASE: &str = "/patterns";

pub(crate) fn scenarios() -> Vec<Single> {
    vec![Single::new(
        "patterns",
        "the table of patterns, in the kernel",
        table,
    )]
}

/// Patterns of one session: more would not fit into one automaton.
const GROUP: usize = 12;

fn table(_: &mut Context) -> Check {
    super::super::harness::process::shell(&format!(
        "mkdir -p {BASE} && mount -t tmpfs none {BASE} && cp /proc/{}/exe {BASE}/driver",
        std::process::id()
    ))?;
    let checked = run();
    super::super::harness::process::shell(&format!("umount {BASE}"))?;
    checked
}

fn run() -> Check {
    let mut patterns: Vec<(String, Vec<Case>)> = Vec::new();
    for case in cases(TABLE) {
        match patterns.last_mut() {
            Some((pattern, cases)) if *pattern == case.pattern => cases.push(case),
            _ => patterns.push((case.pattern.clone(), vec![case])),
        }
    }
    let mut wrong = Vec::new();
    let mut tried = 0;
    for (index, group) in patterns.chunks(GROUP).enumerate() {
        let (count, mut found) = run_group(index, group)?;
        tried += count;
        wrong.append(&mut found);
    }
    ensure(tried > 200, || format!("only {tried} paths were tried"))?;
    ensure(wrong.is_empty(), || {
        format!("{} of {tried} paths: {}", wrong.len(), wrong.join("; "))
    })
}

/// How many paths were tried, and what was wrong.
fn run_group(group: usize, patterns: &[(String, Vec<Case>)]) -> Check<(usize, Vec<String>)> {
    let mut rules = format!(
        "version = 1\nname = \"patterns\"\n[[file]]\nid = \"driver\"\nallow = [\"read\", \"exec\"]\n\
         path = [\"{BASE}/driver\", \"{BASE}/list-{group}\"]\n"
    );
    let mut list = String::new();
    let mut expected = BTreeMap::new();
    for (index, (pattern, cases)) in patterns.iter().enumerate() {
        let top = format!("{BASE}/{group}-{index}");
        fs::create_dir_all(&top).doing("make a directory")?;
        let below = if pattern == "/" { "" } else { pattern.as_str() };
        let text = serde_json::Value::from(format!("{top}{below}")).to_string();
        rules.push_str(&format!(
            "[[file]]\nallow = [\"read\", \"list\"]\npath = [{text}]\n"
        ));
        // The longest first: a shorter path is then a directory that is there.
        let mut cases = cases.iter().collect::<Vec<_>>();
        cases.sort_by_key(|case| std::cmp::Reverse(case.path.len()));
        for case in cases {
            let mut path = top.clone().into_bytes();
            path.extend(&case.path);
            let real = PathBuf::from(OsStr::from_bytes(&path));
            if make(&real).is_err() {
                // A name of the table that is no name of a file: longer than 255 bytes.
                continue;
            }
            list.push_str(
                &path
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect::<String>(),
            );
            list.push('\n');
            expected.insert(path, (pattern.clone(), case.path.clone(), case.matches));
        }
    }
    let (grant, listed) = (
        format!("{BASE}/grant-{group}.toml"),
        format!("{BASE}/list-{group}"),
    );
    fs::write(&grant, rules).doing("write the grant")?;
    fs::write(&listed, list).doing("write the list")?;
    let ended = Launch::grant(&grant).run(&[&format!("{BASE}/driver"), "open-all", &listed])?;
    let mut wrong = Vec::new();
    let mut seen = 0;
    for line in ended.stdout.lines() {
        let Some((hex, said)) = line.split_once(' ') else {
            continue;
        };
        let Some((pattern, path, matches)) = expected.get(&bytes(hex)) else {
            continue;
        };
        seen += 1;
        let outcome = if *matches { "0" } else { "13" };
        if said != outcome {
            let path = path.escape_ascii();
            wrong.push(format!(
                "{pattern} on {path}: expected errno {outcome}, saw {said}"
            ));
        }
    }
    ensure(seen == expected.len(), || {
        format!(
            "{seen} of {} paths were tried: {}",
            expected.len(),
            ended.tail()
        )
    })?;
    Ok((seen, wrong))
}

/// A file, unless it is there as a directory.
fn make(path: &Path) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    if !path.exists() {
        fs::write(path, "x")?;
    }
    Ok(())
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2)
        .filter_map(|at| u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok())
        .collect()
}

/// `bailiff-scenarios open-all LIST`: tells for each path of a list its error number, or 0.
pub(crate) fn open_all(list: &str) -> std::io::Result<()> {
    for line in fs::read_to_string(list)?.lines() {
        let path = PathBuf::from(OsStr::from_bytes(&bytes(line)));
        let errno = fs::File::open(path)
            .err()
            .and_then(|error| error.raw_os_error())
            .unwrap_or(0);
        println!("{line} {errno}");
    }
    Ok(())
}
