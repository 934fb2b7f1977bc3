//! Where the cgroup of `bailiff run` is: below its caller's where that is delegated.

use std::{fs, path::Path};

use super::{
    Context, Single,
    lifecycle::{Scene, scene},
    who::{make_cgroup, remove_cgroup},
};
use crate::harness::{
    Check, Doing,
    daemon::{BAILIFF, Daemon},
    ensure,
    matrix::everything_grant,
    members,
    process::{self, eventually, shell},
    session::{Launch, Shell},
};

pub(crate) fn scenarios() -> Vec<Single> {
    let new = |name, run| Single::new("below", name, run);
    vec![
        new(
            "a session below its caller's delegated cgroup has its limits, and ends with it",
            limited,
        ),
        new(
            "a session goes on below its caller's cgroup under the next daemon, without the store as well",
            next_daemon,
        ),
        new(
            "who owns the caller's cgroup moves a session and frees nobody",
            moved_by_owner,
        ),
        new(
            "where the caller's cgroup is not delegated, or nobody could enter one below it, nothing is made there",
            elsewhere,
        ),
    ]
}

/// A cgroup, and what a service manager marks as left to others.
fn delegated(name: &str, mark: &str) -> Check<String> {
    let top = make_cgroup(name)?;
    shell(&format!(
        "python3 -c 'import os; os.setxattr(\"{top}\", \"{mark}\", b\"1\")'"
    ))?;
    Ok(top)
}

/// The launch, of who is in this cgroup and then does this.
fn from(launch: &Launch, cgroup: &str, then: &str) -> Launch {
    let script = format!("echo $$ > {cgroup}/cgroup.procs; {then} exec \"$@\"");
    let before = ["sh", "-c", &script, "sh"].map(str::to_owned);
    Launch {
        before: before.into(),
        ..launch.clone()
    }
}

fn status(session: &str) -> Check<serde_json::Value> {
    let said = process::must(&[BAILIFF, "status", session, "--json"])?;
    serde_json::from_str(&said.stdout).doing("read a status")
}

/// The cgroup of a session, which the kernel and the daemon have to agree on.
fn place(shell: &Shell) -> Check<String> {
    let place = format!("/sys/fs/cgroup{}", process::cgroup_of(shell.pid)?);
    let said = status(&shell.session)?;
    ensure(said["cgroup"] == place.as_str(), || {
        format!("it is in {place}, and the daemon says {said}")
    })?;
    Ok(place)
}

fn is_at(shell: &Shell, expected: &str) -> Check {
    let place = place(shell)?;
    ensure(place == expected, || {
        format!("expected the session in {expected}, saw {place}")
    })
}

/// It ended by itself, nobody is left of it, and its cgroup is gone.
fn has_finished(session: &str, cgroup: &str) -> Check {
    let mut seen = String::new();
    eventually("the session has ended", 20, || {
        let said = status(session).unwrap_or_default();
        seen = said.to_string();
        said["state"] == "ended" && said["end_cause"] == "finished" && !Path::new(cgroup).exists()
    })
    .map_err(|error| format!("{error}: {seen}"))?;
    let left = members::all()?;
    let left = left
        .into_iter()
        .filter(|member| member.session.as_deref() == Some(session));
    let left = left.collect::<Vec<_>>();
    ensure(left.is_empty(), || format!("left of it: {left:?}"))
}

/// Children until there can be no more, who stay; says why no more.
const CHILDREN: &str =
    "python3 -c 'import os, signal; [os.fork() or signal.pause() for _ in range(40)]'";

