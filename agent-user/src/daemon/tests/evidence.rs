//! What is lost, and whose it was.

use agent_abi::{Right, Verdict};

use super::world::{World, operator};
use crate::api::{self, Alignment, Event, EventFilter, Page, SessionReport, routes};

fn report(world: &World, session: &str) -> SessionReport {
    let place = routes::REPORT.of(session);
    world.get(&operator(), &place).unwrap()
}

#[test]
fn what_found_no_room_is_lost_to_the_session_that_caused_it() {
    let world = World::new();
    let (flood, flooding) = world.session();
    let (quiet, steady) = world.session();
    let refuse = |pid| {
        let verdict = world.act(pid, Right::FileRead, &world.work("keys/id"));
        assert_eq!(verdict, Verdict::Deny);
    };
    world.kernel.leave_room(0);
    for _ in 0..3 {
        refuse(flooding);
    }
    world.kernel.leave_room(1 << 20);
    refuse(steady);

    let told = report(&world, &flood.name);
    assert_eq!((told.lost, told.session.refused), (3, 3));
    assert_eq!(told.alignment, Alignment::Unknown, "{}", told.because);
    let told = report(&world, &quiet.name);
    assert_eq!((told.lost, told.session.refused), (0, 1));
    assert_eq!(told.alignment, Alignment::Aligned, "{}", told.because);

    let place = routes::EVENTS.with(&EventFilter::default()).unwrap();
    let page: Page<Event> = world.get(&operator(), &place).unwrap();
    let rows = page.items.iter().map(|event| {
        let verdict = event.verdict.known().unwrap();
        (event.session.as_str(), verdict, event.count)
    });
    let mut rows = rows.collect::<Vec<_>>();
    rows.sort_by_key(|row| row.0.to_owned());
    let expected = [
        (flood.name.as_str(), api::Verdict::Lost, 3),
        (quiet.name.as_str(), api::Verdict::Deny, 1),
    ];
    assert_eq!(rows, expected);
}

#[test]
fn a_flood_that_waits_takes_no_room_from_others() {
    let mut world = World::new();
    let (flood, flooding) = world.session();
    let (quiet, steady) = world.session();
    world.kill_daemon();
    world.kernel.leave_room(4096);
    let refuse = |pid| world.act(pid, Right::FileRead, &world.work("keys/id"));
    for _ in 0..100 {
        refuse(flooding);
    }
    refuse(steady);
    world.start_daemon();
    let told = report(&world, &flood.name);
    assert!((1..100).contains(&told.lost), "{}", told.lost);
    assert_eq!(told.session.refused, 100);
    let told = report(&world, &quiet.name);
    assert_eq!((told.lost, told.unrecorded), (0, 0));
    assert_eq!(told.alignment, Alignment::Aligned, "{}", told.because);
}
