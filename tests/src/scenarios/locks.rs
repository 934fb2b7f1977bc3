//! Locks and leases, by which a session would hold others up: row 53 of the catalogue.

use super::{Context, Single, lifecycle::tagged_shell};
use crate::{
    acts::{Act, syscall},
    harness::{Check, Doing, ensure, events, ground::Ground, matrix::Case, process},
};

const CAPABILITY: &str = "process.capability";

fn case(
    name: &'static str,
    right: &'static str,
    refused: impl Fn(&mut Ground<'_>) -> Act + 'static,
) -> Case {
    Case::new("locks", name, right, refused)
}

fn lease(
    name: &'static str,
    kind: i32,
    file: impl Fn(&mut Ground<'_>) -> String + 'static,
) -> Case {
    case(name, CAPABILITY, move |g| syscall::lease(&file(g), kind))
        .reason("not-granted")
        .errno(libc::EPERM)
        .twin(|g| {
            let file = g.file_reference("f");
            syscall::flock(&file, libc::O_RDONLY, libc::LOCK_SH)
        })
}

fn exclusive(name: &'static str, file: impl Fn(&mut Ground<'_>) -> String + 'static) -> Case {
    case(name, "file.write", move |g| {
        syscall::flock(&file(g), libc::O_RDONLY, libc::LOCK_EX)
    })
    .errno(libc::EACCES)
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        lease(
            "takes a lease on a file that may be read",
            libc::F_RDLCK,
            |g| g.file_reference("f"),
        )
        .places_but_bind(),
        lease(
            "takes a write lease on a file of its own",
            libc::F_WRLCK,
            |g| g.file_inside("f"),
        ),
        case("delegates a directory to itself", CAPABILITY, |g| {
            let directory = g.dir_inside("d");
            syscall::delegate(&directory)
        })
        .reason("not-granted")
        .errno(libc::EPERM)
        .since(6, 19),
        exclusive("locks others out of a file that may only be read", |g| {
            g.file_reference("f")
        })
        .twin(|g| {
            let file = g.file_inside("f");
            syscall::flock(&file, libc::O_RDONLY, libc::LOCK_EX)
        })
        .places(),
        exclusive(
            "locks others out of a directory that may only be listed",
            |g| g.reference(""),
        )
        .twin(|g| {
            let directory = g.dir_inside("d");
            syscall::flock(&directory, libc::O_RDONLY, libc::LOCK_EX)
        }),
    ]
}

pub(crate) fn scenarios() -> Vec<Single> {
    let new = |name, run| Single::new("locks", name, run);
    vec![
        new(
            "nobody outside waits for a lease of a session",
            nobody_waits,
        ),
        new(
            "programs lock their own files and share what they read",
            programs,
        ),
    ]
}

/// Tries to take a lease on a file until it has one.
const LEASES: &str = "import fcntl, os, signal, sys, time
signal.signal(signal.SIGIO, signal.SIG_IGN)
file = os.open(sys.argv[1], os.O_RDONLY)
while True:
    try:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        signal.pause()
    except OSError: time.sleep(0.05)
";

/// Whether a writer would have to wait.
fn is_held(path: &str) -> Check<bool> {
    let program = format!(
        "import os
try: os.open('{path}', os.O_WRONLY | os.O_NONBLOCK)
except BlockingIOError: print('held')"
    );
    let said = process::must(&["python3", "-c", &program])?.stdout;
    Ok(said == "held\n")
}

fn nobody_waits(_: &mut Context) -> Check {
    let (scene, mut shell, cgroup) = tagged_shell("leases", &[])?;
    let path = &format!("{}/leases.file", scene.world.reference);
    std::fs::write(path, "").doing("write a file")?;
    let program = format!("{}/leases/program.py", scene.world.workspace);
    std::fs::write(&program, LEASES).doing("write a program")?;
    shell.may(&format!("python3 {program} {path} >/dev/null 2>&1 &"))?;
    process::eventually("the lease is refused", 20, || {
        let seen = events::query(&["--right", "process.capability", "--since", "20s"]);
        seen.is_ok_and(|seen| seen.iter().any(|event| event.names("lease")))
    })?;
    let held = is_held(path)?;
    std::fs::write(format!("{cgroup}/cgroup.kill"), "1").doing("end the session")?;
    ensure(!held, || format!("a writer waits for {path}"))?;
    // The same outside is what the kernel would let it do.
    let _holder = process::Background::start(
        std::process::Command::new("python3")
            .args(["-c", LEASES, path])
            .stdout(std::process::Stdio::null()),
    )?;
    process::eventually("a lease holds a writer up", 10, || {
        is_held(path).unwrap_or(false)
    })
}

/// Exclusively where it may write; shared, as readers of a database do, where it may read.
const PROGRAMS: &str = "import fcntl, sqlite3, sys
own, read = sys.argv[1:]
with open(own + '/lock', 'w') as file:
    fcntl.flock(file, fcntl.LOCK_EX); fcntl.lockf(file, fcntl.LOCK_EX); fcntl.flock(file, fcntl.LOCK_UN)
with open(own + '/lock') as file:
    fcntl.flock(file, fcntl.LOCK_EX)
with open(read) as file:
    fcntl.flock(file, fcntl.LOCK_SH); fcntl.lockf(file, fcntl.LOCK_SH)
base = sqlite3.connect(own + '/base')
base.execute('create table t (x)'); base.execute('insert into t values (1)'); base.commit()
print(sqlite3.connect('file:%s?mode=ro' % read, uri=True).execute('select x from t').fetchall())
";

fn programs(_: &mut Context) -> Check {
    let (scene, mut shell, _cgroup) = tagged_shell("locking", &[])?;
    let own = format!("{}/locking", scene.world.workspace);
    let read = format!("{}/locking.base", scene.world.reference);
    process::must(&[
        "python3",
        "-c",
        "import sqlite3, sys
base = sqlite3.connect(sys.argv[1])
base.execute('create table t (x)'); base.execute('insert into t values (7)'); base.commit()",
        &read,
    ])?;
    let program = format!("{own}/program.py");
    std::fs::write(&program, PROGRAMS).doing("write a program")?;
    let said = shell.may(&format!("python3 {program} {own} {read}"))?;
    ensure(said.contains("[(7,)]"), || {
        format!("expected 7, saw {said}")
    })
}
