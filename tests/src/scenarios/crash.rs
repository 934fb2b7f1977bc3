//! Crashes: row 158 of the catalogue. What the host does about one runs outside of every session.

use std::{fs, io, os::unix::net::UnixListener, process::Command};

use super::{
    Context, Single,
    lifecycle::{Scene, scene, tagged_shell, why_says},
};
use crate::harness::{
    Check, Doing, ensure, events,
    matrix::kernel_is_at_least,
    process::{eventually, shell},
    report::skip,
    session::Shell,
};

pub(crate) fn scenarios() -> Vec<Single> {
    let new = |name, run| Single::new("crash", name, run);
    vec![
        new("a session's crash starts no program outside", pipe),
        new("a session dumps no core", file),
        new("a session's crash reaches no socket outside", socket),
        new("a grant may open core dumps", granted),
        new("why tells of the refusal before a crash", cause),
    ]
}

const PATTERN: &str = "/proc/sys/kernel/core_pattern";

/// What crashes are handled by, until this goes.
struct Pattern {
    before: String,
}

impl Pattern {
    fn set(pattern: &str) -> io::Result<Self> {
        let before = fs::read_to_string(PATTERN)?;
        fs::write(PATTERN, pattern)?;
        Ok(Self { before })
    }
}

impl Drop for Pattern {
    fn drop(&mut self) {
        let _ = fs::write(PATTERN, &self.before);
    }
}

/// Crashes by every signal of the kind and by a fault, in a program, a shell and a thread.
const CRASHES: &str = "ulimit -c unlimited 2>/dev/null
for s in SEGV ABRT QUIT BUS ILL FPE TRAP SYS XCPU; do sh -c \"kill -$s \\$\\$\"; done
python3 -c 'import ctypes; ctypes.string_at(0)'
python3 -c 'import ctypes, threading; t = threading.Thread(target=ctypes.string_at, args=(0,)); t.start(); t.join()'
true";

/// A handler that leaves a line for each crash.
fn handler(name: &str) -> Check<(Pattern, String)> {
    let mark = format!("/srv/crash-{name}");
    let program = format!("/srv/handler-{name}");
    let text = format!("#!/bin/sh\necho crashed $1 >>{mark}\ncat >/dev/null\n");
    shell(&format!("mkdir -p /srv; rm -f {mark}"))?;
    fs::write(&program, text).doing("write a handler")?;
    shell(&format!("chmod 755 {program}"))?;
    let pattern = Pattern::set(&format!("|{program} %P")).doing("set the core pattern")?;
    Ok((pattern, mark))
}

fn lines(path: &str) -> usize {
    fs::read_to_string(path).unwrap_or_default().lines().count()
}

fn pipe(_: &mut Context) -> Check {
    let (_pattern, mark) = handler("pipe")?;
    let crash = |shell: &mut Shell| shell.may(&CRASHES.replace('\n', "; "));
    let Scene { launch, .. } = scene("pipe")?;
    let mut inside = Shell::start(&launch)?;
    crash(&mut inside)?;
    let (_scene, mut tagged, _cgroup) = tagged_shell("crash", &[])?;
    crash(&mut tagged)?;
    ensure(lines(&mark) == 0, || {
        format!("expected no crash to be handled, saw {}", lines(&mark))
    })?;
    let session = inside.session.clone();
    eventually("the refusal is an event", 10, || {
        let events = events::of(&session).unwrap_or_default();
        events.iter().any(|event| event.right == "process.core")
    })?;
    // A session that its own signal ends, and the handler of who is in none.
    let mut free = Shell::unconfined(&[])?;
    crash(&mut free)?;
    eventually("11 crashes outside are handled", 20, || lines(&mark) == 11)
}

fn file(_: &mut Context) -> Check {
    let Scene { launch, world, .. } = scene("core")?;
    let place = format!("{}/core", world.workspace);
    let _pattern = Pattern::set("core-dumped").doing("set the core pattern")?;
    let crash = format!("cd {place}; ulimit -c unlimited; sh -c 'kill -SEGV $$'; ls");
    let mut inside = Shell::start(&launch)?;
    let said = inside.may(&crash)?;
    ensure(!said.contains("core-dumped"), || {
        format!("expected no dump, saw {said:?}")
    })?;
    let said = Shell::unconfined(&[])?.may(&crash)?;
    ensure(said.contains("core-dumped"), || {
        format!("expected a dump outside, saw {said:?}")
    })
}

fn socket(_: &mut Context) -> Check {
    let path = "/srv/crash-socket";
    shell(&format!("mkdir -p /srv; rm -f {path}"))?;
    let listener = UnixListener::bind(path).doing("listen")?;
    listener.set_nonblocking(true).doing("listen")?;
    if !kernel_is_at_least(6, 16) {
        return skip("this kernel sends no core dumps to sockets");
    }
    let _pattern = Pattern::set(&format!("@{path}")).doing("set the core pattern")?;
    let heard = || listener.accept().is_ok();
    let Scene { launch, .. } = scene("core-socket")?;
    let mut inside = Shell::start(&launch)?;
    inside.may("sh -c 'kill -SEGV $$'; true")?;
    ensure(!heard(), || "the socket heard of a crash inside".into())?;
    // It waits until somebody has taken, or closed, what it sends.
    let mut free = Command::new("sh")
        .args(["-c", "kill -SEGV $$"])
        .spawn()
        .doing("start a shell")?;
    eventually("a crash outside is heard of", 20, heard)?;
    free.wait().map(drop).doing("wait")
}

fn granted(_: &mut Context) -> Check {
    let Scene { world, .. } = scene("core-granted")?;
    let (_pattern, mark) = handler("granted")?;
    let text = crate::harness::matrix::fixture_grant();
    let text = text.replace("jit = false", "jit = false\ncore = true");
    let mut inside = Shell::start(&world.launch("core", &text)?)?;
    inside.may("sh -c 'kill -SEGV $$'; true")?;
    eventually("the crash is handled", 10, || lines(&mark) == 1)
}

/// Asks for memory that can be written and executed, is told no, and crashes.
const JIT: &str = "import ctypes, mmap
try: mmap.mmap(-1, 4096, prot=7)
except OSError: ctypes.string_at(0)";

fn cause(_: &mut Context) -> Check {
    let Scene { launch, world, .. } = scene("core-cause")?;
    let _pattern = Pattern::set("core-dumped").doing("set the core pattern")?;
    let program = format!("{}/core-cause/jit.py", world.workspace);
    fs::write(&program, JIT).doing("write a program")?;
    let crash = format!("ulimit -c unlimited; python3 {program}");
    let mut inside = Shell::start(&launch)?;
    let (code, said) = inside.run(&crash)?;
    ensure(code > 128, || {
        format!("expected a crash, saw {code}: {said}")
    })?;
    let said = why_says(&mut inside, &["process.core", "process.jit"])?;
    let (jit, core) = (said.find("jit = true"), said.find("core = true"));
    ensure(
        said.contains("same process") && jit.is_some() && jit < core,
        || said,
    )?;
    let (code, said) = Shell::unconfined(&[])?.run(&crash)?;
    ensure(code == 0, || {
        format!("expected no crash outside, saw {said}")
    })
}
