//! `bailiff exec`: a session that is a process where it stands, and what that starts.

use std::fs;

use super::{
    Context, Single,
    lifecycle::{Scene, scene},
    who::{enter, make_cgroup, remove_cgroup},
};
use crate::harness::{
    Check, Doing,
    daemon::{BAILIFF, Daemon},
    ensure, events, members, process,
    session::Shell,
};

pub(crate) fn scenarios() -> Vec<Single> {
    let new = |name, run| Single::new("in place", name, run);
    vec![
        new(
            "a command keeps its pid and its cgroup, and is limited wherever it goes",
            stays,
        ),
        new(
            "the session ends with its last process, wherever that is",
            last_one,
        ),
        new("stop reaches all of it, and nobody beside it", stopped),
        new(
            "it goes on with the daemon dead and under the next one",
            dead_daemon,
        ),
        new("what is not granted to be executed is not", not_executed),
        new(
            "descriptors of a service manager are kept, and no others",
            descriptors,
        ),
    ]
}

/// Moves to a cgroup, then becomes its arguments.
fn in_cgroup(cgroup: &str) -> String {
    format!("echo $$ > {cgroup}/cgroup.procs; echo $$ > /run/scenarios/in-place-pid; exec \"$@\"")
}

fn session(name: &str) -> Check<serde_json::Value> {
    let said = process::must(&[BAILIFF, "status", name, "--json"])?;
    serde_json::from_str(&said.stdout).doing("read a status")
}

fn has_ended(name: &str) -> bool {
    session(name).is_ok_and(|session| session["state"] == "ended")
}

fn stays(_: &mut Context) -> Check {
    let Scene {
        world,
        launch,
        secret,
    } = scene("in-place")?;
    let top = make_cgroup("scenario-in-place")?;
    let mut beside = Shell::unconfined(&[])?;
    enter(&top, beside.pid)?;
    let mut shell = Shell::in_place(&launch, &in_cgroup(&top))?;
    let pid = fs::read_to_string("/run/scenarios/in-place-pid").doing("read a pid")?;
    ensure(pid.trim() == shell.pid.to_string(), || {
        format!("it was {pid}, and became {}", shell.pid)
    })?;
    let decides = |shell: &mut Shell| -> Check {
        shell.may_not(&format!("cat {secret}"))?;
        shell.may_not(&format!("read -r line < {secret}"))?;
        shell.may_not(&format!("(setsid cat {secret})"))?;
        shell
            .may(&format!(
                "echo x > {0}/in-place/file && cat {0}/in-place/file",
                world.workspace
            ))
            .map(drop)
    };
    decides(&mut shell)?;
    ensure(
        process::cgroup_of(shell.pid)? == "/scenario-in-place",
        || "it left its cgroup".into(),
    )?;
    // Who is beside it there is nobody's.
    beside.may(&format!("cat {secret}"))?;
    let said = session(&shell.session)?;
    ensure(
        said["extent"] == "process" && said["processes"] == 1 && said["environment"] == "granted",
        || format!("saw {said}"),
    )?;
    // Moved away, it is the same.
    enter("/sys/fs/cgroup", shell.pid)?;
    decides(&mut shell)?;
    let all = members::all()?;
    let own = all.iter().find(|member| member.tid == shell.pid);
    ensure(own.is_some_and(|own| own.standing == "inside"), || {
        format!("saw {own:?}")
    })?;
    let refused = process::run(&[BAILIFF, "freeze", &shell.session])?;
    ensure(
        refused.code != 0 && refused.stderr.contains("no cgroup of its own"),
        || refused.tail(),
    )?;
    let refused = process::run(&[BAILIFF, "untag", &shell.session])?;
    ensure(refused.code != 0, || "it was set free".into())?;
    let told = events::of(&shell.session)?;
    ensure(told.iter().any(|event| event.names(&secret)), || {
        format!("expected refusals, saw {told:?}")
    })?;
    drop((shell, beside));
    remove_cgroup(&top)
}

fn last_one(_: &mut Context) -> Check {
    let Scene { launch, secret, .. } = scene("in-place-last")?;
    let marker = "/run/scenarios/in-place-last";
    let _ = fs::remove_file(marker);
    let mut shell = Shell::in_place(&launch, "exec \"$@\"")?;
    let name = shell.session.clone();
    let child = shell.may("setsid sleep 1000 >/dev/null 2>&1 & echo $!")?;
    let child = child.trim().parse::<i32>().doing("read a pid")?;
    let other = make_cgroup("scenario-in-place-last")?;
    enter(&other, child)?;
    shell.run("exit 0").err().ok_or("the shell did not end")?;
    drop(shell);
    std::thread::sleep(std::time::Duration::from_secs(2));
    let said = session(&name)?;
    ensure(said["state"] == "running" && said["processes"] == 1, || {
        format!("expected it to go on with its child, saw {said}")
    })?;
    // From outside: a label is in force there as well.
    let all = members::all()?;
    ensure(all.iter().any(|member| member.pid == child), || {
        format!("expected {child} to be of the session, saw {all:?}")
    })?;
    process::must(&["kill", "-KILL", &child.to_string()])?;
    process::eventually("the session ends", 15, || has_ended(&name))?;
    let said = session(&name)?;
    ensure(said["end_cause"] == "finished", || format!("saw {said}"))?;
    remove_cgroup(&other)?;
    // The slot is somebody else's.
    let mut next = Shell::in_place(&launch, "exec \"$@\"")?;
    next.may_not(&format!("cat {secret}")).map(drop)
}

