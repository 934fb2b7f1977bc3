//! A daemon that comes after another.

use agent_abi::{Right, Verdict};

use super::world::{World, operator};
use crate::api::{EndCause, Event, EventFilter, Page, SessionState, routes};

fn events(world: &World, session: &str) -> Vec<Event> {
    let filter = EventFilter {
        session: Some(session.into()),
        ..EventFilter::default()
    };
    let place = routes::EVENTS.with(&filter).unwrap();
    let page: Page<Event> = world.get(&operator(), &place).unwrap();
    page.items
}

#[test]
fn the_next_daemon_goes_on_with_what_the_kernel_holds() {
    let mut world = World::new();
    let (session, agent) = world.session();
    let key = world.work("keys/id");
    assert_eq!(world.act(agent, Right::FileRead, &key), Verdict::Deny);
    assert_eq!(events(&world, &session.name).len(), 1);

    world.kill_daemon();
    // Nobody is there, and the limits hold; what is refused waits.
    assert_eq!(world.act(agent, Right::FileWrite, &key), Verdict::Deny);
    world.start_daemon();
    let known = world.look(&session.name);
    assert_eq!(known.state, SessionState::Running);
    assert_eq!((known.number, known.refused), (session.number, 2));
    let told = events(&world, &session.name);
    let rights = told.iter().map(|event| event.right.known().unwrap());
    assert_eq!(
        rights.collect::<Vec<_>>(),
        [Right::FileRead, Right::FileWrite]
    );
    // By its grant, which was compiled again.
    assert!(told.iter().all(|event| {
        event.rule.as_ref().is_some_and(|rule| rule.id == "keys")
            && event.object == key.to_str().unwrap()
    }));

    let (later, _) = world.session();
    assert!(later.number > session.number);
    let stopped = world.post(&operator(), &routes::STOP.of(&session.name), &());
    assert_eq!(stopped.unwrap().end_cause.unwrap(), EndCause::Stopped);
    assert_eq!(world.in_force(), [later.name]);
}

#[test]
fn a_session_that_ends_while_nobody_looks_is_ended_by_the_next_daemon() {
    let mut world = World::new();
    let (session, agent) = world.session();
    // By what it did, the next daemon knows that it is no session that nobody came to yet.
    world.act(agent, Right::FileRead, &world.work("a file"));
    world.kill_daemon();
    world.cgroups.end(agent);
    world.start_daemon();
    let ended = world.until_ended(&session.name);
    assert_eq!(ended.end_cause.unwrap(), EndCause::Finished);
    assert_eq!((ended.allowed, ended.refused), (1, 0));
    assert_eq!(world.kernel.traces(), [""; 0]);
}

#[test]
fn what_the_kernel_no_longer_holds_has_vanished() {
    let mut world = World::new();
    let (session, _) = world.session();
    world.kill_daemon();
    world.replace_kernel();
    world.start_daemon();
    let ended = world.look(&session.name);
    assert_eq!(ended.end_cause.unwrap(), EndCause::Vanished);
    assert!(world.in_force().is_empty());
}
