//! A daemon that cannot write: its log, its store.

use std::process::Command;

use super::{Context, Single};
use crate::harness::{
    Check,
    daemon::BAILIFF,
    ensure, events,
    matrix::fixture_grant,
    process::{self, Background, eventually},
    session::Launch,
    world::{Place, World},
};

pub(crate) fn scenarios() -> Vec<Single> {
    let new = |name, run| Single::new("failures", name, run).alone().once();
    vec![new(
        "a daemon whose log takes nothing goes on",
        log_takes_nothing,
    )]
}

/// A grant under which a session is refused to read `/etc/shadow`.
fn refusing() -> Check<Launch> {
    World::make(Place::Plain)?.launch("fixture", &fixture_grant())
}

fn log_takes_nothing(_: &mut Context) -> Check {
    let launch = refusing()?;
    for log in ["2>/dev/full", "2> >(true)", ">&- 2>&-"] {
        let mut command = Command::new("bash");
        command.args(["-c", &format!("exec {BAILIFF} daemon {log}")]);
        let mut daemon = Background::start(&mut command)?;
        eventually("the daemon answers", 60, || {
            process::run(&[BAILIFF, "status"]).is_ok_and(|said| said.code == 0)
        })?;
        let ended = launch.run(&["bash", "-c", "cat /etc/shadow; echo $BAILIFF_SESSION"])?;
        let session = ended.stdout.trim();
        ensure(!session.is_empty(), || {
            format!("no session starts: {}", ended.tail())
        })?;
        let told = events::of(session)?;
        ensure(!told.is_empty(), || format!("nothing is told of {session}"))?;
        // It says in its log why it does nothing about that.
        let wrong = process::run(&[BAILIFF, "run", "--grant", "/dev/null", "--", "true"])?;
        ensure(wrong.code != 0, || "an empty grant was taken".into())?;
        let running = daemon.child.try_wait().is_ok_and(|ended| ended.is_none());
        ensure(running, || {
            format!("the daemon ended with its log at {log}")
        })?;
        process::must(&[BAILIFF, "status"])?;
    }
    Ok(())
}
