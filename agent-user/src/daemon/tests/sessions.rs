//! A session from its start to its report.

use agent_abi::{Right, Verdict};

use super::world::{World, operator, process};
use crate::api::{
    self, Alignment, EndCause, Enrol, Event, EventFilter, Extent, FailureCode, Page, SessionReport,
    SessionState, Target, Untag, Why, WhyQuery, routes,
};

/// What is stored of a session.
fn events(world: &World, session: &str) -> Vec<Event> {
    let filter = EventFilter {
        session: Some(session.into()),
        ..EventFilter::default()
    };
    let place = routes::EVENTS.with(&filter).unwrap();
    let page: Page<Event> = world.get(&operator(), &place).unwrap();
    page.items
}

fn why(world: &World, session: &str) -> Why {
    let query = WhyQuery {
        session: Some(session.into()),
        ..WhyQuery::default()
    };
    let place = routes::WHY.with(&query).unwrap();
    world.get(&operator(), &place).unwrap()
}

fn report(world: &World, session: &str) -> SessionReport {
    let place = routes::REPORT.of(session);
    world.get(&operator(), &place).unwrap()
}

#[test]
fn what_a_grant_allows_is_counted_and_what_it_refuses_is_told() {
    let world = World::new();
    let (session, agent) = world.session();
    assert_eq!(session.state, SessionState::Running);
    let open = |path| world.act(agent, Right::FileRead, &world.work(path));
    assert_eq!(open("a file"), Verdict::Allow);
    assert_eq!(open("keys/id"), Verdict::Deny);
    let outside = world.host("a file");
    assert_eq!(world.act(agent, Right::FileWrite, &outside), Verdict::Deny);
    let store = world.host("state/bailiff.db");
    assert_eq!(world.act(agent, Right::FileRead, &store), Verdict::Deny);

    let name = session.name.as_str();
    let told = events(&world, name);
    let told = told.iter().map(|event| {
        assert_eq!(event.verdict, api::Verdict::Deny);
        assert_eq!(event.process.pid, agent);
        let rule = event.rule.as_ref().map_or("-", |rule| rule.id.as_str());
        (event.right.known().unwrap(), event.object.as_str(), rule)
    });
    let key = world.work("keys/id");
    let expected = [
        (Right::FileRead, key.to_str().unwrap(), "keys"),
        (Right::FileWrite, outside.to_str().unwrap(), "-"),
        (Right::FileRead, store.to_str().unwrap(), "bailiff:state"),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);

    let why = why(&world, name);
    assert_eq!(why.event.object, store.to_str().unwrap());
    let report = report(&world, name);
    let used = report.rules.iter().filter_map(|count| {
        let rule = count.rule.as_ref().map_or("-", |rule| rule.id.as_str());
        let counts = (count.allowed, count.refused);
        (counts != (0, 0)).then_some((rule, counts))
    });
    let expected = [
        ("work", (1, 0)),
        ("keys", (0, 1)),
        ("bailiff:state", (0, 1)),
        ("-", (0, 1)),
    ];
    assert_eq!(used.collect::<Vec<_>>(), expected);
    assert_eq!(report.alignment, Alignment::Aligned, "{}", report.because);
    assert_eq!((report.lost, report.unrecorded), (0, 0));
}

#[test]
fn what_nobody_granted_is_refused_to_nobody_else() {
    let world = World::new();
    let (session, _) = world.session();
    let free = world.cgroups.spawn();
    let key = world.work("keys/id");
    assert_eq!(world.act(free, Right::FileRead, &key), Verdict::Allow);
    assert!(events(&world, &session.name).is_empty());
}

