//! Who waits in front of a program until its filesystems have names.

use std::{fs, os::unix::fs::MetadataExt, time::Instant};

use agent_abi::{
    Label,
    arrival::{BY_NUMBER, BY_SEQUENCE, Viewed},
};

use super::world::{PATIENCE, World, operator};
use crate::{
    api::{Target, Untag, routes},
    process::ProcessHandle,
};

/// A process that was stopped, and has.
fn stop(pid: u32) {
    std::process::Command::new("kill")
        .args(["-STOP", &pid.to_string()])
        .status()
        .unwrap();
    until(|| is_stopped(pid));
}

fn is_stopped(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.starts_with('T')
}

fn until(holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

fn namespace(pid: u32) -> u64 {
    fs::metadata(format!("/proc/{pid}/ns/mnt")).unwrap().ino()
}

/// A cgroup that is tagged `--at-exec`, a process of it, and the session's name and label.
fn armed(world: &World) -> (u32, String, Label) {
    let group = world.make_cgroup("agents/boxes");
    let request = world.request(Target::CgroupAtExec(group.to_str().unwrap().into()));
    let agent = world.cgroups.spawn();
    world.cgroups.enter(agent, &group).unwrap();
    let started = world.post(&operator(), &routes::START.place(), &request);
    let session = started.unwrap().name;
    let handle = ProcessHandle::open(agent).unwrap();
    let label = world.kernel.label_of(handle.fd()).unwrap();
    (agent, session, label)
}

#[test]
fn who_waits_goes_on_and_nobody_else() {
    let world = World::new();
    let (agent, _, label) = armed(&world);
    let other = world.cgroups.spawn();
    for pid in [agent, other] {
        stop(pid);
        // Of the other it is said wrongly: it has no label.
        world.kernel.wait_for_names(pid, label, 7, namespace(pid));
    }
    until(|| !is_stopped(agent) && world.kernel.waiting().is_empty());
    assert!(is_stopped(other));
    let viewed = |by, id| Viewed {
        generation: label.generation,
        by,
        id,
    };
    assert!(world.kernel.has_viewed(&viewed(BY_SEQUENCE, 7)));
    let own = namespace(std::process::id());
    assert!(world.kernel.has_viewed(&viewed(BY_NUMBER, own)));
    assert!(world.kernel.is_attended());
}

#[test]
fn who_waits_goes_on_when_the_session_is_untagged() {
    let world = World::with_idle_daemon();
    let (agent, session, label) = armed(&world);
    stop(agent);
    world
        .kernel
        .wait_for_names(agent, label, 7, namespace(agent));
    let untagged = world.post(&operator(), &routes::UNTAG.place(), &Untag { session });
    assert!(untagged.is_ok());
    until(|| !is_stopped(agent));
    assert!(world.kernel.waiting().is_empty());
}

#[test]
fn a_daemon_that_ends_leaves_nobody_waiting() {
    let world = World::with_idle_daemon();
    let (agent, _, label) = armed(&world);
    stop(agent);
    world
        .kernel
        .wait_for_names(agent, label, 7, namespace(agent));
    world.runtime().block_on(world.daemon().leave_arrivals());
    until(|| !is_stopped(agent));
    assert!(world.kernel.waiting().is_empty() && !world.kernel.is_attended());
}