fn limited(_: &mut Context) -> Check {
    let Scene {
        launch,
        secret,
        world,
    } = scene("below")?;
    let top = delegated("scenario-below", "trusted.delegate")?;
    shell("echo +pids > /sys/fs/cgroup/cgroup.subtree_control")?;
    fs::write(format!("{top}/pids.max"), "12").doing("set a limit")?;
    let mut session = Shell::start(&from(&launch, &top, ""))?;
    let own = format!("{top}/bailiff-{}", session.session);
    is_at(&session, &own)?;
    session.may_not(&format!("cat {secret}"))?;
    session.may(&format!("echo x > {}/below/file", world.workspace))?;
    // As for any other session of `bailiff run`.
    let name = session.session.clone();
    process::must(&[BAILIFF, "freeze", &name])?;
    let frozen = fs::read_to_string(format!("{own}/cgroup.freeze")).doing("read a file")?;
    ensure(frozen.trim() == "1", || "it is not frozen".into())?;
    process::must(&[BAILIFF, "freeze", "--thaw", &name])?;
    let (code, said) = session.run(CHILDREN)?;
    ensure(
        code != 0 && said.contains("Resource temporarily unavailable"),
        || format!("expected no more processes than its caller may have, saw {code}: {said}"),
    )?;
    let counted = fs::read_to_string(format!("{top}/pids.current")).doing("read a file")?;
    // All but the one that could make no more.
    ensure(counted.trim().parse() == Ok(11), || {
        format!("the caller's cgroup counts {counted}")
    })?;
    // What ends the caller's cgroup ends all of it.
    fs::write(format!("{top}/cgroup.kill"), "1").doing("kill the caller's cgroup")?;
    has_finished(&name, &own)?;
    drop(session);
    remove_cgroup(&top)?;
    built_in(&world)
}

/// Of a cgroup's files a session gets no more there than elsewhere, whatever its grant says.
fn built_in(world: &crate::harness::world::World) -> Check {
    let top = delegated("scenario-below-files", "user.delegate")?;
    let launch = world.launch("below-everything", &everything_grant())?;
    let mut session = Shell::start(&from(&launch, &top, ""))?;
    let own = format!("{top}/bailiff-{}", session.session);
    is_at(&session, &own)?;
    session.may(&format!("cat {own}/cgroup.procs"))?;
    session.may_not(&format!("echo $$ > {top}/cgroup.procs"))?;
    session.may_not(&format!("echo $$ > {own}/cgroup.procs"))?;
    session.may_not(&format!("echo 1 > {own}/cgroup.freeze"))?;
    session.may_not(&format!("mkdir {own}/child"))?;
    session.may_not(&format!("rmdir {own}"))?;
    let name = session.session.clone();
    drop(session);
    // It could write every file, so until its end it is known nothing that is written meanwhile is believed.
    eventually("the session has ended", 30, || {
        status(&name).is_ok_and(|said| !said["ended"].is_null())
    })?;
    remove_cgroup(&top)
}

fn next_daemon(context: &mut Context) -> Check {
    let Scene {
        launch,
        secret,
        world,
    } = scene("below-daemon")?;
    let top = delegated("scenario-below-daemon", "trusted.delegate")?;
    let start = from(&launch, &top, "");
    let read = format!("cat {secret}");
    context.daemon()?;
    let (mut first, second) = (Shell::start(&start)?, Shell::start(&start)?);
    let [one, two] = [&first, &second].map(|shell| format!("{top}/bailiff-{}", shell.session));
    is_at(&first, &one)?;
    is_at(&second, &two)?;
    // A service that is stopped while no daemon runs: its manager ends and removes all of it.
    let ended = second.session.clone();
    context.daemon()?.kill()?;
    fs::write(format!("{two}/cgroup.kill"), "1").doing("kill a session")?;
    remove_cgroup(&two)?;
    drop(second);
    first.may_not(&read)?;
    context.daemon = Some(Daemon::start()?);
    has_finished(&ended, &two)?;
    is_at(&first, &one)?;
    first.may_not(&read)?;
    // Known by the kernel alone it is still one that was started, and no tagged one.
    context.daemon()?.kill()?;
    shell("rm -rf /var/lib/bailiff/*")?;
    context.daemon = Some(Daemon::start()?);
    first.may(&format!("echo x > {}/below-daemon/file", world.workspace))?;
    first.may_not(&read)?;
    let number = first.session.rsplit('-').next().unwrap_or_default();
    let name = format!("session-{number}");
    let said = status(&name)?;
    ensure(
        said["extent"] == "own-cgroup" && said["cgroup"] == one.as_str(),
        || format!("saw {said}"),
    )?;
    let refused = process::run(&[BAILIFF, "untag", &name])?;
    ensure(refused.code != 0, || "it was set free".into())?;
    first.run("exit 0").err().ok_or("the shell did not end")?;
    has_finished(&name, &one)?;
    remove_cgroup(&top)
}

pub(super) const GROUP: &str = "bailiff:x:900:";