#[test]
fn a_stop_ends_every_process_and_leaves_nothing_in_the_kernel() {
    let world = World::new();
    let (session, agent) = world.session();
    let (other, _) = world.session();
    assert_eq!(
        world.act(agent, Right::FileRead, &world.work("keys/id")),
        Verdict::Deny
    );
    // One that was moved elsewhere keeps its label, and is found by that.
    let strayed = world.cgroups.spawn();
    let group = world.make_cgroup("elsewhere");
    world
        .cgroups
        .enter(strayed, session.cgroup.as_ref())
        .unwrap();
    world.cgroups.enter(strayed, &group).unwrap();
    let handle = crate::process::ProcessHandle::open(strayed).unwrap();

    let stopped = world.post(&operator(), &routes::STOP.of(&session.name), &());
    let stopped = stopped.unwrap();
    assert_eq!(stopped.state, SessionState::Ended);
    assert_eq!(stopped.end_cause.unwrap(), EndCause::Stopped);
    assert_eq!(stopped.refused, 1);
    assert!(!handle.alive());
    assert!(!std::path::Path::new(&session.cgroup).exists());
    assert_eq!(world.in_force(), [other.name.as_str()]);
    world
        .post(&operator(), &routes::STOP.of(&other.name), &())
        .unwrap();
    // The label of a process goes with it; who was killed outside its cgroup is not waited for here.
    world.cgroups.end(strayed);
    assert_eq!(world.kernel.traces(), [""; 0]);
    // Its story is told after its end.
    assert_eq!(events(&world, &session.name).len(), 1);
    assert_eq!(why(&world, &session.name).event.session, session.name);
    assert_eq!(report(&world, &session.name).alignment, Alignment::Aligned);
}

#[test]
fn a_session_ends_with_its_last_process() {
    let world = World::new();
    let (session, first) = world.session();
    let second = world.cgroups.spawn();
    let place = routes::ENROL.of(&session.name);
    world
        .post(&process(0, second), &place, &Default::default())
        .unwrap();
    world.cgroups.end(first);
    assert_eq!(world.look(&session.name).processes, 1);
    world.cgroups.end(second);
    let ended = world.until_ended(&session.name);
    assert_eq!(ended.end_cause.unwrap(), EndCause::Finished);
    assert_eq!(world.kernel.traces(), [""; 0]);
    let refused = world.post(&process(0, std::process::id()), &place, &Default::default());
    assert_eq!(refused.unwrap_err().code, FailureCode::Conflict);
}

#[test]
fn who_starts_a_session_is_told_what_its_grant_hands_over() {
    let world = World::with_idle_daemon();
    let mut request = world.request(Target::New);
    let text = &request.grant.main.text;
    let environment = "[environment]\ndefault = false\nkeep = [\"A_*\"]\nset = { B = \"1\" }\n";
    request.grant.main.text = format!("{text}\n{environment}").into();
    let started = world.post(&operator(), &routes::START.place(), &request);
    let session = started.unwrap();
    let told = session.hands_over.unwrap();
    assert_eq!(told.keep, ["A_*"]);
    assert_eq!(told.set, [("B".to_owned(), "1".to_owned())].into());
    assert_eq!(world.look(&session.name).hands_over, None);
}

#[test]
fn a_tagged_cgroup_is_limited_until_it_is_untagged() {
    let world = World::new();
    let group = world.make_cgroup("agents/one");
    let agent = world.cgroups.spawn();
    world.cgroups.enter(agent, &group).unwrap();
    let key = world.work("keys/id");
    assert_eq!(world.act(agent, Right::FileRead, &key), Verdict::Allow);

    let mut request = world.request(Target::Cgroup(group.to_str().unwrap().into()));
    // What it is filled in with is the agent's, where nothing else is said.
    request.inputs.home = None;
    request.inputs.user = None;
    let started = world.post(&operator(), &routes::START.place(), &request);
    let session = started.unwrap();
    let own = nix::unistd::User::from_uid(nix::unistd::getuid())
        .unwrap()
        .unwrap();
    assert_eq!(session.variables["user"], own.name);
    assert_eq!(session.variables["home"], own.dir.to_str().unwrap());
    assert_eq!(session.processes, 1);
    assert_eq!(session.extent.known(), Some(Extent::Cgroup));
    assert_eq!(session.hands_over, None);
    assert_eq!(world.act(agent, Right::FileRead, &key), Verdict::Deny);
    // Who comes later is in it too.
    let late = world.cgroups.spawn();
    world.cgroups.enter(late, &group).unwrap();
    assert_eq!(world.act(late, Right::FileRead, &key), Verdict::Deny);
    let again = world.post(&operator(), &routes::START.place(), &request);
    assert_eq!(again.unwrap_err().code, FailureCode::Conflict);

    let untag = Untag {
        session: session.name.clone(),
    };
    let ended = world.post(&operator(), &routes::UNTAG.place(), &untag);
    assert_eq!(ended.unwrap().end_cause.unwrap(), EndCause::Untagged);
    for process in [agent, late] {
        assert_eq!(world.act(process, Right::FileRead, &key), Verdict::Allow);
    }
    assert_eq!(world.kernel.traces(), [""; 0]);
    assert_eq!(events(&world, &session.name).len(), 2);
}

