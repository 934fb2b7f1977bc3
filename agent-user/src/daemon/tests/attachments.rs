//! Attachments: from the operator's files to who is in which session.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use agent_abi::{Right, Verdict, attachment::MAX_ATTACHMENTS};

use super::world::{GRANT, PATIENCE, World, operator};
use crate::api::{
    Attached, AttachedState, Extent, FailureCode, Page, Session, SessionState, SessionsQuery,
    Untag, routes,
};

/// A host with a grant, and one attachment of it.
fn world() -> World {
    let world = World::new();
    fs::create_dir(world.host("attach.d")).unwrap();
    world.make_cgroup("agents");
    fs::write(world.host("work.toml"), GRANT).unwrap();
    world
}

fn write(world: &World, name: &str, text: &str) {
    fs::write(world.host("attach.d").join(format!("{name}.toml")), text).unwrap();
}

fn attach(world: &World, name: &str, pattern: &str) -> Vec<Attached> {
    let (grant, work) = (world.host("work.toml"), world.work(""));
    let work = work.to_str().unwrap().trim_end_matches('/');
    let text = format!(
        "cgroup = \"{pattern}\"\ngrant = \"{}\"\nset = {{ cwd = \"{work}\" }}\n",
        grant.display()
    );
    write(world, name, &text);
    load(world)
}

fn load(world: &World) -> Vec<Attached> {
    let place = routes::LOAD_ATTACHMENTS.place();
    let page: Page<Attached> = world.post(&operator(), &place, &()).unwrap();
    page.items
}

/// A cgroup that the kernel side sees appear, and one process in it that executes its program.
fn appear(world: &World, name: &str) -> (PathBuf, u32) {
    let path = world.make_cgroup(name);
    let id = fs::metadata(&path).unwrap().ino();
    world.kernel.appear(&format!("/{name}"), id);
    let pid = world.cgroups.spawn();
    world.cgroups.enter(pid, &path).unwrap();
    world.kernel.exec(pid);
    (path, pid)
}

fn sessions(world: &World) -> Vec<Session> {
    let place = routes::SESSIONS.with(&SessionsQuery::default()).unwrap();
    let page: Page<Session> = world.get(&operator(), &place).unwrap();
    page.items
}

fn waiting(world: &World) -> Vec<String> {
    let all = sessions(world).into_iter();
    let waiting = all.filter(|one| one.state == SessionState::Waiting);
    waiting.map(|one| one.name).collect()
}

