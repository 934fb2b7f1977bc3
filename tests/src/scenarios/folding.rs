//! Directories that take several spellings for one name: there a rule that depends on a name means
//! nothing, and what it would decide is refused.

use std::fs;

use super::{Context, Single};
use crate::harness::{Check, Doing, ensure, events, process::shell, report::skip, session::Launch};

const BASE: &str = "/folding";

pub(crate) fn scenarios() -> Vec<Single> {
    vec![Single::new(
        "folding",
        "no spelling of a name gets around a rule where case is ignored",
        folding,
    )]
}

/// In `plain` case is told apart, in the others not; `free` has no rule that depends on a name.
fn folding(_: &mut Context) -> Check {
    let driver = std::process::id();
    // Only where the kernel has none: whatever else fails here is a failure.
    if !fs::exists("/sys/fs/ext4/features/casefold").doing("look for the feature")? {
        return skip("this kernel's ext4 has no directories that ignore case");
    }
    shell(&format!(
        "modprobe loop; mkdir -p {BASE} && truncate -s 32M {BASE}.img \
         && mkfs.ext4 -q -F -O casefold {BASE}.img && mount -o loop {BASE}.img {BASE}"
    ))?;
    shell(&format!(
        "cd {BASE} && mkdir plain folded free && chattr +F folded free && mkdir folded/sub free/sub \
         && for d in plain folded; do echo secret > $d/.env; echo x > $d/file; done \
         && echo other > plain/.ENV && echo x > folded/sub/file \
         && echo x > free/file && echo x > free/sub/file && cp /proc/{driver}/exe driver"
    ))?;
    let checked = run();
    shell(&format!("umount {BASE} && rm {BASE}.img"))?;
    checked
}

const GRANT: &str = r#"version = 1
name = "folding"
[[file]]
id = "driver"
allow = ["read", "exec"]
path = ["/folding/driver", "/folding/list"]
[[file]]
id = "tree"
allow = ["read", "write", "create", "delete"]
path = ["/folding/{plain,folded,free}/**"]
[[file]]
id = "secrets"
deny = ["all"]
path = ["/folding/{plain,folded}/**/.env"]
"#;

const EACCES: i32 = libc::EACCES;

/// What is done below [`BASE`], and the error number that is due.
const STEPS: [(&str, i32); 19] = [
    ("open plain/file", 0),
    ("open plain/.ENV", 0),
    ("create plain/.Env", 0),
    ("open plain/.env", EACCES),
    ("open free/file", 0),
    ("open free/FILE", 0),
    ("open free/SUB/File", 0),
    ("create free/.ENV", 0),
    ("open folded/.env", EACCES),
    ("open folded/.ENV", EACCES),
    ("open folded/.eNv", EACCES),
    // It may be allowed or not: its spelling does not tell.
    ("open folded/file", EACCES),
    ("open folded/Sub/File", EACCES),
    ("create folded/Sub/.ENV", EACCES),
    ("create folded/new", EACCES),
    ("rename folded/.ENV free/stolen", EACCES),
    ("rename plain/file folded/file", EACCES),
    ("rename plain/file folded/.ENV", EACCES),
    ("rename free/File free/moved", 0),
];

fn run() -> Check {
    let (grant, list) = (format!("{BASE}/grant.toml"), format!("{BASE}/list"));
    fs::write(&grant, GRANT).doing("write the grant")?;
    let lines = STEPS.map(|(step, _)| {
        let (verb, paths) = step.split_once(' ').unwrap_or((step, ""));
        let paths = paths.split(' ').map(|path| format!(" {BASE}/{path}"));
        format!("{verb}{}\n", paths.collect::<String>())
    });
    fs::write(&list, lines.concat()).doing("write the list")?;
    let ended = Launch::grant(&grant).run(&[&format!("{BASE}/driver"), "do-all", &list])?;
    let told: Vec<&str> = ended.stdout.lines().collect();
    ensure(told.len() == STEPS.len(), || ended.tail())?;
    let wrong = STEPS
        .iter()
        .zip(told)
        .filter(|((_, due), saw)| due.to_string() != *saw);
    let wrong: Vec<_> = wrong
        .map(|((step, due), saw)| format!("{step}: {saw}, not {due}"))
        .collect();
    ensure(wrong.is_empty(), || wrong.join("; "))?;
    stands()?;
    told_why()
}

/// What was refused did not happen, and what was allowed did.
fn stands() -> Check {
    let says = |path: &str| fs::read_to_string(format!("{BASE}/{path}")).ok();
    let contents = [
        ("folded/.env", Some("secret\n")),
        ("plain/.env", Some("secret\n")),
        ("plain/file", Some("x\n")),
        ("folded/file", Some("x\n")),
        ("folded/new", None),
        ("folded/sub/.env", None),
        ("free/.env", Some("")),
        ("free/moved", Some("x\n")),
        ("free/stolen", None),
    ];
    for (path, due) in contents {
        let saw = says(path);
        ensure(saw.as_deref() == due, || {
            format!("{path}: {saw:?}, not {due:?}")
        })?;
    }
    Ok(())
}

/// The event of a name that no rule denies says that it does not tell.
fn told_why() -> Check {
    let path = format!("{BASE}/folded/file");
    let listed = events::query(&["--right", "file.read"])?;
    let mut of_path = listed
        .iter()
        .filter(|event| event.path.as_ref().is_some_and(|shown| shown.text == path));
    ensure(of_path.any(|event| event.reason == "ambiguous"), || {
        format!("expected an event about {path} with the reason ambiguous")
    })
}