#[test]
fn who_is_in_a_cgroup_that_is_tagged_at_exec_is_limited_once_it_executes() {
    let world = World::new();
    let group = world.make_cgroup("agents/two");
    let agent = world.cgroups.spawn();
    world.cgroups.enter(agent, &group).unwrap();
    let request = world.request(Target::CgroupAtExec(group.to_str().unwrap().into()));
    let started = world.post(&operator(), &routes::START.place(), &request);
    let session = started.unwrap();
    assert_eq!(session.extent.known(), Some(Extent::CgroupAtExec));
    let key = world.work("keys/id");
    assert_eq!(world.act(agent, Right::FileRead, &key), Verdict::Allow);
    assert_eq!(world.look(&session.name).processes, 1);
    world.kernel.exec(agent);
    assert_eq!(world.act(agent, Right::FileRead, &key), Verdict::Deny);
    // The next daemon arms who comes, as this one did.
    let mut world = world;
    world.kill_daemon();
    world.start_daemon();
    let late = world.cgroups.spawn();
    world.cgroups.enter(late, &group).unwrap();
    assert_eq!(world.act(late, Right::FileRead, &key), Verdict::Allow);
    world.kernel.exec(late);
    assert_eq!(world.act(late, Right::FileRead, &key), Verdict::Deny);
    let stopped = world.post(&operator(), &routes::STOP.of(&session.name), &());
    assert_eq!(stopped.unwrap().end_cause.unwrap(), EndCause::Stopped);
}

#[test]
fn who_asks_for_a_session_in_its_place_is_limited_once_it_executes() {
    let world = World::new();
    let agent = world.cgroups.spawn();
    let key = world.work("keys/id");
    let request = world.request(Target::Caller);
    let start = || world.post(&process(0, agent), &routes::START.place(), &request);
    let session = start().unwrap();
    assert_eq!(session.extent.known(), Some(Extent::Process));
    assert_eq!(session.processes, 1);
    assert!(session.hands_over.is_some());
    // Sessions do not nest, nor can one be entered by another process.
    assert_eq!(start().unwrap_err().code, FailureCode::Labelled);
    let other = world.cgroups.spawn();
    let enrol = world.post(
        &process(0, other),
        &routes::ENROL.of(&session.name),
        &Enrol::default(),
    );
    assert_eq!(enrol.unwrap_err().code, FailureCode::BadRequest);
    assert_eq!(world.act(agent, Right::FileRead, &key), Verdict::Allow);
    world.kernel.exec(agent);
    assert_eq!(world.act(agent, Right::FileRead, &key), Verdict::Deny);
    // It ends with its process, and nobody removes the cgroup in which that was.
    world.cgroups.end(agent);
    let ended = world.until_ended(&session.name);
    assert_eq!(ended.end_cause.unwrap(), EndCause::Finished);
    assert_eq!(world.kernel.traces(), [""; 0]);
}

#[test]
fn no_session_starts_where_it_would_not_be_limited() {
    let world = World::new();
    world.kernel.switch_off(Some("a program is not attached"));
    let request = world.request(Target::New);
    let start = || world.post(&operator(), &routes::START.place(), &request);
    let refused = start().unwrap_err();
    assert_eq!(refused.code, FailureCode::NotEnforced);
    assert!(refused.error.contains("a program is not attached"));
    assert_eq!(world.kernel.traces(), [""; 0]);
    world.kernel.switch_off(None);
    assert!(start().is_ok());
}
