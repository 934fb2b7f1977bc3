//! A call to the kernel side that fails while a session starts.

use std::{collections::BTreeSet, path::Path};

use agent_abi::{Right, Verdict};

use super::world::{World, operator, process};
use crate::{
    api::{EndCause, Session, StartSession, Target, Untag, routes},
    daemon::{error::RequestError, requests::peer::Peer},
};

/// What may fail with nothing lost but what the log says. Who waits for a session's end asks for its members
/// again.
const TOLERATED: &[&str] = &["label", "members", "own_terminal"];

/// Not as a request: what a caller is told of a session that has started is no part of its start.
fn start(world: &World, who: &Peer, request: &StartSession) -> Result<(), RequestError> {
    let started = world.daemon().start(request.clone(), who);
    world.runtime().block_on(started).map(drop)
}

/// Starts a session with each call failing once in turn, until one asks no more; that one is in force.
/// All calls that failed.
fn fail_each(
    world: &World,
    who: &Peer,
    request: &StartSession,
    end: impl Fn(&str),
) -> BTreeSet<&'static str> {
    let mut failed = BTreeSet::new();
    for number in 0.. {
        // So that each start gives numbers to filesystems.
        world.kernel.unmount_all();
        let before = ended(world);
        world.kernel.fail_next(Some(number));
        let started = start(world, who, request);
        let asked = world.kernel.fail_next(None);
        let Some(call) = asked.get(number).copied() else {
            started.unwrap();
            return failed;
        };
        failed.insert(call);
        let what = format!("{call} ({number})");
        let Err(failure) = started else {
            assert!(TOLERATED.contains(&call), "{what}");
            let in_force = world.in_force();
            end(&in_force[0]);
            continue;
        };
        let why = failure.to_string();
        assert!(why.contains("told to fail"), "{why}");
        assert_eq!(world.kernel.traces(), [""; 0], "{what}");
        assert!(world.in_force().is_empty(), "{what}");
        let live = world.daemon().store.live_sessions().unwrap();
        assert_eq!(live.len(), 0, "{what}");
        let causes = ended(world).split_off(before.len());
        assert!(
            causes.iter().all(|cause| *cause == EndCause::NeverStarted),
            "{what}: {causes:?}"
        );
    }
    unreachable!("a start asks so often only");
}

/// What each session ended by that has ended, oldest first.
fn ended(world: &World) -> Vec<EndCause> {
    let store = &world.daemon().store;
    let mut rows = store.ended_sessions(1000).unwrap();
    rows.sort_by_key(|row| row.number);
    let causes = rows.iter().map(|row| row.end_cause.as_ref()?.known());
    causes.map(Option::unwrap).collect()
}

fn stop(world: &World, name: &str) -> Session {
    let stopped = world.post(&operator(), &routes::STOP.of(name), &());
    stopped.unwrap()
}

#[test]
fn a_start_that_fails_leaves_nothing_behind() {
    let world = World::with_idle_daemon();
    let request = world.request(Target::New);
    // Filesystems have numbers that are looked for.
    start(&world, &operator(), &request).unwrap();
    stop(&world, &world.in_force()[0]);
    let failed = fail_each(&world, &operator(), &request, |name| {
        stop(&world, name);
    });
    // Each that has to be done for a session, and to be looked at before.
    let expected = [
        "add_net",
        "add_superblock",
        "has_superblock",
        "install",
        "last_number",
        "mark_viewed",
        "note_number",
        "reset_ledger",
        "reset_lost",
        "session_filesystems",
        "set_settling",
        "settle_labels",
        "settling",
        "tag_cgroup",
        "unseen_births",
    ];
    assert_eq!(failed, BTreeSet::from(expected));
    // The one that did not fail is there whole.
    let in_force = world.in_force();
    let [name] = in_force.as_slice() else {
        panic!("{in_force:?}");
    };
    let cgroups = std::fs::read_dir(world.host("cgroup/bailiff")).unwrap();
    assert_eq!(cgroups.count(), 1);
    // No slot was lost.
    let slots = world.daemon().live_sessions();
    assert_eq!(slots[0].row.slot, 1);
    stop(&world, name);
}

#[test]
fn a_tag_that_fails_sets_everybody_free() {
    let world = World::with_idle_daemon();
    let group = world.make_cgroup("agents");
    let agent = world.cgroups.spawn();
    world.cgroups.enter(agent, &group).unwrap();
    let request = world.request(Target::Cgroup(group.to_str().unwrap().into()));
    let key = world.work("keys/id");
    let untag = |name: &str| {
        let untag = Untag {
            session: name.into(),
        };
        let ended = world.post(&operator(), &routes::UNTAG.place(), &untag);
        ended.unwrap();
    };
    let failed = fail_each(&world, &operator(), &request, untag);
    assert!(failed.contains("settle_labels") && failed.contains("label"));
    assert_eq!(world.act(agent, Right::FileRead, &key), Verdict::Deny);
    let in_force = world.in_force();
    untag(&in_force[0]);
    assert_eq!(world.act(agent, Right::FileRead, &key), Verdict::Allow);
    assert!(Path::new(&group).exists());
}

#[test]
fn a_start_in_place_that_fails_leaves_its_process_free() {
    let world = World::with_idle_daemon();
    let (agent, key) = (world.cgroups.spawn(), world.work("keys/id"));
    let who = process(0, agent);
    let request = world.request(Target::Caller);
    let failed = fail_each(&world, &who, &request, |name| {
        let daemon = world.daemon();
        let live = daemon.sessions().find(name).unwrap();
        world.runtime().block_on(async {
            daemon.release(&live).await.unwrap();
            daemon.end(&live, EndCause::Untagged).await;
        });
    });
    assert!(failed.contains("set_label") && failed.contains("label"));
    assert!(!failed.contains("tag_cgroup"));
    // Each time it was free, or the next start had been refused. This one is in force.
    world.kernel.exec(agent);
    assert_eq!(world.act(agent, Right::FileRead, &key), Verdict::Deny);
    let in_force = world.in_force();
    assert_eq!(in_force.len(), 1);
}