fn stopped(_: &mut Context) -> Check {
    let Scene { launch, .. } = scene("in-place-stop")?;
    let (top, other) = (
        make_cgroup("scenario-in-place-stop")?,
        make_cgroup("scenario-in-place-stop-2")?,
    );
    let beside = Shell::unconfined(&[])?;
    enter(&top, beside.pid)?;
    let mut shell = Shell::in_place(&launch, &in_cgroup(&top))?;
    let child = shell.may("setsid sleep 1000 >/dev/null 2>&1 & echo $!")?;
    let child = child.trim().parse::<i32>().doing("read a pid")?;
    enter(&other, child)?;
    // And one that makes children as fast as it can.
    shell.may("setsid bash -c 'while :; do (:) & wait; done' >/dev/null 2>&1 &")?;
    process::must(&[BAILIFF, "stop", &shell.session])?;
    let said = session(&shell.session)?;
    ensure(
        said["state"] == "ended" && said["end_cause"] == "stopped",
        || format!("saw {said}"),
    )?;
    let left = members::all()?;
    let left = left
        .iter()
        .filter(|member| member.session.as_deref() == Some(&shell.session));
    ensure(left.count() == 0, || "processes were left".into())?;
    ensure(
        fs::exists(format!("/proc/{}/fd/0", beside.pid)).unwrap_or(false),
        || "who was beside it was killed".into(),
    )?;
    drop((shell, beside));
    remove_cgroup(&other)?;
    remove_cgroup(&top)
}

fn dead_daemon(context: &mut Context) -> Check {
    let Scene { launch, secret, .. } = scene("in-place-dead")?;
    let mut shell = Shell::in_place(&launch, "exec \"$@\"")?;
    let name = shell.session.clone();
    context.daemon()?.kill()?;
    shell.may_not(&format!("cat {secret}"))?;
    shell.may("cat /dev/null")?;
    context.daemon = Some(Daemon::start()?);
    shell.may_not(&format!("cat {secret}"))?;
    shell.may("cat /dev/null")?;
    let said = session(&name)?;
    ensure(
        said["state"] == "running" && said["extent"] == "process",
        || format!("saw {said}"),
    )?;
    drop(shell);
    process::eventually("the next daemon sees its end", 15, || has_ended(&name))
}

fn not_executed(_: &mut Context) -> Check {
    let Scene { launch, world, .. } = scene("in-place-program")?;
    let program = format!("{}/in-place-program/program", world.outside);
    fs::copy("/usr/bin/true", &program).doing("copy a program")?;
    let said = process::run(&launch.words_of("exec", &[&program]))?;
    ensure(
        said.code == 126 && said.stderr.contains("bailiff why"),
        || said.tail(),
    )?;
    let said = process::run(&launch.words_of("exec", &["true"]))?;
    ensure(said.code == 0, || said.tail())?;
    let said = process::run(&launch.words_of("exec", &["no-such-program"]))?;
    ensure(said.code == 127, || said.tail())?;
    // Sessions do not nest.
    let inside = launch.words_of("exec", &["true"]).join(" ");
    let mut shell = Shell::in_place(&launch, "exec \"$@\"")?;
    let (code, said) = shell.run(&inside)?;
    ensure(code == 125, || format!("ended with {code}: {said}"))
}

/// By the shell alone, which opens none of these.
const SHOW: &str = "for n in 3 4 5; do [ -e /proc/$$/fd/$n ] && echo $n; done; true";

fn descriptors(_: &mut Context) -> Check {
    let Scene { launch, .. } = scene("in-place-descriptors")?;
    let open = |listen: &str| -> Check<String> {
        let words = launch.words_of("exec", &["bash", "-c", SHOW]);
        let script = format!("exec 3</dev/null 4</dev/null 5</dev/null; {listen} exec \"$@\"");
        let mut all = vec!["sh".to_owned(), "-c".into(), script, "sh".into()];
        all.extend(words);
        Ok(process::must(&all)?.stdout)
    };
    let has = |said: &str, number: &str| said.split_whitespace().any(|word| word == number);
    let said = open("")?;
    ensure(!has(&said, "3") && !has(&said, "4"), || said.clone())?;
    let said = open("LISTEN_PID=$$ LISTEN_FDS=2")?;
    ensure(
        has(&said, "3") && has(&said, "4") && !has(&said, "5"),
        || said.clone(),
    )?;
    let said = open("LISTEN_PID=1 LISTEN_FDS=2")?;
    ensure(!has(&said, "3"), || said.clone())
}
