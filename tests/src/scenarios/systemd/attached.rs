//! Attached units, as systemd starts them.

use std::fs;

use super::services::{deeds, install, journal, property, says, start_daemon};
use crate::{
    harness::{
        Check, Doing,
        daemon::BAILIFF,
        ensure, members,
        process::{self, eventually, must},
        session::Launch,
    },
    scenarios::{
        Context,
        lifecycle::{Scene, scene},
    },
};

fn attach(launch: &Launch, unit: &str) -> Check<process::Ended> {
    let words = [BAILIFF, "attach", unit, "--grant", &launch.grant];
    let mut words = words.map(str::to_owned).to_vec();
    for (name, value) in &launch.sets {
        words.extend(["--set".into(), format!("{name}={value}")]);
    }
    must(&words)
}

/// Has the daemon fail to start, or start again.
fn spoil_daemon(spoil: bool) -> Check {
    let directory = "/run/systemd/system/bailiff.service.d";
    if spoil {
        fs::create_dir_all(directory).doing("make a directory")?;
        let text = "[Service]\nExecStart=\nExecStart=/usr/bin/false\nRestart=no\n";
        fs::write(format!("{directory}/spoil.conf"), text).doing("write a drop-in")?;
    } else {
        fs::remove_dir_all(directory).doing("remove a drop-in")?;
    }
    must(&["systemctl", "daemon-reload"]).map(drop)
}

pub(super) fn unit(_: &mut Context) -> Check {
    start_daemon()?;
    let Scene { launch, secret, .. } = scene("attached-unit")?;
    let script = deeds(&secret);
    install(
        "attached.service",
        &format!(
            "ExecStart=/usr/bin/bash -c '{script}'\nRestart=always\nRestartSec=100ms\nPrivateTmp=yes\n\
             KeyringMode=private\nWorkingDirectory=/srv\n[Unit]\nStartLimitIntervalSec=0"
        ),
    )?;
    let said = attach(&launch, "attached")?;
    ensure(
        said.stdout.contains("Requires=bailiff-held@%n.service")
            && said.stdout.contains("cwd=/srv"),
        || format!("expected what was written, saw {}", said.tail()),
    )?;
    let starts_limited = |times: usize| -> Check {
        says("attached", "works", times)?;
        says("attached", "Permission denied", times)
    };
    must(&["systemctl", "start", "attached"])?;
    starts_limited(1)?;
    must(&["systemctl", "restart", "attached"])?;
    starts_limited(2)?;
    // It crashes.
    must(&["kill", "-SEGV", &property("attached", "MainPID")?])?;
    starts_limited(3)?;
    // With no daemon, and none to be had.
    spoil_daemon(true)?;
    must(&["systemctl", "kill", "--signal=KILL", "bailiff"])?;
    must(&["systemctl", "stop", "bailiff"])?;
    must(&["systemctl", "restart", "attached"])?;
    starts_limited(4)?;
    must(&["kill", "-SEGV", &property("attached", "MainPID")?])?;
    starts_limited(5)?;
    spoil_daemon(false)?;
    must(&["systemctl", "reset-failed", "bailiff"])?;
    must(&["systemctl", "start", "bailiff"])?;
    must(&["systemctl", "restart", "attached"])?;
    starts_limited(6)?;
    members::agree("after a unit was started again and again")?;
    // Each instance of a template.
    install(
        "job@.service",
        &format!("ExecStart=/usr/bin/bash -c '{script}'"),
    )?;
    attach(&launch, "job@.service")?;
    must(&["systemctl", "start", "job@1", "job@2"])?;
    for unit in ["job@1", "job@2"] {
        says(unit, "works", 1)?;
        says(unit, "Permission denied", 1)?;
    }
    must(&["systemctl", "stop", "job@1", "job@2"])?;
    must(&[BAILIFF, "detach", "job@.service"])?;
    // What holds the daemon is not attached, and what runs there goes on.
    let refused = process::run(&[BAILIFF, "attach", "/system.slice/*", "--grant", "base"])?;
    ensure(
        refused.code != 0 && refused.stderr.contains("the daemon itself"),
        || format!("the daemon was attached: {}", refused.tail()),
    )?;
    let refused = process::run(&[BAILIFF, "attach", "init.scope", "--grant", "base"])?;
    ensure(
        refused.code != 0 && refused.stderr.contains("init itself"),
        || format!("process 1 was attached: {}", refused.tail()),
    )?;
    // By another name it is the same unit.
    let alias = "/run/systemd/system/nick.service";
    std::os::unix::fs::symlink("attached.service", alias).doing("make an alias")?;
    must(&["systemctl", "daemon-reload"])?;
    let said = attach(&launch, "nick")?;
    ensure(said.stdout.contains("attached.service comes under"), || {
        said.tail()
    })?;
    fs::remove_file(alias).doing("remove an alias")?;
    must(&["systemctl", "daemon-reload"])?;
    // Somebody removes the file alone: the unit does not start, and its journal says why.
    must(&["systemctl", "stop", "attached"])?;
    let file = "/etc/bailiff/attach.d/attached.service.toml";
    must(&[BAILIFF, "grant", "check", file])?;
    fs::remove_file(file).doing("remove the attachment")?;
    must(&[BAILIFF, "attachments", "--reload"])?;
    let failed = process::run(&["systemctl", "start", "attached"])?;
    ensure(failed.code != 0, || {
        format!(
            "a unit started that is under no grant: {}",
            journal("attached")
        )
    })?;
    eventually("its journal says why", 30, || {
        journal("attached").contains("it is under no grant")
    })
    .map_err(|error| format!("{error}: {}", journal("attached")))?;
    starts_limited(6)?;
    // Detached it is as free as any.
    must(&[BAILIFF, "detach", "attached"])?;
    must(&["systemctl", "start", "attached"])?;
    says("attached", "works", 7)?;
    says("attached", "Permission denied", 6)?;
    must(&["systemctl", "stop", "attached"]).map(drop)
}

