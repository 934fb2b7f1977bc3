//! Services under a grant: what limits and watches them goes on to do so.

use std::fs;

use crate::{
    harness::{
        Check, Doing,
        daemon::BAILIFF,
        ensure, members,
        process::{self, eventually, must},
    },
    scenarios::{
        Context,
        lifecycle::{Scene, scene, tag_words},
    },
};

/// Writes a unit and has it known.
pub(super) fn install(name: &str, service: &str) -> Check {
    let file = format!("/run/systemd/system/{name}");
    fs::create_dir_all("/run/systemd/system").doing("make a directory")?;
    fs::write(&file, format!("[Service]\n{service}\n")).doing("write a unit")?;
    must(&["systemctl", "daemon-reload"]).map(drop)
}

/// What one property of a unit is.
pub(super) fn property(unit: &str, name: &str) -> Check<String> {
    let said = must(&["systemctl", "show", unit, "--property", name, "--value"])?;
    Ok(said.stdout.trim().to_owned())
}

pub(super) fn journal(unit: &str) -> String {
    let words = ["journalctl", "--unit", unit, "--no-pager", "--output=cat"];
    process::run(&words).map_or_else(|error| error, |ended| ended.stdout)
}

pub(in crate::scenarios) fn start_daemon() -> Check {
    fs::write("/etc/systemd/system/bailiff.service", super::UNIT).doing("install the unit")?;
    must(&["systemctl", "daemon-reload"])?;
    must(&["systemctl", "start", "bailiff"]).map(drop)
}

/// What an agent does at its start, and then stays: two marks in its journal.
pub(super) fn deeds(secret: &str) -> String {
    format!("cat {secret}; cat /dev/null && echo works; sleep 1000 & exec sleep 1000")
}

pub(super) fn says(unit: &str, text: &str, times: usize) -> Check {
    eventually(&format!("{unit} says `{text}` {times} times"), 60, || {
        journal(unit).matches(text).count() == times
    })
    .map_err(|error| format!("{error}: {}", journal(unit)))
}

/// Processes that are limited, by session.
fn limited() -> Check<Vec<(String, i32)>> {
    let all = members::all()?;
    let named = all.into_iter().filter(|member| member.pid == member.tid);
    Ok(named
        .filter_map(|member| Some((member.session?, member.pid)))
        .collect())
}

pub(super) fn in_place(_: &mut Context) -> Check {
    start_daemon()?;
    let Scene { launch, secret, .. } = scene("service")?;
    let words = |command: &[&str]| launch.words_of("exec", command).join(" ");
    let script = deeds(&secret);
    let command = words(&["bash", "-c", &format!("'{script}'")]);
    install(
        "agent.service",
        &format!(
            "ExecStart={command}\nTasksMax=20\nMemoryMax=200M\nRestart=always\nRestartSec=100ms"
        ),
    )?;
    must(&["systemctl", "start", "agent"])?;
    says("agent", "Permission denied", 1)?;
    says("agent", "works", 1)?;
    let pid = property("agent", "MainPID")?;
    let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).doing("read a cgroup")?;
    ensure(cgroup.contains("/system.slice/agent.service"), || {
        format!("expected the agent in its unit's cgroup, saw {cgroup}")
    })?;
    ensure(property("agent", "TasksCurrent")? == "2", || {
        "systemd does not count its tasks".into()
    })?;
    // It crashes, and is started again: one session runs.
    must(&["kill", "-SEGV", &pid])?;
    says("agent", "Permission denied", 2)?;
    eventually("the first session has ended", 20, || {
        limited().is_ok_and(|all| {
            let first = all.first().map(|(session, _)| session.clone());
            all.len() == 2
                && all
                    .iter()
                    .all(|(session, _)| Some(session) == first.as_ref())
        })
    })
    .map_err(|error| format!("{error}: {:?}", limited()))?;
    must(&["systemctl", "stop", "agent"])?;
    let left = limited()?;
    ensure(left.is_empty(), || {
        format!("`systemctl stop` left {left:?}")
    })?;
    // What limits its tasks does. (Of memory the same holds, and the kernel's report of it would be taken for
    // a defect.)
    let many = words(&[
        "bash",
        "-c",
        "'for n in $(seq 20); do sleep 1000 & done; wait'",
    ]);
    install("many.service", &format!("ExecStart={many}\nTasksMax=5"))?;
    must(&["systemctl", "start", "many"])?;
    eventually("it has as many tasks as it may", 60, || {
        let said = journal("many");
        said.contains("Resource temporarily unavailable")
    })
    .map_err(|error| format!("{error}: {}", journal("many")))?;
    ensure(property("many", "TasksCurrent")? == "5", || journal("many"))?;
    must(&["systemctl", "stop", "many"])?;
    let left = limited()?;
    ensure(left.is_empty(), || {
        format!("`systemctl stop` left {left:?}")
    })?;
    // Without the daemon nothing of it starts, and its journal says why.
    must(&["systemctl", "stop", "bailiff"])?;
    let refused = process::run(&["systemctl", "start", "agent"])?;
    says("agent", "Permission denied", 2)?;
    eventually("its journal says why", 30, || {
        journal("agent").contains("systemctl start bailiff")
    })
    .map_err(|error| format!("{error}: {} {}", refused.tail(), journal("agent")))?;
    must(&["systemctl", "stop", "agent"]).map(drop)
}

