//! Attached units of users: whom systemd makes up for a service, and who has a manager of his own.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use super::services::{install, says, start_daemon};
use crate::{
    harness::{
        Check, Doing,
        daemon::BAILIFF,
        ensure, members,
        process::{self, eventually, must},
    },
    scenarios::Context,
};

/// Anybody may read this, and no rule names it.
const OPEN: &str = "/srv/open/file";

const GRANT: &str = r#"
version = 1
name = "unit"
include = ["base"]

[[file]]
id = "shell"
allow = ["read", "exec"]
path = ["/usr/bin/**"]

[[file]]
id = "state"
allow = ["read", "write", "create", "list"]
path = ["/var/lib/made-up/**", "/home/agent/state/**"]
"#;

fn prepare() -> Check {
    start_daemon()?;
    fs::create_dir_all("/srv/open").doing("make a directory")?;
    fs::write(OPEN, "open to all\n").doing("write a file")?;
    fs::set_permissions(OPEN, fs::Permissions::from_mode(0o644)).doing("open it")?;
    fs::write("/etc/bailiff/grants/unit.toml", GRANT).doing("write a grant")
}

/// Writes where it may, reads what it may not, and stays. By itself: what a process of a user says that has ended
/// the journal puts down to no unit.
fn deeds(state: &str) -> String {
    format!(
        "echo x > {state}/file && echo kept it; read -r line < {OPEN} && echo open to all || echo kept out; \
         echo works; exec sleep 1000"
    )
}

pub(super) fn made_up(_: &mut Context) -> Check {
    prepare()?;
    let service = format!(
        "ExecStart=/usr/bin/bash -c '{}'\nDynamicUser=yes\nStateDirectory=made-up\nProtectHome=yes\n\
         [Unit]\nStartLimitIntervalSec=0",
        deeds("/var/lib/made-up")
    );
    install("made-up.service", &service)?;
    let starts = |times: usize, free: usize| -> Check {
        must(&["systemctl", "restart", "made-up"])?;
        for (text, times) in [
            ("works", times),
            ("kept it", times),
            ("open to all", free),
            ("kept out", times - free),
        ] {
            says("made-up", text, times)?;
        }
        Ok(())
    };
    starts(1, 1)?;
    must(&[BAILIFF, "attach", "made-up", "--grant", "unit"])?;
    starts(2, 1)?;
    starts(3, 1)?;
    // As after a reboot: nothing is in the kernel, and what was attached brings the daemon up before it starts.
    must(&["systemctl", "stop", "made-up", "bailiff"])?;
    fs::remove_dir_all("/sys/fs/bpf/bailiff").doing("take the programs out of the kernel")?;
    starts(4, 1)?;
    members::agree("after a unit started with nothing in the kernel")?;
    must(&[BAILIFF, "detach", "made-up"])?;
    starts(5, 2)?;
    must(&["systemctl", "stop", "made-up"]).map(drop)
}

/// What his manager is told.
fn his(words: &[&str]) -> Check<process::Ended> {
    let as_him = [
        "runuser",
        "--user",
        "agent",
        "--",
        "env",
        "XDG_RUNTIME_DIR=/run/user/1000",
        "systemctl",
        "--user",
    ];
    must(&[&as_him[..], words].concat())
}

fn his_journal() -> String {
    let words = [
        "journalctl",
        "_SYSTEMD_USER_UNIT=his.service",
        "--no-pager",
        "--output=cat",
    ];
    process::run(&words).map_or_else(|error| error, |ended| ended.stdout)
}

pub(super) fn managed_by_himself(_: &mut Context) -> Check {
    prepare()?;
    let units = Path::new("/home/agent/.config/systemd/user");
    let script = format!(
        "set -e; mkdir -p {} /home/agent/state; chown -R agent: /home/agent/.config /home/agent/state",
        units.display()
    );
    must(&["sh", "-c", &script])?;
    let service = format!(
        "[Service]\nExecStart=/usr/bin/bash -c '{}'\n[Unit]\nStartLimitIntervalSec=0\n",
        deeds("/home/agent/state")
    );
    fs::write(units.join("his.service"), service).doing("write a unit of his")?;
    // What `pam_systemd` would tell his manager.
    let drop_in = Path::new("/run/systemd/system/user@.service.d");
    fs::create_dir_all(drop_in).doing("make a directory")?;
    let told = "[Service]\nEnvironment=XDG_RUNTIME_DIR=/run/user/%i\n";
    fs::write(drop_in.join("runtime.conf"), told).doing("write a drop-in")?;
    must(&["systemctl", "daemon-reload"])?;
    must(&["systemctl", "start", "user@1000"])?;
    let starts = |times: usize, free: usize| -> Check {
        his(&["restart", "his"])?;
        for (text, times) in [
            ("works", times),
            ("kept it", times),
            ("open to all", free),
            ("kept out", times - free),
        ] {
            eventually(&format!("his unit says `{text}` {times} times"), 30, || {
                his_journal().matches(text).count() == times
            })
            .map_err(|error| format!("{error}: {}", his_journal()))?;
        }
        Ok(())
    };
    starts(1, 1)?;
    let pattern = "/user.slice/user-1000.slice/user@1000.service/app.slice/his.service";
    must(&[
        BAILIFF, "attach", pattern, "--grant", "unit", "--name", "his",
    ])?;
    starts(2, 1)?;
    starts(3, 1)?;
    // With the daemon gone as well.
    must(&["systemctl", "stop", "bailiff"])?;
    starts(4, 1)?;
    must(&["systemctl", "start", "bailiff"])?;
    starts(5, 1)?;
    members::agree("after a user's unit was started again and again")?;
    // His manager, and what else he starts, are as free as ever.
    let free = must(&["runuser", "--user", "agent", "--", "cat", OPEN])?;
    ensure(free.stdout.contains("open to all"), || free.tail())?;
    must(&[BAILIFF, "detach", "his"])?;
    starts(6, 2)?;
    must(&["systemctl", "stop", "user@1000"]).map(drop)
}
