//! The host's clock turned by a session that may: the record keeps its dates.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{
    Context, Single,
    lifecycle::{Scene, scene},
};
use crate::harness::{
    Check, Doing, ensure, events, matrix::fixture_grant, process::shell, session::Shell,
};

pub(crate) fn scenarios() -> Vec<Single> {
    vec![
        Single::new(
            "evidence",
            "a clock that an ended session left wrong dates no later one's refusals",
            turned,
        )
        .once(),
    ]
}

/// Turns back by a hundred days.
const TURN: &str = "date -s @$(($(date +%s) - 8640000))";

fn turned(context: &mut Context) -> Check {
    // One whose clock nobody may have set yet.
    context.daemon = None;
    context.daemon()?;
    let (right, since) = (now()?, Instant::now());
    let seen = later_refused();
    let again = (right + since.elapsed()).as_secs();
    shell(&format!("date -s @{again}"))?;
    let session = seen?;
    let found = events::query(&["--since", "30m", "--session", &session])?;
    ensure(found.iter().any(|event| event.right == "file.read"), || {
        format!("no refusal of {session} is dated within half an hour: {found:?}")
    })?;
    // The next scenarios have a daemon that goes by the host's clock.
    context.daemon = None;
    Ok(())
}

fn later_refused() -> Check<String> {
    let Scene { world, secret, .. } = scene("clock")?;
    let before = now()?;
    let mut plain = Shell::start(&world.launch("fixture", &fixture_grant())?)?;
    plain.may_not(TURN)?;
    let turning = fixture_grant().replace("capabilities = []", "capabilities = [\"sys_time\"]");
    let mut turning = Shell::start(&world.launch("turning", &turning)?)?;
    turning.may(TURN)?;
    drop(turning);
    let turned = now()?;
    ensure(turned + Duration::from_secs(8_000_000) < before, || {
        format!("the clock was not turned: {before:?}, {turned:?}")
    })?;
    let mut later = Shell::start(&world.launch("fixture", &fixture_grant())?)?;
    later.may_not(&format!("cat {secret}"))?;
    Ok(later.session.clone())
}

fn now() -> Check<Duration> {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .doing("read the clock")
}