/// Children until there can be no more, who stay.
const CHILDREN: &str = "import os, signal; [os.fork() or signal.pause() for _ in range(40)]";

pub(super) fn below(_: &mut Context) -> Check {
    start_daemon()?;
    let Scene { launch, secret, .. } = scene("run-below")?;
    let words = |command: &[&str]| launch.words_of("run", command).join(" ");
    let script = deeds(&secret);
    let command = words(&["bash", "-c", &format!("'{script}'")]);
    let unit = |service: &str| format!("Delegate=yes\nTasksMax=20\nMemoryMax=200M\n{service}");
    install(
        "runner.service",
        &unit(&format!(
            "ExecStart={command}\nRestart=always\nRestartSec=100ms"
        )),
    )?;
    must(&["systemctl", "start", "runner"])?;
    says("runner", "Permission denied", 1)?;
    says("runner", "works", 1)?;
    let all_below = |times: usize| -> Check {
        let all = limited()?;
        let cgroup = |pid| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let is_below = |(session, pid): &(String, i32)| {
            cgroup(*pid).trim() == format!("0::/system.slice/runner.service/bailiff-{session}")
        };
        ensure(all.len() == 2 && all.iter().all(is_below), || {
            format!("expected one agent below its unit at start {times}, saw {all:?}")
        })
    };
    all_below(1)?;
    // The command, its child, and `bailiff run`.
    ensure(property("runner", "TasksCurrent")? == "3", || {
        format!(
            "systemd counts {:?} tasks",
            property("runner", "TasksCurrent")
        )
    })?;
    // Restarted, and after a crash of `bailiff run` itself: one agent runs.
    must(&["systemctl", "restart", "runner"])?;
    says("runner", "works", 2)?;
    all_below(2)?;
    must(&["kill", "-KILL", &property("runner", "MainPID")?])?;
    says("runner", "works", 3)?;
    all_below(3)?;
    let sessions = limited()?;
    must(&["systemctl", "stop", "runner"])?;
    let left = limited()?;
    ensure(left.is_empty(), || {
        format!("`systemctl stop` left {left:?}")
    })?;
    eventually("its end is that of a session, and no alarm", 20, || {
        let (name, _) = &sessions[0];
        let said = process::run(&[BAILIFF, "status", name, "--json"]);
        said.is_ok_and(|said| {
            said.stdout.contains("finished") && !said.stdout.contains("cgroup-removed")
        })
    })?;
    ensure(
        !fs::exists("/sys/fs/cgroup/system.slice/runner.service").unwrap_or(true),
        || "its cgroup is left".into(),
    )?;
    let many = words(&["python3", "-c", &format!("'{CHILDREN}'")]);
    install(
        "runner.service",
        &unit(&format!("ExecStart={many}\nTasksMax=8")),
    )?;
    must(&["systemctl", "start", "runner"])?;
    says("runner", "Resource temporarily unavailable", 1)?;
    must(&["systemctl", "stop", "runner"])?;
    // Not delegated, it is where it was before.
    install("runner.service", &format!("ExecStart={command}"))?;
    must(&["systemctl", "start", "runner"])?;
    // What it says there the journal does not put down to the unit.
    eventually("its agent runs", 60, || {
        limited().is_ok_and(|all| all.len() == 2)
    })?;
    let all = limited()?;
    let cgroup = all
        .first()
        .map(|(_, pid)| fs::read_to_string(format!("/proc/{pid}/cgroup")));
    ensure(
        matches!(&cgroup, Some(Ok(text)) if text.contains("0::/bailiff/")),
        || format!("saw {cgroup:?}"),
    )?;
    must(&["systemctl", "stop", "runner"])?;
    eventually("`bailiff run` told its command to end", 20, || {
        limited().is_ok_and(|all| all.len() <= 1)
    })?;
    for (session, _) in limited()? {
        must(&[BAILIFF, "stop", &session])?;
    }
    Ok(())
}

