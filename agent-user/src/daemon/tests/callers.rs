//! Who may ask for what.

use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    sync::Arc,
};

use agent_abi::{Right, Verdict};

use super::world::{Answer, STRANGER, World, operator, process};
use crate::{
    api::{
        EventFilter, FailureCode, Page, Session, SessionsQuery, Status, Target, Why, WhyQuery,
        routes,
    },
    daemon::requests::{door, router::router},
};

fn code<A: std::fmt::Debug>(answer: Answer<A>) -> FailureCode {
    answer.unwrap_err().code.known().unwrap()
}

#[test]
fn who_is_no_operator_gets_no_answer_and_changes_nothing() {
    let world = World::new();
    let (session, _) = world.session();
    let stranger = process(STRANGER, std::process::id());
    let request = world.request(Target::New);
    let start = world.post(&stranger, &routes::START.place(), &request);
    assert_eq!(code(start), FailureCode::Denied);
    let stop = world.post(&stranger, &routes::STOP.of(&session.name), &());
    assert_eq!(code(stop), FailureCode::Denied);
    let status = world.get(&stranger, &routes::STATUS.place());
    assert_eq!(code(status), FailureCode::Denied);
    let why = routes::WHY.with(&WhyQuery::default()).unwrap();
    assert_eq!(code(world.get(&stranger, &why)), FailureCode::Denied);
    assert_eq!(world.in_force(), [session.name]);
}

#[test]
fn from_inside_a_session_sees_itself_and_no_other() {
    let world = World::new();
    let (own, agent) = world.session();
    let (other, neighbour) = world.session();
    let refuse = |pid| world.act(pid, Right::FileRead, &world.work("keys/id"));
    assert_eq!(refuse(agent), Verdict::Deny);
    assert_eq!(refuse(neighbour), Verdict::Deny);
    // Root's uid opens nothing to a process with a label.
    let inside = process(0, agent);

    let seen = world.get(&inside, &routes::SESSION.of(routes::OWN_SESSION));
    assert_eq!(seen.unwrap().name, own.name);
    let ask = |query: &WhyQuery, who: &_| -> Answer<Why> {
        world.get(who, &routes::WHY.with(query).unwrap())
    };
    let latest = ask(&WhyQuery::default(), &operator()).unwrap().event;
    assert_eq!(latest.session, other.name);
    let told = ask(&WhyQuery::default(), &inside).unwrap();
    assert_eq!(told.event.session, own.name);
    let by_id = |id| WhyQuery {
        event: Some(id),
        ..WhyQuery::default()
    };
    assert!(ask(&by_id(told.event.id), &inside).is_ok());
    let theirs = ask(&by_id(latest.id), &inside);
    assert_eq!(code(theirs), FailureCode::NotFound);
    // Whatever name it says.
    let named = WhyQuery {
        session: Some(other.name.clone()),
        ..WhyQuery::default()
    };
    assert_eq!(ask(&named, &inside).unwrap().event.session, own.name);

    let labelled = FailureCode::Labelled;
    let session = world.get(&inside, &routes::SESSION.of(&other.name));
    assert_eq!(code(session), labelled);
    let events = routes::EVENTS.with(&EventFilter::default()).unwrap();
    assert_eq!(code(world.get(&inside, &events)), labelled);
    let list = routes::SESSIONS.with(&SessionsQuery::default()).unwrap();
    assert_eq!(code(world.get(&inside, &list)), labelled);
    let stop = world.post(&inside, &routes::STOP.of(&other.name), &());
    assert_eq!(code(stop), labelled);
    let start = world.post(&inside, &routes::START.place(), &world.request(Target::New));
    assert_eq!(code(start), labelled);
    assert_eq!(world.in_force().len(), 2);
}

#[test]
fn a_process_that_has_ended_is_answered_nothing() {
    let world = World::new();
    let pid = world.cgroups.spawn();
    let caller = process(0, pid);
    assert!(world.get(&caller, &routes::STATUS.place()).is_ok());
    world.cgroups.end(pid);
    let status: Answer<Status> = world.get(&caller, &routes::STATUS.place());
    assert_eq!(code(status), FailureCode::Denied);
}

/// One request through the socket, by this process; the status line and the body.
fn through_the_socket(path: &std::path::Path, target: &str) -> (String, String) {
    let mut stream = UnixStream::connect(path).unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nhost: bailiff\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().into(), body.into())
}

#[test]
fn the_socket_tells_who_asks_and_a_label_outweighs_that() {
    let world = World::new();
    let (session, _) = world.session();
    let path = world.host("bailiff.sock");
    let listener = UnixListener::bind(&path).unwrap();
    {
        let _inside = world.runtime().enter();
        let daemon = Arc::clone(world.daemon());
        door::open(Arc::clone(&daemon), listener, router(daemon)).unwrap();
    }
    let list = routes::SESSIONS.with(&SessionsQuery::default()).unwrap();
    let (status, body) = through_the_socket(&path, list.path());
    if nix::unistd::geteuid().is_root() {
        assert!(status.contains("200"), "{status}");
        let page: Page<Session> = serde_json::from_str(&body).unwrap();
        assert_eq!(page.items[0].name, session.name);
    }
    // This process is in the session from here on; no test may stop that.
    let id = session.cgroup_id;
    world.kernel.enter(std::process::id(), id);
    let (status, _) = through_the_socket(&path, list.path());
    assert!(status.contains("403"), "{status}");
    let own = routes::SESSION.of(routes::OWN_SESSION);
    let (status, body) = through_the_socket(&path, own.path());
    assert!(status.contains("200"), "{status}");
    let seen: Session = serde_json::from_str(&body).unwrap();
    assert_eq!(seen.name, session.name);
}
