//! A store that takes no more.

use std::fs;

use super::{BASE, Report, go, is_done, on_ground, signal, stored, waiting};
use crate::{
    harness::{
        Check, Doing,
        daemon::{BAILIFF, Daemon},
        ensure, events,
        process::{self, eventually},
        session::Launch,
    },
    scenarios::Context,
};

/// Refusals of each session while nothing can be stored.
const UNSTORED: u64 = 300;
/// Room for all of them at once, none folded with the next, in the database and in its log: each has a path
/// of nearly 4 KiB.
const STORE_SIZE: &str = "size=16m";

pub(super) fn full(_: &mut Context) -> Check {
    let state = "/run/scenarios/small-store";
    process::shell(&format!(
        "mkdir -p {state} && mount -t tmpfs -o {STORE_SIZE} none {state}"
    ))?;
    let checked = on_ground("", |launch| {
        let mut daemon = Daemon::start_with(&["--state", state])?;
        let count = UNSTORED.to_string();
        let (mut staying, stays, _) = waiting(launch, "stays", &["refuse", &count, "stay"])?;
        let (mut ending, ends, _) = waiting(launch, "ends", &["refuse", &count])?;
        fill(state)?;
        go()?;
        eventually("all have been refused", 60, || {
            is_done("stays") && is_done("ends")
        })?;
        ending.child.wait().doing("wait for the session")?;
        let status = || {
            process::must(&[BAILIFF, "status"]).map_or_else(|_| String::new(), |said| said.stdout)
        };
        eventually("the daemon says that it does not record", 30, || {
            status().contains("not recording")
        })?;
        let _ = process::run(&[BAILIFF, "report", &stays])?;
        signal(daemon.pid(), libc::SIGTERM);
        eventually("the daemon has ended", 30, || daemon.has_ended())?;
        process::shell(&format!("rm {state}/filler"))?;
        let _daemon = Daemon::start_with(&["--state", state])?;
        balanced(&stays)?;
        balanced(&ends)?;
        fs::write(format!("{BASE}/open/leave"), "").doing("let it end")?;
        staying.child.wait().doing("wait for the session")?;
        balanced(&stays)
    });
    process::shell(&format!("umount -l {state}"))?;
    checked
}

fn fill(state: &str) -> Check {
    process::shell(&format!(
        "dd if=/dev/zero of={state}/filler bs=4k 2>/dev/null || true"
    ))
    .map(drop)
}

/// The earlier daemon was told to end, and has left nothing but the database; or was killed, and left its
/// log too.
pub(super) fn starts_full(_: &mut Context) -> Check {
    let state = "/run/scenarios/full-store";
    type Way = fn(&str, &Launch) -> Check;
    let ways: [(&str, Way); 3] = [
        ("SIGTERM", |state, launch| {
            starts_full_after(libc::SIGTERM, state, launch)
        }),
        ("SIGKILL", |state, launch| {
            starts_full_after(libc::SIGKILL, state, launch)
        }),
        ("no session yet", starts_full_unused),
    ];
    for (way, run) in ways {
        process::shell(&format!(
            "mkdir -p {state} && mount -t tmpfs -o {STORE_SIZE} none {state}"
        ))?;
        let checked = on_ground("", |launch| run(state, launch));
        process::shell(&format!("umount -l {state}"))?;
        checked.map_err(|error| format!("after {way}: {error}; {}", Daemon::log()))?;
    }
    Ok(())
}

/// A disk came and was not written down; sessions start when there is room.
fn starts_full_unused(state: &str, launch: &Launch) -> Check {
    let mut daemon = Daemon::start_with(&["--state", state])?;
    signal(daemon.pid(), libc::SIGTERM);
    eventually("the daemon has ended", 30, || daemon.has_ended())?;
    fill(state)?;
    // The identifier of a disk is new: it has to be written down.
    let disk = format!("{BASE}/disk");
    process::shell(&format!(
        "truncate -s 8M {disk}.image && mkfs.ext4 -q {disk}.image && mkdir {disk} && mount {disk}.image {disk}"
    ))?;
    let checked = starts_full_with_disk(state, launch);
    process::shell(&format!("umount {disk}"))?;
    checked
}

fn starts_full_with_disk(state: &str, launch: &Launch) -> Check {
    let _daemon = Daemon::start_with(&["--state", state])?;
    let more = launch.run(&["true"])?;
    ensure(more.code != 0, || "a session started".into())?;
    process::shell(&format!("rm {state}/filler"))?;
    eventually("a session starts", 30, || {
        launch
            .run(&[&format!("{BASE}/run/driver"), "truncate-input"])
            .is_ok_and(|ended| ended.code == 0)
    })
}

fn starts_full_after(ending: i32, state: &str, launch: &Launch) -> Check {
    let mut daemon = Daemon::start_with(&["--state", state])?;
    let count = UNSTORED.to_string();
    let (mut staying, stays, _) = waiting(launch, "stays", &["refuse", &count, "stay"])?;
    let (mut leaving, leaves, _) = waiting(launch, "leaves", &["refuse", &count])?;
    signal(daemon.pid(), ending);
    eventually("the daemon has ended", 30, || daemon.has_ended())?;
    fill(state)?;
    let _daemon = Daemon::start_with(&["--state", state])?;
    let status =
        || process::must(&[BAILIFF, "status"]).map_or_else(|_| String::new(), |said| said.stdout);
    let said = status();
    ensure(
        said.contains("NOT RECORDING") && said.contains("Free some space"),
        || format!("expected to be told what to do, saw {said}"),
    )?;
    // All of it is what the kernel refused.
    go()?;
    eventually("all have been refused", 60, || {
        is_done("stays") && is_done("leaves")
    })?;
    leaving.child.wait().doing("wait for the session")?;
    eventually("the session that ended is no longer there", 30, || {
        process::must(&[BAILIFF, "ps"])
            .is_ok_and(|said| said.stdout.contains(&stays) && !said.stdout.contains(&leaves))
    })?;
    let more = launch.run(&["true"])?;
    ensure(
        more.code != 0 && more.stderr.contains("could not be recorded"),
        || format!("expected that no session starts, saw {}", more.tail()),
    )?;
    process::shell(&format!("rm {state}/filler"))?;
    eventually("the daemon records again", 30, || {
        let said = status();
        said.contains("sessions") && !said.contains("NOT RECORDING")
    })?;
    balanced(&stays)?;
    balanced(&leaves)?;
    let more = launch.run(&["true"])?;
    ensure(!more.stderr.contains("recorded"), || more.tail())?;
    fs::write(format!("{BASE}/open/leave"), "").doing("let it end")?;
    staying.child.wait().doing("wait for the session")?;
    balanced(&stays)
}

/// Each refusal of a session is stored or told as lost, in the end.
fn balanced(session: &str) -> Check {
    let mut last = String::new();
    let balanced = eventually("what was refused is stored or told", 30, || {
        let (Ok(report), Ok(all)) = (Report::of(session), events::of(session)) else {
            return false;
        };
        let (kept, told) = (stored(&all, "deny"), stored(&all, "lost"));
        last = format!("{kept} stored, {told} told as lost: {report:?}");
        let expected = if told > 0 { "unknown" } else { "aligned" };
        report.refused() >= UNSTORED
            && kept + told == report.refused()
            && report.lost == told
            && report.alignment == expected
    });
    balanced.map_err(|error| format!("{error}; {last}"))
}