pub(super) fn armed_slice(_: &mut Context) -> Check {
    start_daemon()?;
    let Scene { launch, secret, .. } = scene("slice")?;
    fs::create_dir_all("/run/systemd/system").doing("make a directory")?;
    fs::write("/run/systemd/system/agents.slice", "[Slice]\n").doing("write a unit")?;
    let script = deeds(&secret);
    // What an executor does for it: another user, namespaces, private directories, the journal.
    install(
        "plain.service",
        &format!(
            "Slice=agents.slice\nExecStart=/usr/bin/bash -c '{script}'\nDynamicUser=yes\nPrivateTmp=yes\n\
             ProtectSystem=strict\nStateDirectory=plain\nNoNewPrivileges=yes"
        ),
    )?;
    must(&["systemctl", "start", "plain"])?;
    says("plain", "works", 1)?;
    must(&["systemctl", "stop", "plain"])?;
    must(&["systemctl", "start", "agents.slice"])?;
    let mut words = tag_words(&launch, "/sys/fs/cgroup/agents.slice");
    words.push("--at-exec".into());
    must(&words)?;
    // As root, whom nothing else would keep from it.
    install(
        "plain.service",
        &format!(
            "Slice=agents.slice\nExecStart=/usr/bin/bash -c '{script}'\nPrivateTmp=yes\nProtectHome=yes\n\
             StateDirectory=plain\nKeyringMode=private\nLimitNOFILE=100"
        ),
    )?;
    let before = journal("plain").matches("Permission denied").count();
    for times in 1..=2 {
        must(&["systemctl", "restart", "plain"])?;
        says("plain", "works", 1 + times)?;
        says("plain", "Permission denied", before + times)?;
    }
    // With the daemon dead as well.
    must(&["systemctl", "kill", "--signal=KILL", "bailiff"])?;
    must(&["systemctl", "stop", "bailiff"])?;
    must(&["systemctl", "restart", "plain"])?;
    says("plain", "works", 4)?;
    says("plain", "Permission denied", before + 3)?;
    must(&["systemctl", "start", "bailiff"])?;
    members::agree("after a service was started again")?;
    // What the grant does not let be executed does not start, and systemd says so.
    let program = "/srv/outside/slice/program";
    fs::copy("/usr/bin/true", program).doing("copy a program")?;
    install(
        "program.service",
        &format!("Slice=agents.slice\nExecStart={program}"),
    )?;
    must(&["systemctl", "start", "program"])?;
    eventually("it is not executed", 30, || {
        property("program", "ExecMainStatus").is_ok_and(|status| status == "203")
    })
    .map_err(|error| format!("{error}: {}", journal("program")))?;
    must(&["systemctl", "stop", "plain", "agents.slice"])?;
    must(&[BAILIFF, "status"]).map(drop)
}

