//! Where systemd is process 1, as on the machines that people have.

mod attached;
mod binds;
mod services;
mod users;

pub(super) use services::start_daemon;

use std::fs;

use super::{
    Context, Single,
    lifecycle::{Scene, scene},
};
use crate::harness::{
    Check, Doing,
    daemon::BAILIFF,
    ensure,
    process::{self, must},
    session::Shell,
};

/// Whether it is.
pub(crate) fn is_process_one() -> bool {
    fs::read_to_string("/proc/1/comm").is_ok_and(|name| name.trim() == "systemd")
}

pub(crate) fn scenarios() -> Vec<Single> {
    let new = |name, run| Single::new("systemd", name, run).alone();
    // What systemd and the daemon make of it, which does not differ by kernel.
    let once = |name, run| new(name, run).once();
    vec![
        new(
            "the shipped unit starts the daemon, tries its refusals, and restarts beside a session",
            shipped_unit,
        ),
        new(
            "a service that becomes its command by `bailiff exec` keeps its limits and its manager",
            services::in_place,
        ),
        once(
            "a delegated service's `bailiff run` has the unit's limits, and stops and restarts with it",
            services::below,
        ),
        new(
            "services of a slice that is tagged `--at-exec` are set up as ever and limited from their program on",
            services::armed_slice,
        ),
        new(
            "a service of such a slice has private directories and devices, and is limited in them",
            services::private,
        ),
        new(
            "an attached unit is limited at every start, with and without a daemon, or does not start",
            attached::unit,
        ),
        once(
            "a link that a session made where a mount of its unit begins is not followed at the next start",
            binds::linked,
        ),
        once(
            "a unit's program that its session made a link to the executor is limited",
            attached::linked_program,
        ),
        once(
            "a unit for whom systemd makes up a user is limited at each start, and with nothing in the kernel before",
            users::made_up,
        ),
        once(
            "a unit of a user's own manager is limited at each start, by a pattern",
            users::managed_by_himself,
        ),
        once(
            "what systemd keeps for a service is no executor, whatever it is called",
            services::stored_name,
        ),
    ]
}

const UNIT: &str = include_str!("../../../agent-user/packaging/bailiff.service");

fn shipped_unit(_: &mut Context) -> Check {
    fs::create_dir_all("/run/scenarios").doing("make a directory")?;
    let file = "/etc/systemd/system/bailiff.service";
    fs::write(file, UNIT).doing("install the unit")?;
    let verified = must(&["systemd-analyze", "verify", file])?;
    ensure(verified.stderr.trim().is_empty(), || verified.tail())?;
    must(&["systemctl", "daemon-reload"])?;
    let started = process::run(&["systemctl", "start", "bailiff"])?;
    let journal = || {
        process::run(&["journalctl", "--unit=bailiff", "--no-pager", "--output=cat"])
            .map_or_else(|error| error.to_string(), |ended| ended.stdout)
    };
    ensure(started.code == 0, || {
        format!("it did not start: {}; {}", started.tail(), journal())
    })?;
    let said = journal();
    let tried = said.split("self-test: ").nth(1).unwrap_or_default();
    let numbers = tried.split(' ').filter_map(|word| word.parse::<u32>().ok());
    let numbers = numbers.take(2).collect::<Vec<_>>();
    ensure(matches!(numbers[..], [good, all] if good == all), || {
        format!(
            "what the unit keeps from the daemon, the self-test cannot try: {}",
            journal()
        )
    })?;
    must(&[BAILIFF, "doctor", "--self-test"])?;
    let Scene {
        launch,
        secret,
        world,
    } = scene("unit")?;
    let mut shell = Shell::start(&launch)?;
    let decides = |shell: &mut Shell| -> Check {
        shell.may_not(&format!("cat {secret}"))?;
        shell
            .may(&format!("echo x > {}/unit/file", world.workspace))
            .map(drop)
    };
    decides(&mut shell)?;
    must(&["systemctl", "restart", "bailiff"])?;
    decides(&mut shell)?;
    must(&[BAILIFF, "status"])?;
    must(&["systemctl", "stop", "bailiff"])?;
    // The kernel goes on by itself.
    decides(&mut shell)?;
    must(&["systemctl", "start", "bailiff"]).map(drop)
}
