//! Where a decision takes another way through the kernel side: names longer than a register, than
//! the room on the stack, than what a dentry holds; directories deeper than the short walk goes.
//!
//! Denials look at a name's last byte, so that a name that was read short is judged wrongly.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Context, Single};
use crate::harness::{Check, Doing, ensure, process::shell, session::Launch};

const BASE: &str = "/bounds";

/// Directories between the root of the filesystem and the file.
const DEPTHS: [usize; 9] = [1, 2, 14, 15, 16, 17, 18, 19, 100];
/// Bytes of a name: around 8, 32, 40, 64 and at the end.
const LENGTHS: [usize; 17] = [
    7, 8, 9, 15, 16, 17, 30, 31, 32, 33, 39, 40, 41, 63, 64, 65, 255,
];

pub(crate) fn scenarios() -> Vec<Single> {
    vec![Single::new(
        "bounds",
        "opens and renames are judged alike at every depth and length of name",
        bounds,
    )]
}

fn bounds(_: &mut Context) -> Check {
    let driver = std::process::id();
    shell(&format!(
        "mkdir -p {BASE} && mount -t tmpfs none {BASE} && cp /proc/{driver}/exe {BASE}/driver"
    ))?;
    let checked = run();
    shell(&format!("umount {BASE}"))?;
    checked
}

/// What is done, and the error number that is due.
struct Step {
    /// `open PATH`, or `rename FROM TO`.
    words: Vec<String>,
    errno: i32,
}

fn step(errno: i32, words: &[&Path]) -> Step {
    let name = if words.len() == 1 { "open" } else { "rename" };
    let words = words.iter().map(|path| path.display().to_string());
    Step {
        words: std::iter::once(name.to_owned()).chain(words).collect(),
        errno,
    }
}

/// A name of so many bytes that ends so.
fn name(length: usize, end: &str) -> String {
    format!("{}{end}", "n".repeat(length - end.len()))
}

fn run() -> Check {
    let mut steps = Vec::new();
    for depth in DEPTHS {
        let mut directory = PathBuf::from(BASE).join("tree");
        directory.extend((1..depth).map(|_| "d"));
        fs::create_dir_all(&directory).doing("make a directory")?;
        for length in LENGTHS {
            steps.extend(in_directory(&directory, length)?);
        }
    }
    let mut allowed = vec![format!("{BASE}/tree/**")];
    for length in LENGTHS {
        // Two directories whose names differ in the last byte, of which one is granted.
        let (granted, other) = (name(length, "a"), name(length, "b"));
        allowed.push(format!("{BASE}/{granted}/**"));
        for (directory, errno) in [(granted, 0), (other, libc::EACCES)] {
            let directory = Path::new(BASE).join(directory);
            fs::create_dir_all(&directory).doing("make a directory")?;
            let (from, to) = (directory.join("from"), directory.join("to"));
            fs::write(&from, "x").doing("make a file")?;
            steps.push(step(errno, &[&from]));
            steps.push(step(errno, &[&from, &to]));
        }
    }
    let told = tell(&steps, &allowed)?;
    ensure(told.len() == steps.len(), || {
        format!("{} of {} steps were tried", told.len(), steps.len())
    })?;
    let wrong = steps
        .iter()
        .zip(&told)
        .filter(|(step, saw)| step.errno != **saw);
    let wrong = wrong
        .map(|(step, saw)| format!("{}: {saw}, not {}", step.words.join(" "), step.errno))
        .collect::<Vec<_>>();
    ensure(wrong.is_empty(), || {
        format!("{} of {}: {}", wrong.len(), steps.len(), wrong.join("; "))
    })?;
    stands(&steps)
}

/// Steps with a name of this length in a directory.
fn in_directory(directory: &Path, length: usize) -> Check<Vec<Step>> {
    let file = |end: &str| directory.join(name(length, end));
    let (allowed, denied) = (file(".kept"), file(".deny"));
    let from = directory.join(format!("{length}"));
    for path in [&denied, &from] {
        fs::write(path, "x").doing("make a file")?;
    }
    Ok(vec![
        step(libc::EACCES, &[&denied]),
        step(libc::EACCES, &[&denied, &from]),
        step(libc::EACCES, &[&from, &denied]),
        step(0, &[&from, &allowed]),
        // The first finds the directory forgotten, the others remembered.
        step(0, &[&allowed]),
        step(0, &[&allowed]),
        step(libc::EACCES, &[&denied]),
    ])
}

/// Does the steps in a session; the error number of each.
fn tell(steps: &[Step], allowed: &[String]) -> Check<Vec<i32>> {
    let grant = format!(
        "version = 1\nname = \"bounds\"\n\
         [[file]]\nid = \"driver\"\nallow = [\"read\", \"exec\"]\n\
         path = [\"{BASE}/driver\", \"{BASE}/list\"]\n\
         [[file]]\nid = \"tree\"\nallow = [\"read\", \"create\", \"delete\"]\npath = {}\n\
         [[file]]\nid = \"names\"\ndeny = [\"all\"]\npath = [\"/**/*.deny\"]\n",
        serde_json::Value::from(allowed.to_vec())
    );
    let (file, list) = (format!("{BASE}/grant.toml"), format!("{BASE}/list"));
    fs::write(&file, grant).doing("write the grant")?;
    let lines = steps.iter().map(|step| step.words.join(" ") + "\n");
    fs::write(&list, lines.collect::<String>()).doing("write the list")?;
    let ended = Launch::grant(&file).run(&[&format!("{BASE}/driver"), "do-all", &list])?;
    ended
        .stdout
        .lines()
        .map(|line| line.parse().map_err(|_| ended.tail()))
        .collect()
}

/// What was refused did not happen, and what was allowed did.
fn stands(steps: &[Step]) -> Check {
    for step in steps {
        let [rename, from, to] = &step.words[..] else {
            continue;
        };
        let moved = fs::symlink_metadata(from).is_err();
        let is_later_moved = steps
            .iter()
            .any(|other| other.errno == 0 && other.words.len() == 3 && other.words[1] == *from);
        let due = step.errno == 0 || is_later_moved;
        ensure(moved == due, || {
            format!("{rename} {from} {to}: moved {moved}, due {due}")
        })?;
    }
    Ok(())
}

/// `bailiff-scenarios do-all LIST`: tells for each step of a list its error number, or 0.
pub(crate) fn do_all(list: &str) -> std::io::Result<()> {
    for line in fs::read_to_string(list)?.lines() {
        let done = match line.split(' ').collect::<Vec<_>>()[..] {
            ["open", path] => fs::File::open(path).map(drop),
            ["create", path] => fs::File::create_new(path).map(drop),
            ["rename", from, to] => fs::rename(from, to),
            ["link", from, to] => fs::hard_link(from, to),
            _ => Err(std::io::ErrorKind::InvalidInput.into()),
        };
        let errno = done.err().map(|error| error.raw_os_error().unwrap_or(-1));
        println!("{}", errno.unwrap_or(0));
    }
    Ok(())
}
