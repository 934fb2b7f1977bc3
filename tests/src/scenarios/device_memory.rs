//! What a device maps is not the content of a file that a grant calls a program.

use super::{
    Context, Single,
    lifecycle::{Scene, scene},
};
use crate::harness::{Check, ensure, events, matrix::fixture_grant, session::Shell};

pub(crate) fn scenarios() -> Vec<Single> {
    vec![Single::new(
        "exec",
        "memory of a device that may be executed is memory that the session made",
        zero,
    )]
}

fn zero(_: &mut Context) -> Check {
    let Scene { world, .. } = scene("zero")?;
    let rules = "[[file]]\nid = \"zero\"\nallow = [\"read\", \"write\", \"exec\"]\npath = [\"/dev/zero\"]\n";
    let grant = format!("{}\n{rules}", fixture_grant());
    let jit = grant.replace("jit = false", "jit = true");
    let map = |flags: &str, protection: &str| {
        format!(
            "python3 -c \"import mmap; file = open('/dev/zero', 'r+b', buffering=0); \
             mmap.mmap(file.fileno(), 4096, mmap.{flags}, {protection})\""
        )
    };
    let executable = "mmap.PROT_READ | mmap.PROT_EXEC";
    let mut session = Shell::start(&world.launch("fixture", &grant)?)?;
    for flags in ["MAP_SHARED", "MAP_PRIVATE"] {
        session.may_not(&map(flags, executable))?;
        session.may(&map(flags, "mmap.PROT_READ | mmap.PROT_WRITE"))?;
    }
    let told = events::query(&["--right", "process.jit"])?;
    ensure(!told.is_empty(), || "no event tells of it".into())?;
    let mut session = Shell::start(&world.launch("fixture", &jit)?)?;
    session.may(&map("MAP_SHARED", executable)).map(drop)
}
