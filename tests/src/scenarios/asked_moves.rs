//! What a grant says when it is asked about a move is what the kernel does: every manner of move
//! between every two of a few places with different rights, tried and asked about.

use std::{collections::BTreeMap, fs, os::unix::fs::MetadataExt};

use agent_grant::{
    CompileOptions, Compiled, Inputs, Manner, Move, Source, compile, explain_move, load,
    shipped_includes,
};

use super::Single;
use crate::{
    acts::{Act, Outcome},
    harness::{Check, Doing, ensure, process::shell, session::Launch},
};

const BASE: &str = "/asked-moves";

/// What may be done in each place, and in `guarded` not everywhere.
const GRANT: &str = r#"version = 1
name = "asked-moves"
[[file]]
allow = ["read", "exec"]
path = ["/asked-moves/{driver,list}"]
[[file]]
allow = ["read", "write", "create", "delete", "list", "exec"]
path = ["/asked-moves/{open,guarded}/**"]
[[file]]
allow = ["read", "write", "create", "delete", "list"]
path = ["/asked-moves/scratch/**"]
[[file]]
allow = ["write", "create"]
path = ["/asked-moves/dropbox/**"]
[[file]]
allow = ["read", "list", "delete"]
path = ["/asked-moves/outgoing/**"]
[[file]]
deny = ["write", "create"]
path = ["/asked-moves/guarded/*/hooks/*"]
"#;

const PLACES: [&str; 6] = [
    "open", "guarded", "scratch", "dropbox", "outgoing", "closed",
];

/// Whether a directory is moved, and how.
const MANNERS: [(bool, Manner); 9] = [
    (false, Manner::Link),
    (false, Manner::Rename { replaces: false }),
    (true, Manner::Rename { replaces: false }),
    (false, Manner::Rename { replaces: true }),
    (true, Manner::Rename { replaces: true }),
    (false, exchange(false)),
    (true, exchange(true)),
    (false, exchange(true)),
    (true, exchange(false)),
];

const fn exchange(other_is_directory: bool) -> Manner {
    Manner::Exchange { other_is_directory }
}

pub(crate) fn scenarios() -> Vec<Single> {
    vec![Single::new(
        "moves",
        "the kernel does what a grant says that is asked about a move",
        |_| {
            let driver = std::process::id();
            shell(&format!(
                "mkdir {BASE} && mount -t tmpfs none {BASE} && cp /proc/{driver}/exe {BASE}/driver"
            ))?;
            let checked = check();
            shell(&format!("umount {BASE} && rmdir {BASE}"))?;
            checked
        },
    )]
}

/// A move whose objects are there.
struct Prepared {
    wanted: Move,
    old: String,
    new: String,
    before: Inodes,
}

/// What is at both paths.
type Inodes = [Option<u64>; 2];

fn check() -> Check {
    let grant = compiled()?;
    let mut moves = Vec::new();
    for from in PLACES {
        for to in PLACES {
            for (directory, manner) in MANNERS {
                moves.push(prepare(moves.len(), from, to, directory, manner)?);
            }
        }
    }
    let told = attempt(&moves)?;
    let mut wrong = Vec::new();
    let mut met: BTreeMap<i32, usize> = BTreeMap::new();
    for (tried, saw) in moves.iter().zip(&told) {
        let due = due(&grant, &tried.wanted);
        *met.entry(due).or_default() += 1;
        let after = inodes(&tried.old, &tried.new);
        if saw != &due.to_string() || after != tried.after(due == 0) {
            wrong.push(format!("{}: {saw}, not {due}", tried.wanted));
        }
    }
    ensure(wrong.is_empty(), || wrong.join("; "))?;
    let often = [0, libc::EACCES, libc::EXDEV].map(|errno| met.get(&errno).copied());
    ensure(often.iter().all(|count| *count >= Some(20)), || {
        format!("each answer must have come often, not {met:?}")
    })
}

