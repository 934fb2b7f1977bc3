//! Grants that come with a checkout are used when somebody trusts them, and only then.

use std::{fs, path::Path};

use super::world::{Answer, GRANT, World, operator, process};
use crate::{
    api::{
        Distrust, FailureCode, GrantSource, Page, PathText, Session, Sought, SourceFile,
        StartSession, Target, Trust, Trusted, routes,
    },
    daemon::requests::peer::Peer,
};

fn text(path: &Path) -> PathText {
    PathText::new(path.as_os_str().as_encoded_bytes())
}

/// The checkout's own grant, as `bailiff run` reads it.
fn source(world: &World, words: &str) -> GrantSource {
    let file = world.work("bailiff.toml");
    GrantSource {
        main: SourceFile {
            name: file.to_str().unwrap().into(),
            origin: file.to_str().unwrap().into(),
            text: words.into(),
            file: Some(text(&file)),
        },
        includes: Vec::new(),
    }
}

fn write(world: &World) {
    fs::write(world.work("bailiff.toml"), GRANT).unwrap();
}

fn trust(world: &World, who: &Peer, words: &str) -> Answer<Trusted> {
    let request = Trust {
        file: text(&world.work("bailiff.toml")),
        grant: source(world, words),
    };
    world.post(who, &routes::TRUST.place(), &request)
}

fn request(world: &World, words: &str) -> StartSession {
    StartSession {
        grant: source(world, words),
        sought: Some(Sought {
            from: text(&world.work("src")),
            file: Some(text(&world.work("bailiff.toml"))),
        }),
        ..world.request(Target::New)
    }
}

fn start(world: &World, who: &Peer, request: &StartSession) -> Answer<Session> {
    world.post(who, &routes::START.place(), request)
}

fn error(answer: Answer<Session>) -> String {
    let failure = answer.unwrap_err();
    assert_eq!(failure.code.known(), Some(FailureCode::BadGrant));
    failure.error
}

#[test]
fn a_grant_of_a_checkout_waits_for_whoever_starts_it() {
    let mut world = World::new();
    write(&world);
    let wanted = request(&world, GRANT);
    let refused = error(start(&world, &operator(), &wanted));
    assert!(refused.contains("not trusted yet"), "{refused}");
    assert!(refused.contains("`bailiff trust`"), "{refused}");
    trust(&world, &operator(), GRANT).unwrap();
    start(&world, &operator(), &wanted).unwrap();
    // One letter more, and it is another's word again.
    let other = format!("{GRANT}\n");
    let refused = error(start(&world, &operator(), &request(&world, &other)));
    assert!(refused.contains("not what you trusted"), "{refused}");
    world.kill_daemon();
    world.start_daemon();
    start(&world, &operator(), &wanted).unwrap();
    let gone = Distrust {
        file: text(&world.work("bailiff.toml")),
    };
    world
        .post(&operator(), &routes::DISTRUST.place(), &gone)
        .unwrap();
    error(start(&world, &operator(), &wanted));
}

#[test]
fn more_that_it_includes_is_another_grant() {
    let world = World::new();
    write(&world);
    let include = SourceFile {
        name: "./more.toml".into(),
        file: Some(text(&world.work("more.toml"))),
        ..source(&world, "version = 1\nname = \"more\"\n").main
    };
    fs::write(world.work("more.toml"), "").unwrap();
    trust(&world, &operator(), GRANT).unwrap();
    let mut wanted = request(&world, GRANT);
    wanted.grant.includes.push(include);
    let refused = error(start(&world, &operator(), &wanted));
    assert!(refused.contains("or what it includes"), "{refused}");
}

#[test]
fn what_is_trusted_here_is_not_passed_over() {
    let world = World::new();
    write(&world);
    trust(&world, &operator(), GRANT).unwrap();
    // Somebody removed it, or made a repository around the directory in which the command is to run.
    let missed = StartSession {
        sought: Some(Sought {
            from: text(&world.work("sub")),
            file: None,
        }),
        ..world.request(Target::New)
    };
    let refused = error(start(&world, &operator(), &missed));
    assert!(refused.contains("not found from here"), "{refused}");
    // Who names a grant has it; and elsewhere nothing is missed.
    start(&world, &operator(), &world.request(Target::New)).unwrap();
    let elsewhere = StartSession {
        sought: Some(Sought {
            from: text(Path::new("/srv")),
            file: None,
        }),
        ..world.request(Target::New)
    };
    start(&world, &operator(), &elsewhere).unwrap();
}

#[test]
fn one_users_trust_is_no_others_and_no_sessions() {
    let world = World::new();
    write(&world);
    let (_, agent) = world.session();
    let inside = process(0, agent);
    let refused = trust(&world, &inside, GRANT).unwrap_err();
    assert_eq!(refused.code.known(), Some(FailureCode::Labelled));
    let list: Answer<Page<Trusted>> = world.get(&inside, &routes::TRUSTED.place());
    assert_eq!(list.unwrap_err().code.known(), Some(FailureCode::Labelled));
    let list: Page<Trusted> = world.get(&operator(), &routes::TRUSTED.place()).unwrap();
    assert!(list.items.is_empty());
    trust(&world, &operator(), GRANT).unwrap();
    let list: Page<Trusted> = world.get(&operator(), &routes::TRUSTED.place()).unwrap();
    assert_eq!(list.items[0].file, text(&world.work("bailiff.toml")));
    assert_eq!(
        world
            .daemon()
            .trusted(super::world::STRANGER)
            .unwrap()
            .len(),
        0
    );
}