fn moved_by_owner(context: &mut Context) -> Check {
    context.daemon()?;
    let groups = fs::read_to_string("/etc/group").doing("read the groups")?;
    fs::write("/etc/group", format!("{groups}{GROUP}\n")).doing("write the groups")?;
    let checked = moves();
    fs::write("/etc/group", groups).doing("write the groups")?;
    checked
}

fn moves() -> Check {
    let Scene { launch, world, .. } = scene("below-owner")?;
    let file = format!("{}/below-owner/file", world.workspace);
    fs::write(&file, "x\n").doing("write a file")?;
    let top = make_cgroup("scenario-below-owner")?;
    shell(&format!("chown 1000 {top} {top}/cgroup.procs"))?;
    let user = "setpriv --reuid=1000 --regid=1000 --groups=900";
    let mut session = Shell::start(&from(&launch, &top, &format!("exec {user} \"$@\";")))?;
    let (name, own) = (
        session.session.clone(),
        format!("{top}/bailiff-{}", session.session),
    );
    is_at(&session, &own)?;
    session.may(&format!("read -r line < {file}"))?;
    // The session's cgroup is the daemon's: others are not brought in.
    let brought = process::run(&[
        "sh",
        "-c",
        &format!("{user} sh -c 'echo $$ > {own}/cgroup.procs'"),
    ])?;
    ensure(brought.code != 0, || {
        "its owner brought a process in".into()
    })?;
    let steps = format!(
        "mkdir {top}/other && echo {} > {top}/other/cgroup.procs; rmdir {own} || test ! -e {own}",
        session.pid
    );
    let words = user
        .split(' ')
        .chain(["sh", "-ec", &steps])
        .collect::<Vec<_>>();
    process::must(&words)?;
    eventually("the session has ended", 20, || {
        status(&name).is_ok_and(|said| said["state"] == "ended")
    })?;
    session.may_not(&format!("read -r line < {file}"))?;
    session.may_not(&format!("kill -0 {}", std::process::id()))?;
    process::must(&[BAILIFF, "stop", &name])?;
    eventually("nobody of it is left", 10, || {
        members::all().is_ok_and(|all| all.iter().all(|member| member.tid != session.pid))
    })?;
    drop(session);
    remove_cgroup(&format!("{top}/other"))?;
    remove_cgroup(&top)
}

fn elsewhere(_: &mut Context) -> Check {
    let Scene { launch, secret, .. } = scene("below-not")?;
    let not_below = |top: &str, then: &str| -> Check {
        let mut session = Shell::start(&from(&launch, top, then))?;
        is_at(
            &session,
            &format!("/sys/fs/cgroup/bailiff/{}", session.session),
        )
        .map_err(|error| format!("from {top}: {error}"))?;
        session.may_not(&format!("cat {secret}"))?;
        let below = fs::read_dir(top).doing("list a cgroup")?.flatten();
        let mut below = below.filter(|entry| entry.path().is_dir());
        let made = below.find(|entry| entry.file_name().to_string_lossy().contains("bailiff-"));
        ensure(made.is_none(), || format!("in {top} is {made:?}"))
    };
    not_below("/sys/fs/cgroup", "")?;
    let top = make_cgroup("scenario-below-plain")?;
    not_below(&top, "")?;
    remove_cgroup(&top)?;
    // Root in what belongs to a user, who could move and end what is made there.
    let top = delegated("scenario-below-users", "trusted.delegate")?;
    shell(&format!("chown 1000 {top}"))?;
    not_below(&top, "")?;
    remove_cgroup(&top)?;
    // With controllers for what is below beside processes, no process can enter one that is made below.
    let top = delegated("scenario-below-shut", "trusted.delegate")?;
    shell("echo +pids > /sys/fs/cgroup/cgroup.subtree_control")?;
    not_below(&top, &format!("echo +pids > {top}/cgroup.subtree_control;"))?;
    remove_cgroup(&top)?;
    // Below what is marked: the twin.
    let top = delegated("scenario-below-marked", "user.delegate")?;
    let inner = make_cgroup("scenario-below-marked/inner/most")?;
    let session = Shell::start(&from(&launch, &inner, ""))?;
    is_at(&session, &format!("{inner}/bailiff-{}", session.session))?;
    drop(session);
    remove_cgroup(&inner)?;
    remove_cgroup(&format!("{top}/inner"))?;
    remove_cgroup(&top)
}
