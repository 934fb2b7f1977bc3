//! Whether limits are in force, and whether Bailiff says so where they are not.

use std::fs;

use super::{Context, Single};
use crate::{
    acts::SECRET,
    harness::{
        Check, Doing,
        daemon::{BAILIFF, Daemon},
        ensure,
        process::{self, eventually, shell},
        session::{Launch, Shell},
        world::{Place, World},
    },
};

pub(crate) fn scenarios() -> Vec<Single> {
    let new = |name, run| Single::new("enforcement", name, run);
    vec![
        new(
            "the self-test tries every family of hooks, and leaves nothing",
            self_test,
        ),
        new(
            "pins that are removed while the daemon runs come back, and nothing is lifted",
            pins_removed,
        ),
        new(
            "without the filesystem of its pins no session starts, and nothing is lifted",
            filesystem_unmounted,
        ),
        new(
            "sessions that were not limited for a time are not called aligned",
            gap,
        )
        .once(),
    ]
}

const SECRET_FILE: &str = "/srv/outside/enforcement";
const PINS: &str = "/sys/fs/bpf/bailiff";

fn scene() -> Check<Launch> {
    let world = World::make(Place::Plain)?;
    fs::write(SECRET_FILE, SECRET).doing("write a secret")?;
    world.launch("fixture", &crate::harness::matrix::fixture_grant())
}

fn status() -> Check<String> {
    Ok(process::must(&[BAILIFF, "status"])?.stdout)
}

/// A new session is limited.
fn new_is_limited(launch: &Launch) -> Check {
    let ran = launch.run(&["cat", SECRET_FILE])?;
    ensure(
        ran.code == 1 && ran.stderr.contains("ermission denied"),
        || {
            format!(
                "a new session was not limited: {}: {}",
                ran.code,
                ran.tail()
            )
        },
    )
}

/// What the self-test makes.
fn scratch() -> Check<String> {
    shell("ls -d /run/bailiff-self-test-* /run/user/*/bailiff-self-test-* 2>/dev/null || true; ipcs -m")
        .map(|ended| ended.stdout)
}

fn self_test(_: &mut Context) -> Check {
    let launch = scene()?;
    let before = scratch()?;
    let told = process::run(&[BAILIFF, "doctor", "--self-test", "--json"])?;
    let findings: serde_json::Value = serde_json::from_str(&told.stdout).doing("read JSON")?;
    let acts = findings["self_test"]["acts"].as_array();
    let acts = acts.map_or(&[][..], Vec::as_slice);
    let good = acts.iter().filter(|act| act["result"] == "good").count();
    ensure(acts.len() >= 18 && good == acts.len(), || {
        format!("expected every act refused, saw {}", findings["self_test"])
    })?;
    ensure(told.code == 0 && findings["ok"] == true, || {
        format!(
            "expected success, saw {}: {}",
            told.code, findings["checks"]
        )
    })?;
    // Who is not in the group starts no session, and so tries nothing.
    let user = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"];
    let told = process::run(&[&user[..], &[BAILIFF, "doctor", "--self-test"]].concat())?;
    ensure(
        told.code == 1 && told.stdout.contains("self-test") && told.stdout.contains("group"),
        || {
            format!(
                "expected that nothing is tried, saw {}: {}",
                told.code,
                told.tail()
            )
        },
    )?;
    let text = process::must(&[BAILIFF, "doctor", "--self-test"])?.stdout;
    let summary = format!("{good} of {good} acts beyond a grant were refused");
    ensure(
        text.contains(&summary) && text.contains("refused as process.ipc"),
        || text,
    )?;
    let after = scratch()?;
    ensure(before == after, || {
        format!("the self-test left its things: {before} before, {after} after")
    })?;
    new_is_limited(&launch)
}