/// A library that reads the secret and says so.
const INTRUDER: &str = r#"
#include <fcntl.h>
#include <unistd.h>
__attribute__((constructor)) static void intrude(void) {
    char text[100];
    int secret = open(SECRET, O_RDONLY);
    if (secret >= 0 && read(secret, text, 100) > 0) write(2, "read it\n", 8);
    else write(2, "kept out\n", 9);
    _exit(0);
}
"#;

/// The session chooses what its unit starts next, and with which environment.
pub(super) fn linked_program(_: &mut Context) -> Check {
    start_daemon()?;
    let Scene {
        launch,
        secret,
        world,
    } = scene("linked")?;
    let directory = format!("{}/linked", world.workspace);
    let (program, settings) = (
        format!("{directory}/start"),
        format!("{directory}/settings"),
    );
    let source = "/run/scenarios/intruder.c";
    fs::create_dir_all("/run/scenarios").doing("make a directory")?;
    fs::write(source, INTRUDER.replace("SECRET", &format!("\"{secret}\"")))
        .doing("write a library")?;
    let library = format!("{directory}/intruder.so");
    must(&["gcc", "-shared", "-fPIC", "-o", &library, source])?;
    let script = format!("{directory}/script");
    fs::write(
        &script,
        format!(
            "ln -sf /usr/lib/systemd/systemd-executor {program} && echo LD_PRELOAD={library} > {settings} && \
             echo linked; exec sleep 1000\n"
        ),
    )
    .doing("write a script")?;
    fs::copy("/usr/bin/bash", &program).doing("copy a shell")?;
    install(
        "linked.service",
        &format!("ExecStart={program} {script}\nEnvironmentFile=-{settings}"),
    )?;
    attach(&launch, "linked")?;
    must(&["systemctl", "start", "linked"])?;
    says("linked", "linked", 1)?;
    // It may not be executed, or may and is limited: nothing of it reads the secret.
    let _ = process::run(&["systemctl", "restart", "linked"])?;
    eventually("it was started again", 30, || {
        property("linked", "ActiveState").is_ok_and(|state| state != "active")
    })
    .map_err(|error| format!("{error}: {}", journal("linked")))?;
    says("linked", "read it", 0)?;
    // The library does what it says where nobody keeps it from it.
    let free = process::run(&["env", &format!("LD_PRELOAD={library}"), "/usr/bin/true"])?;
    ensure(free.stderr.contains("read it"), || free.tail())?;
    must(&[BAILIFF, "detach", "linked"])?;
    must(&["systemctl", "stop", "linked"]).map(drop)
}