/// Waits until what appears next is in another session than this.
fn until_renewed(world: &World, session: &str) {
    until("another waits", || {
        let page: Page<Attached> = world
            .get(&operator(), &routes::ATTACHMENTS.place())
            .unwrap();
        let next = page.items.into_iter().find_map(|one| one.session);
        next.is_some_and(|next| next != session)
    });
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not so: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn is_limited(world: &World, pid: u32) -> bool {
    world.act(pid, Right::FileRead, &world.work("keys/id")) == Verdict::Deny
}

#[test]
fn what_appears_is_in_the_session_that_waited_and_another_waits() {
    let world = world();
    let told = attach(&world, "agents", "/agents/*");
    assert_eq!(told[0].state, AttachedState::InForce, "{told:?}");
    let first = waiting(&world);
    assert_eq!(first, [told[0].session.clone().unwrap()]);
    // Reading the same again changes nothing.
    load(&world);
    assert_eq!(waiting(&world), first);
    let (_, pid) = appear(&world, "agents/one");
    assert!(is_limited(&world, pid));
    until_renewed(&world, &first[0]);
    let session = world.look(&first[0]);
    assert_eq!(session.extent.known(), Some(Extent::Attached));
    assert_eq!(
        (session.state.known(), session.processes),
        (Some(SessionState::Running), 1)
    );
    let (_, other) = appear(&world, "agents/two");
    assert!(is_limited(&world, other));
    until("each is alone", || world.look(&first[0]).processes == 1);
    let (_, free) = appear(&world, "others");
    assert!(!is_limited(&world, free));
    // It is not for `untag` to set free.
    let untag = Untag {
        session: first[0].clone(),
    };
    let refused = world.post(&operator(), &routes::UNTAG.place(), &untag);
    assert_eq!(refused.unwrap_err().code, FailureCode::BadRequest);
}

#[test]
fn a_session_ends_with_its_cgroups_and_the_attachment_goes_on() {
    let world = world();
    attach(&world, "agents", "/agents/*");
    let first = waiting(&world)[0].clone();
    let (path, pid) = appear(&world, "agents/one");
    until_renewed(&world, &first);
    world.cgroups.end(pid);
    world.kernel.vanish(fs::metadata(&path).unwrap().ino());
    world.until_ended(&first);
    let (_, again) = appear(&world, "agents/one");
    assert!(is_limited(&world, again));
}

#[test]
fn what_is_detached_takes_nobody_in_and_lets_nobody_go() {
    let world = world();
    attach(&world, "agents", "/agents/*");
    let first = waiting(&world);
    let (_, pid) = appear(&world, "agents/one");
    until_renewed(&world, &first[0]);
    fs::remove_file(world.host("attach.d/agents.toml")).unwrap();
    assert!(load(&world).is_empty());
    assert!(waiting(&world).is_empty());
    assert!(is_limited(&world, pid));
    let (_, free) = appear(&world, "agents/two");
    assert!(!is_limited(&world, free));
}

#[test]
fn the_next_daemon_goes_on_with_what_came_while_none_ran() {
    let mut world = world();
    attach(&world, "agents", "/agents/*");
    let first = waiting(&world);
    world.kill_daemon();
    let (_, one) = appear(&world, "agents/one");
    let (_, two) = appear(&world, "agents/two");
    assert!(is_limited(&world, one) && is_limited(&world, two));
    world.start_daemon();
    load(&world);
    assert_eq!(world.look(&first[0]).processes, 2);
    let next = waiting(&world);
    assert!(next.len() == 1 && next != first, "{next:?}");
    let (_, three) = appear(&world, "agents/three");
    assert!(is_limited(&world, three));
    assert_eq!(world.look(&next[0]).processes, 1);
    // One that waits, with nothing in it, is taken over as it is.
    until_renewed(&world, &next[0]);
    let last = waiting(&world);
    world.kill_daemon();
    world.start_daemon();
    load(&world);
    assert_eq!(waiting(&world), last);
}

#[test]
fn a_mistake_lets_nothing_start_or_leaves_what_was_in_force() {
    let world = world();
    let grant = world.host("work.toml");
    fs::write(&grant, "version = 1\nname = ").unwrap();
    let told = attach(&world, "agents", "/agents/*");
    assert_eq!(told[0].state, AttachedState::Refusing);
    assert!(
        told[0]
            .error
            .as_ref()
            .unwrap()
            .contains("nothing of it may start")
    );
    let (_, pid) = appear(&world, "agents/one");
    assert!(is_limited(&world, pid));
    assert_eq!(
        world.act(pid, Right::FileRead, &world.work("x")),
        Verdict::Deny
    );
    // Mended, it is in force; broken again, it stays so.
    fs::write(&grant, GRANT).unwrap();
    assert_eq!(load(&world)[0].state, AttachedState::InForce);
    let own = waiting(&world);
    fs::write(&grant, "version = 1\nname = ").unwrap();
    let told = load(&world);
    assert_eq!(told[0].state, AttachedState::InForce);
    assert!(told[0].error.as_ref().unwrap().contains("holds on"));
    assert_eq!(waiting(&world), own);
    // The file itself is broken, and a file that was not there before is as well.
    write(&world, "agents", "cgroup = ");
    write(&world, "more", "cgroup = ");
    let told = load(&world);
    let state = |name: &str| {
        told.iter()
            .find(|one| one.name == name)
            .unwrap()
            .state
            .known()
    };
    assert_eq!(state("agents"), Some(AttachedState::InForce));
    assert_eq!(state("more"), Some(AttachedState::Unreadable));
    assert_eq!(waiting(&world), own);
    let mut world = world;
    world.kill_daemon();
    world.start_daemon();
    // Now nobody knows whose it is: it holds all the same.
    load(&world);
    assert_eq!(waiting(&world), own);
    let (_, two) = appear(&world, "agents/two");
    assert!(is_limited(&world, two));
}

#[test]
fn what_was_there_before_is_limited_from_its_next_program_on() {
    let world = world();
    let path = world.make_cgroup("agents/one");
    let pid = world.cgroups.spawn();
    world.cgroups.enter(pid, &path).unwrap();
    let told = attach(&world, "agents", "/agents/*");
    assert_eq!(told[0].early, 1);
    assert!(!is_limited(&world, pid));
    world.kernel.exec(pid);
    assert!(is_limited(&world, pid));
    assert_eq!(waiting(&world).len(), 1);
}

#[test]
fn a_load_that_fails_leaves_what_was_in_force() {
    let world = world();
    attach(&world, "agents", "/agents/*");
    let own = waiting(&world);
    let text = fs::read_to_string(world.host("attach.d/agents.toml")).unwrap();
    for number in 0..MAX_ATTACHMENTS {
        let other = format!("/more{number}/*");
        write(
            &world,
            &format!("more{number}"),
            &text.replace("/agents/*", &other),
        );
    }
    let failed: Result<Page<Attached>, _> =
        world.post(&operator(), &routes::LOAD_ATTACHMENTS.place(), &());
    assert!(failed.unwrap_err().error.contains("more than"));
    assert_eq!(waiting(&world), own);
    let (_, pid) = appear(&world, "agents/one");
    assert!(is_limited(&world, pid));
    assert_eq!(
        world.act(pid, Right::FileRead, &world.work("x")),
        Verdict::Allow
    );
    // The next daemon fails likewise, and what it took over goes on.
    let mut world = world;
    world.kill_daemon();
    world.start_daemon();
    let failed: Result<Page<Attached>, _> =
        world.post(&operator(), &routes::LOAD_ATTACHMENTS.place(), &());
    assert!(failed.is_err());
    let (_, two) = appear(&world, "agents/two");
    assert!(is_limited(&world, two));
    assert_eq!(
        world.act(two, Right::FileRead, &world.work("x")),
        Verdict::Allow
    );
}

#[test]
fn a_refusal_ends_when_it_is_mended_or_taken_back_and_never_by_another_mistake() {
    let mut world = world();
    let grant = world.host("work.toml");
    let x = world.work("x");
    fs::write(&grant, "version = 1\nname = ").unwrap();
    attach(&world, "agents", "/agents/*");
    let (_, early) = appear(&world, "agents/one");
    assert_eq!(world.act(early, Right::FileRead, &x), Verdict::Deny);
    // Nobody knows any more whom it is for, and it holds all the same, also for the next daemon.
    let text = fs::read_to_string(world.host("attach.d/agents.toml")).unwrap();
    write(&world, "agents", "cgroup = ");
    load(&world);
    world.kill_daemon();
    world.start_daemon();
    let place = routes::LOAD_ATTACHMENTS.place();
    let failed: Result<Page<Attached>, _> = world.post(&operator(), &place, &());
    assert!(failed.unwrap_err().error.contains("holds on as it was"));
    let (_, two) = appear(&world, "agents/two");
    assert_eq!(world.act(two, Right::FileRead, &x), Verdict::Deny);
    // Mended: who was refused is under the grant.
    write(&world, "agents", &text);
    fs::write(&grant, GRANT).unwrap();
    assert_eq!(load(&world)[0].state, AttachedState::InForce);
    for pid in [early, two] {
        world.kernel.exec(pid);
        assert!(is_limited(&world, pid));
        assert_eq!(world.act(pid, Right::FileRead, &x), Verdict::Allow);
    }
    // Refused again elsewhere, and taken back: nothing of it is left.
    fs::write(&grant, "version = 1\nname = ").unwrap();
    fs::remove_file(world.host("attach.d/agents.toml")).unwrap();
    attach(&world, "others", "/others/*");
    world.make_cgroup("others");
    let (path, three) = appear(&world, "others/one");
    assert_eq!(world.act(three, Right::FileRead, &x), Verdict::Deny);
    fs::remove_file(world.host("attach.d/others.toml")).unwrap();
    load(&world);
    assert_eq!(world.act(three, Right::FileRead, &x), Verdict::Allow);
    let fresh = world.cgroups.spawn();
    world.cgroups.enter(fresh, &path).unwrap();
    world.kernel.exec(fresh);
    assert!(!is_limited(&world, fresh));
}

#[test]
fn whoever_makes_cgroups_that_are_meant_does_not_take_every_session() {
    let world = world();
    attach(&world, "agents", "/agents/*");
    let mut here = Vec::new();
    for number in 0..70 {
        let before = waiting(&world);
        here.push(appear(&world, &format!("agents/{number}")).1);
        // Beside the one that waits then there is room for no other.
        if number < 63 {
            until_renewed(&world, &before[0]);
        }
    }
    assert!(here.iter().all(|pid| is_limited(&world, *pid)));
    until("the last share one", || {
        sessions(&world).iter().any(|one| one.processes == 7)
    });
    assert_eq!(sessions(&world).len(), 64);
}

#[test]
fn an_attachment_of_which_nothing_is_left_says_so() {
    let world = world();
    attach(&world, "a", "/agents/*");
    let told = attach(&world, "b", "/agents/one");
    let error = told[1].error.as_deref().unwrap();
    assert!(error.contains("nothing comes under it"), "{told:?}");
    assert_eq!(told[0].error, None);
    fs::remove_file(world.host("attach.d/a.toml")).unwrap();
    assert_eq!(load(&world)[0].error, None);
}

#[test]
fn a_grant_that_is_a_pipe_is_not_waited_for() {
    let world = world();
    let pipe = world.host("pipe.toml");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let text = format!("cgroup = \"/agents/*\"\ngrant = \"{}\"\n", pipe.display());
    write(&world, "agents", &text);
    let told = load(&world);
    assert_eq!(told[0].state, AttachedState::Refusing, "{told:?}");
}
