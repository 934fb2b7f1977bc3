//! Set-user-id and set-group-id bits: a session leaves no program by which others become its user.

use std::{fs, os::unix::fs::MetadataExt};

use super::{
    Context, Single,
    lifecycle::{Scene, scene},
};
use crate::{
    acts::{Act, ModeBy},
    harness::{
        Check, Doing, ensure, events, ground::Ground, matrix::Case, process, session::Shell,
    },
};

const ATTR: &str = "file.attr";
const CREATE: &str = "file.create";

fn case(
    name: &'static str,
    right: &'static str,
    refused: impl Fn(&mut Ground<'_>) -> Act + 'static,
) -> Case {
    Case::new("set-id", name, right, refused)
        .reason("privilege-gain")
        .errno(libc::EPERM)
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = changed();
    cases.extend(born());
    cases
}

fn mode(path: String, mode: u32, by: ModeBy) -> Act {
    Act::Mode { path, mode, by }
}

fn changed() -> Vec<Case> {
    vec![
        case("makes its program set-user-id", ATTR, |g| {
            mode(g.file_inside("f"), 0o4755, ModeBy::Chmod)
        })
        .twin(|g| mode(g.file_inside("f"), 0o755, ModeBy::Chmod))
        .places(),
        case("makes its program set-group-id", ATTR, |g| {
            mode(g.file_inside("f"), 0o2755, ModeBy::Chmod)
        })
        // Says which group new files get.
        .twin(|g| mode(g.dir_inside("d"), 0o2775, ModeBy::Chmod))
        .places(),
        // An ACL could make it executable later.
        case("makes a file set-group-id that is no program", ATTR, |g| {
            mode(g.file_inside("f"), 0o2644, ModeBy::Chmod)
        })
        .twin(|g| mode(g.file_inside("f"), 0o1644, ModeBy::Chmod)),
        case("makes its open program set-user-id", ATTR, |g| {
            mode(g.file_inside("f"), 0o4755, ModeBy::Fchmod)
        })
        .twin(|g| mode(g.file_inside("f"), 0o755, ModeBy::Fchmod))
        .places(),
    ]
}

fn born() -> Vec<Case> {
    vec![
        case("creates a set-user-id program", CREATE, |g| {
            mode(g.inside("new"), 0o4755, ModeBy::Open)
        })
        .twin(|g| mode(g.inside("new"), 0o755, ModeBy::Open))
        .places(),
        case("makes a node that is a set-group-id program", CREATE, |g| {
            mode(g.inside("new"), 0o2755, ModeBy::Mknod)
        })
        .twin(|g| mode(g.inside("new"), 0o755, ModeBy::Mknod))
        .places(),
        case(
            "links a nameless file that is a set-user-id program",
            CREATE,
            |g| mode(g.inside("new"), 0o4755, ModeBy::Tmpfile),
        )
        .twin(|g| mode(g.inside("new"), 0o755, ModeBy::Tmpfile))
        .places_but_bind()
        .nameless(),
    ]
}

pub(crate) fn scenarios() -> Vec<Single> {
    vec![Single::new(
        "set-id",
        "what a session of root leaves gives nobody its user",
        leaves_nothing,
    )]
}

/// What tools do that keep modes, and ways that set a bit without asking for a mode.
const TRIES: &[&str] = &[
    "cp /usr/bin/id ID && chmod u+s ID",
    "cp -p /usr/bin/passwd ID",
    "install -m 4755 /usr/bin/id ID",
    "tar -C / -cf DIR/a.tar usr/bin/passwd && tar -C DIR -xpf DIR/a.tar && mv DIR/usr/bin/passwd ID",
    "cp /usr/bin/id ID && chgrp 0 ID && chmod 2744 ID && setfacl -m m::rwx ID",
];

/// Maps a file as shared memory.
fn map(path: &str, mode: &str, protection: u32) -> String {
    format!(
        "python3 -c \"import mmap; file = open('{path}', '{mode}'); \
         mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED, {protection})\""
    )
}

fn leaves_nothing(context: &mut Context) -> Check {
    context.daemon()?;
    let Scene { launch, world, .. } = scene("set-id")?;
    let dir = format!("{}/set-id", world.workspace);
    let id = &format!("{dir}/id");
    let mut session = Shell::start(&launch)?;
    for attempt in TRIES {
        let attempt = attempt.replace("ID", id).replace("DIR", &dir);
        session.run(&format!("rm -rf {id}; {attempt}"))?;
        let left = process::shell(&format!("find {dir} -type f -perm /6000"))?.stdout;
        ensure(left.trim().is_empty(), || {
            format!("{attempt:?} left {left:?}")
        })?;
        process::shell(&format!(
            "rm -rf {id}; {attempt}; find {dir} -type f -perm /6000 | grep ."
        ))?;
    }
    // The twin: a program without the bits, and what was there before keeps them until it is written.
    session.may(&format!(
        "rm -rf {id}; cp /usr/bin/id {id}; chmod 755 {id}; {id}"
    ))?;
    process::shell(&format!("chmod 4755 {id}"))?;
    session.may(&format!("mv {id} {id}2; mv {id}2 {id}"))?;
    ensure(fs::metadata(id).doing("look")?.mode() & 0o4000 != 0, || {
        "a move took the bit away".into()
    })?;
    // Memory of the file takes no bit away, so it is not to be had.
    let (read, both) = (
        libc::PROT_READ as u32,
        (libc::PROT_READ | libc::PROT_WRITE) as u32,
    );
    session.may_not(&map(id, "r+b", both))?;
    // It could be made writable afterwards.
    session.may_not(&map(id, "r+b", read))?;
    session.may(&map(id, "rb", read))?;
    process::shell(&format!("cp {id} {id}2"))?;
    session.may(&map(&format!("{id}2"), "r+b", both))?;
    ensure(fs::metadata(id).doing("look")?.mode() & 0o4000 != 0, || {
        "the program lost its bit".into()
    })?;
    session.may(&format!("echo >>{id}"))?;
    ensure(fs::metadata(id).doing("look")?.mode() & 0o6000 == 0, || {
        "a program that the session wrote kept the bit".into()
    })?;
    let listed = events::query(&["--right", ATTR])?;
    let told = listed
        .iter()
        .any(|event| event.reason == "privilege-gain" && event.object == *id);
    ensure(told, || format!("no event names {id}"))
}
