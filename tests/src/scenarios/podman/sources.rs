//! Where volumes come from: a runtime follows every link on the way, whoever made it.

use std::fs;

use super::{detach, is_refused, prepare, volume};
use crate::{
    harness::{
        Check, Doing,
        daemon::BAILIFF,
        ensure,
        process::{self, Ended, must},
    },
    scenarios::Context,
};

/// A container that sees a directory, and one in it as well: `below` is that and where it is seen.
fn start(name: &str, below: &str, script: &str) -> Check<Ended> {
    let words = format!(
        "podman run --rm --network none --name {name} --volume /srv/above:/data --volume {below} box /bin/sh -c"
    );
    let mut words = words.split_whitespace().collect::<Vec<_>>();
    words.push(script);
    process::run(&words)
}

pub(super) fn linked(_: &mut Context) -> Check {
    prepare()?;
    let below = format!("{}:/below", volume("above/below")?);
    fs::create_dir_all("/srv/hosts").doing("make a directory")?;
    fs::write("/srv/hosts/note", "a host's\n").doing("write a note")?;
    let grant = super::GRANT.replace(
        "\"create\", \"list\"]\npath = [",
        "\"create\", \"delete\", \"list\"]\npath = [\"/below/**\", ",
    );
    fs::write("/etc/bailiff/grants/above.toml", grant).doing("write a grant")?;
    must(&[
        BAILIFF,
        "attach",
        "--container",
        "above",
        "--grant",
        "above",
    ])?;
    let reads = "head -c 8 /below/note";
    let replaces = "busybox mv /data/below /data/old; ln -s /srv/hosts /data/below";
    let first = start("above", &below, &format!("{reads}; {replaces}"))?;
    ensure(first.code == 0 && first.stdout == "a note\n", || {
        first.tail()
    })?;
    // The runtime follows it.
    let free = start("free", &below, reads)?;
    ensure(free.stdout == "a host's", || free.tail())?;
    let overlaid = format!("{below}:O");
    for below in [&below, &overlaid] {
        is_refused(
            &start("above", below, reads)?,
            "it leads through /srv/above/below, which could have been made by the session",
        )?;
    }
    // A link of the operator's is what it is, and what was where it was is as good as before.
    must(&["ln", "-s", "/srv/above/old", "/srv/operators"])?;
    let own = start("above", "/srv/operators:/below", reads)?;
    ensure(own.stdout == "a note\n", || {
        format!("{} | {}", own.tail(), super::daemons_words())
    })?;
    must(&[
        "sh",
        "-c",
        "rm /srv/above/below; mv /srv/above/old /srv/above/below",
    ])?;
    let again = start("above", &below, reads)?;
    ensure(again.stdout == "a note\n", || again.tail())?;
    detach("above")
}
