//! What a daemon leaves behind when it dies, and what the next one makes of it.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use super::{
    Context, Single,
    lifecycle::{scene, tag_words},
};
use crate::harness::{
    Check, Doing,
    daemon::{BAILIFF, Daemon},
    ensure, members,
    process::{self, Background, eventually},
    session::Shell,
};

pub(crate) fn scenarios() -> Vec<Single> {
    let new = |name, run| Single::new("who", name, run).once();
    vec![
        new(
            "a daemon that dies while it tags or untags leaves what the next one completes",
            dies_in_between,
        ),
        new(
            "a session that the store does not know goes on and can be ended by a command",
            store_replaced,
        ),
    ]
}

/// When the daemon is killed, in hundredths of the time that an undisturbed tag takes: later and later, until
/// what was begun is completed.
const FIRST: u32 = 50;
const LATER: u32 = 25;
const DEATHS: u32 = 12;

fn dies_in_between(context: &mut Context) -> Check {
    let scene = scene("dies")?;
    let top = "/sys/fs/cgroup/scenario-dies";
    fs::create_dir_all(top).doing("make a cgroup")?;
    let mut shell = Shell::unconfined(&[])?;
    fs::write(format!("{top}/cgroup.procs"), shell.pid.to_string()).doing("move the shell")?;
    // Some more to be labelled.
    let mut sleepers = Vec::new();
    for _ in 0..40 {
        let sleeper = Background::victim("sleeper")?;
        fs::write(format!("{top}/cgroup.procs"), sleeper.pid().to_string()).doing("move")?;
        sleepers.push(sleeper);
    }
    let read = format!("cat {}", scene.secret);
    let began = Instant::now();
    process::must(&tag_words(&scene.launch, top))?;
    let whole = began.elapsed();
    process::must(&[BAILIFF, "untag", top])?;
    let (mut tagged, mut freed) = (0, 0);
    let mut moment = FIRST;
    for _ in 0..DEATHS {
        if tagged > 1 && freed > 1 {
            break;
        }
        let session = is_tagged(top)?;
        let words = match session {
            None => tag_words(&scene.launch, top),
            Some(_) => vec![BAILIFF.into(), "untag".into(), top.into()],
        };
        let mut command = std::process::Command::new(&words[0]);
        let command = command
            .args(&words[1..])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        let asking = Background::start(command)?;
        thread::sleep(whole * moment / 100);
        context.daemon()?.kill()?;
        drop(asking);
        context.daemon = Some(Daemon::start()?);
        members::agree(&format!(
            "after a daemon that died after {moment} % of `{}`",
            words[1]
        ))?;
        let now = is_tagged(top)?;
        moment = if now.is_some() == session.is_some() {
            moment + LATER
        } else {
            FIRST
        };
        if now.is_some() {
            tagged += 1;
            shell.may_not(&read)?;
        } else {
            freed += 1;
            members::none_in(top)?;
            shell.may(&read)?;
        }
    }
    println!("     tagged after {tagged} deaths, free after {freed}");
    ensure(tagged > 1 && freed > 1, || {
        "expected both more than once".into()
    })?;
    if is_tagged(top)?.is_some() {
        process::must(&[BAILIFF, "untag", top])?;
    }
    shell.may(&read)?;
    drop((shell, sleepers));
    thread::sleep(Duration::from_millis(300));
    fs::remove_dir(top).doing("remove the cgroup")
}

/// The session of a cgroup.
fn is_tagged(cgroup: &str) -> Check<Option<String>> {
    let listed = process::must(&[BAILIFF, "ps", "--json"])?.stdout;
    let page: serde_json::Value = serde_json::from_str(&listed).doing("read `bailiff ps`")?;
    let found = page["items"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|item| item["cgroup"] == cgroup);
    Ok(found
        .and_then(|item| item["name"].as_str())
        .map(str::to_owned))
}

fn store_replaced(context: &mut Context) -> Check {
    let scene = scene("replaced")?;
    let mut cgroups = Vec::new();
    let mut shells = Vec::new();
    for name in ["stopped", "freed"] {
        let cgroup = format!("/sys/fs/cgroup/scenario-{name}");
        fs::create_dir_all(&cgroup).doing("make a cgroup")?;
        let shell = Shell::unconfined(&[])?;
        fs::write(format!("{cgroup}/cgroup.procs"), shell.pid.to_string()).doing("move")?;
        process::must(&tag_words(&scene.launch, &cgroup))?;
        cgroups.push(cgroup);
        shells.push(shell);
    }
    // One that is elsewhere than its session's cgroup.
    let mut strayed = Shell::unconfined(&[])?;
    fs::write(
        format!("{}/cgroup.procs", cgroups[0]),
        strayed.pid.to_string(),
    )
    .doing("move")?;
    fs::write("/sys/fs/cgroup/cgroup.procs", strayed.pid.to_string()).doing("move")?;
    let read = format!("cat {}", scene.secret);
    context.daemon()?.kill()?;
    process::shell("rm -rf /var/lib/bailiff/*")?;
    context.daemon = Some(Daemon::start()?);
    for shell in shells.iter_mut().chain([&mut strayed]) {
        shell.may_not(&read)?;
        shell.may(&format!("echo x > {}/replaced/file", scene.world.workspace))?;
    }
    let [stopped, freed] = [0, 1].map(|index| is_tagged(&cgroups[index]));
    let (stopped, freed) = (stopped?, freed?);
    let stopped = stopped.ok_or("the first session is not listed")?;
    let freed = freed.ok_or("the second session is not listed")?;
    ensure(stopped.starts_with("session-"), || stopped.clone())?;
    process::must(&[BAILIFF, "untag", &freed])?;
    shells[1].may(&read)?;
    let pids = [shells[0].pid, strayed.pid];
    process::must(&[BAILIFF, "stop", &stopped])?;
    eventually("nobody of the session is left", 5, || {
        members::all().is_ok_and(|all| {
            all.iter().all(|member| {
                !pids.contains(&member.pid) && member.session.as_ref() != Some(&stopped)
            })
        })
    })?;
    let past = process::must(&[BAILIFF, "ps", "--all"])?.stdout;
    ensure(past.contains(&stopped) && past.contains(&freed), || {
        format!("expected both in the past, saw {past}")
    })?;
    // The next session is another: no number is given twice.
    let mut next = Shell::start(&scene.launch)?;
    next.may_not(&read)?;
    drop((shells, strayed));
    thread::sleep(Duration::from_millis(300));
    for cgroup in cgroups {
        fs::remove_dir(cgroup).doing("remove a cgroup")?;
    }
    Ok(())
}