pub(super) fn private(_: &mut Context) -> Check {
    start_daemon()?;
    let Scene { launch, secret, .. } = scene("private")?;
    fs::create_dir_all("/run/systemd/system").doing("make a directory")?;
    fs::create_dir_all("/w/scratch").doing("make a directory")?;
    fs::write("/run/systemd/system/agents.slice", "[Slice]\n").doing("write a unit")?;
    // In the directories that the unit makes anew, of which the grant has one.
    let script = format!(
        "echo x > /w/scratch/file && cat /w/scratch/file >/dev/null && echo own; echo x > /dev/null && echo null; \
         ls /home && echo home; echo x > /scratch/file && echo scratch; cat {secret} && echo secret; \
         echo works; exec sleep 1000"
    );
    install(
        "private.service",
        &format!(
            "Slice=agents.slice\nExecStart=/usr/bin/bash -c '{script}'\nPrivateDevices=yes\nPrivateTmp=yes\n\
             ProtectHome=tmpfs\nTemporaryFileSystem=/scratch /w/scratch"
        ),
    )?;
    must(&["systemctl", "start", "agents.slice"])?;
    let starts = |own: usize, others: usize, works: usize| -> Check {
        must(&["systemctl", "restart", "private"])?;
        says("private", "works", works)?;
        for (word, times) in [
            ("own", own),
            ("null", own),
            ("home", others),
            ("scratch", others),
            ("secret", others),
        ] {
            let said = journal("private");
            let seen = said.lines().filter(|line| *line == word).count();
            ensure(seen == times, || {
                format!("expected `{word}` {times} times, saw {seen}: {said}")
            })?;
        }
        Ok(())
    };
    // In no session.
    starts(1, 1, 1)?;
    let mut words = tag_words(&launch, "/sys/fs/cgroup/agents.slice");
    words.push("--at-exec".into());
    must(&words)?;
    starts(2, 1, 2)?;
    // A service that is started anew has other filesystems at the same places.
    starts(3, 1, 3)?;
    // Once the daemon has ended nobody waits for it; once it is back, all is as before.
    must(&["systemctl", "stop", "bailiff"])?;
    must(&["systemctl", "restart", "private"])?;
    says("private", "works", 4)?;
    must(&["systemctl", "start", "bailiff"])?;
    starts(4, 1, 5)?;
    must(&["systemctl", "stop", "private", "agents.slice"])?;
    must(&[BAILIFF, "status"]).map(drop)
}

/// What a service had systemd keep for it is no executor, whatever it is called.
pub(super) fn stored_name(_: &mut Context) -> Check {
    start_daemon()?;
    let Scene {
        world,
        launch,
        secret,
    } = scene("stored")?;
    let directory = format!("{}/stored", world.workspace);
    let (program, named) = (
        format!("{directory}/program"),
        format!("{directory}/systemd-executor"),
    );
    fs::copy("/usr/bin/bash", &program).doing("copy a shell")?;
    fs::hard_link(&program, &named).doing("link it")?;
    install(
        "stored.service",
        &format!(
            "Type=notify\nNotifyAccess=all\nFileDescriptorStoreMax=4\nExecStart=/usr/bin/bash -c \
             'exec 3<{named}; systemd-notify --fd=3 --fdname=x; systemd-notify --ready; exec sleep 1000'"
        ),
    )?;
    must(&["systemctl", "start", "stored"])?;
    let kept = || property("stored", "NFileDescriptorStore");
    ensure(kept()? == "1", || {
        format!("systemd keeps {:?}: {}", kept(), journal("stored"))
    })?;
    must(&["systemctl", "restart", "bailiff"])?;
    fs::write("/run/systemd/system/agents.slice", "[Slice]\n").doing("write a unit")?;
    install(
        "named.service",
        &format!(
            "Slice=agents.slice\nExecStart={program} -c 'read -r line < {secret} && echo read it; echo works; \
             sleep 1000'"
        ),
    )?;
    must(&["systemctl", "start", "agents.slice"])?;
    let mut words = tag_words(&launch, "/sys/fs/cgroup/agents.slice");
    words.push("--at-exec".into());
    must(&words)?;
    must(&["systemctl", "start", "named"])?;
    says("named", "works", 1)?;
    says("named", "Permission denied", 1)?;
    says("named", "read it", 0)?;
    must(&["systemctl", "stop", "named", "stored", "agents.slice"])?;
    must(&[BAILIFF, "status"]).map(drop)
}