fn pins_removed(context: &mut Context) -> Check {
    let launch = scene()?;
    let mut session = Shell::start(&launch)?;
    session.may_not(&format!("cat {SECRET_FILE}"))?;
    shell(&format!("rm -rf {PINS}"))?;
    session.may_not(&format!("cat {SECRET_FILE}"))?;
    // Its start finds them missing and makes them again.
    new_is_limited(&launch)?;
    let told = status()?;
    ensure(told.contains("in force"), || told)?;
    // One at a time, and something else in its place.
    shell(&format!(
        "cd {PINS}/programs-* && rm ../maps/IMAGES file_open; mkdir file_open || true"
    ))?;
    eventually("the pins come back by themselves", 30, || {
        shell(&format!(
            "cd {PINS}/programs-* && test -f file_open && test -e ../maps/IMAGES"
        ))
        .is_ok()
    })?;
    context.daemon()?.kill()?;
    session.may_not(&format!("cat {SECRET_FILE}"))?;
    session.may("true")?;
    context.daemon = Some(Daemon::start()?);
    session.may_not(&format!("cat {SECRET_FILE}"))?;
    new_is_limited(&launch)?;
    reported(&session.session, "aligned")
}

fn reported(session: &str, expected: &str) -> Check {
    let told = process::must(&[BAILIFF, "report", session, "--json"])?.stdout;
    let report: serde_json::Value = serde_json::from_str(&told).doing("read JSON")?;
    ensure(report["alignment"] == expected, || {
        format!(
            "expected `{expected}`, saw {} ({})",
            report["alignment"], report["because"]
        )
    })
}

fn filesystem_unmounted(context: &mut Context) -> Check {
    let launch = scene()?;
    let mut session = Shell::start(&launch)?;
    shell("umount -l /sys/fs/bpf")?;
    let checked = (|| {
        session.may_not(&format!("cat {SECRET_FILE}"))?;
        let told = status()?;
        ensure(
            told.contains("NOT LASTING") && told.contains("mount -t bpf"),
            || told,
        )?;
        let doctor = process::run(&[BAILIFF, "doctor"])?;
        ensure(
            doctor.code != 0 && doctor.stdout.contains("NOT LASTING"),
            || format!("expected `doctor` to say it, saw {}", doctor.stdout),
        )?;
        let ran = launch.run(&["touch", "/w/enforcement-ran"])?;
        ensure(
            ran.code == 125 && ran.stderr.contains("no session starts"),
            || format!("expected no session, saw {}: {}", ran.code, ran.tail()),
        )?;
        ensure(!fs::exists("/w/enforcement-ran").doing("look")?, || {
            "the command ran".into()
        })
    })();
    shell("mount -t bpf bpf /sys/fs/bpf")?;
    checked?;
    new_is_limited(&launch)?;
    let told = status()?;
    ensure(told.contains("in force"), || told)?;
    context.daemon()?.kill()?;
    session.may_not(&format!("cat {SECRET_FILE}"))?;
    context.daemon = Some(Daemon::start()?);
    session.may_not(&format!("cat {SECRET_FILE}")).map(drop)
}

/// The pins go, and then the daemon, before it could make them again.
fn gap(context: &mut Context) -> Check {
    let launch = scene()?;
    let mut session = Shell::start(&launch)?;
    session.may_not(&format!("cat {SECRET_FILE}"))?;
    let daemon = context.daemon()?;
    shell(&format!(
        "kill -STOP {} && rm -rf {PINS}/programs-*",
        daemon.pid()
    ))?;
    daemon.kill()?;
    // Nothing holds the programs any more; what detaches them does so a little later.
    eventually("the session is not limited", 10, || {
        session
            .run(&format!("cat {SECRET_FILE}"))
            .is_ok_and(|(code, _)| code == 0)
    })?;
    // A look of somebody who wonders why there is no daemon.
    let doctor = process::run(&[BAILIFF, "doctor"])?;
    ensure(
        doctor.code == 0 && doctor.stdout.contains("the kernel takes all"),
        || format!("expected that a daemon could start, saw {}", doctor.stdout),
    )?;
    context.daemon = Some(Daemon::start()?);
    session.may_not(&format!("cat {SECRET_FILE}"))?;
    let name = session.session.clone();
    reported(&name, "unknown")?;
    let told = process::must(&[BAILIFF, "events", "--since", "5min"])?.stdout;
    ensure(told.contains("not limited for a time"), || {
        format!("expected an event that says so, saw {told}")
    })?;
    let report = process::must(&[BAILIFF, "report", &name])?.stdout;
    ensure(report.contains("not limited for a time"), || {
        format!("expected a report that says so, saw {report}")
    })
}