fn compiled() -> Check<Compiled> {
    let source = Source::new("grant.toml", GRANT);
    let grant = load(source, &Inputs::default(), &shipped_includes).doing("read the grant")?;
    compile(&grant, &CompileOptions::default()).doing("compile the grant")
}

fn prepare(
    number: usize,
    from: &str,
    to: &str,
    is_directory: bool,
    manner: Manner,
) -> Check<Prepared> {
    let old = format!("{BASE}/{from}/{number}-old");
    let new = format!("{BASE}/{to}/{number}-new");
    make(&old, is_directory)?;
    // The place must be there, whatever is put into it.
    match manner {
        Manner::Rename { replaces: true } => make(&new, is_directory)?,
        Manner::Exchange { other_is_directory } => make(&new, other_is_directory)?,
        Manner::Rename { replaces: false } | Manner::Link => {
            fs::create_dir_all(format!("{BASE}/{to}")).doing("make a directory")?;
        }
    }
    let (from, to) = (old.clone().into_bytes(), new.clone().into_bytes());
    Ok(Prepared {
        wanted: Move::new(from, to, is_directory, manner).doing("make a move")?,
        before: inodes(&old, &new),
        old,
        new,
    })
}

fn make(path: &str, is_directory: bool) -> Check {
    let place = path.rsplit_once('/').map_or("", |(place, _)| place);
    fs::create_dir_all(place).doing("make a directory")?;
    let made = if is_directory {
        fs::create_dir(path)
    } else {
        fs::write(path, path)
    };
    made.doing(&format!("make {path}"))
}

fn inodes(old: &str, new: &str) -> Inodes {
    [old, new].map(|path| fs::symlink_metadata(path).ok().map(|found| found.ino()))
}

impl Prepared {
    fn after(&self, done: bool) -> Inodes {
        let [old, new] = self.before;
        match self.wanted.manner() {
            _ if !done => self.before,
            Manner::Rename { .. } => [None, old],
            Manner::Link => [old, old],
            Manner::Exchange { .. } => [new, old],
        }
    }
}

/// The error number that the grant's answer leads to.
fn due(grant: &Compiled, wanted: &Move) -> i32 {
    let found = explain_move(grant, wanted);
    if found.allowed {
        0
    } else if found.needs.iter().all(|need| need.allowed) {
        libc::EXDEV
    } else {
        libc::EACCES
    }
}

/// Tries the moves in a session; what it tells of each.
fn attempt(moves: &[Prepared]) -> Check<Vec<String>> {
    let (grant, list) = (format!("{BASE}/grant.toml"), format!("{BASE}/list"));
    fs::write(&grant, GRANT).doing("write the grant")?;
    let lines = moves.iter().map(|tried| {
        let manner = tried.wanted.manner().name();
        format!("{manner} {} {}\n", tried.old, tried.new)
    });
    fs::write(&list, lines.collect::<String>()).doing("write the list")?;
    let ended = Launch::grant(&grant).run(&[&format!("{BASE}/driver"), "move-all", &list])?;
    let told: Vec<_> = ended.stdout.lines().map(str::to_owned).collect();
    ensure(told.len() == moves.len(), || ended.tail())?;
    Ok(told)
}

/// `bailiff-scenarios move-all LIST`: tells for each move of a list its error number, or 0.
pub(crate) fn move_all(list: &str) -> std::io::Result<()> {
    for line in fs::read_to_string(list)?.lines() {
        let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        let [manner, from, to] = words.as_slice() else {
            return Err(std::io::ErrorKind::InvalidInput.into());
        };
        let (from, to) = (from.clone(), to.clone());
        let act = match manner.as_str() {
            "link" => Act::Link { from, to },
            "exchange" => Act::Exchange { from, to },
            _ => Act::Rename { from, to },
        };
        match act.perform() {
            Outcome::Done => println!("0"),
            Outcome::Refused(errno) => println!("{errno}"),
            Outcome::Failed(text) => println!("{text}"),
        }
    }
    Ok(())
}
