//! Where a container's session begins, and who would like to choose it: a hook, a stop of the daemon, an image.

use std::{fs, path::Path};

use super::{DEEDS, attach, detach, is_free, is_limited, prepare, run, volume};
use crate::{
    harness::{
        Check, Doing,
        daemon::BAILIFF,
        ensure,
        process::{self, Ended, must},
    },
    scenarios::Context,
};

/// A hook that is executed in the container's namespaces and cgroup while its root directory is the host's still.
const HOOK: &str = r#"{
  "version": "1.0.0",
  "hook": { "path": "/bin/sh", "args": ["sh", "-c", "cat /etc/shadow > /srv/hooked"] },
  "when": { "always": true },
  "stages": ["createContainer"]
}"#;

pub(super) fn hooked(_: &mut Context) -> Check {
    prepare()?;
    let path = volume("hooked-data")?;
    let options = |name: &str| format!("--network none --name {name} --volume {path}:/data");
    attach(&["--container", "begins"])?;
    let hook = Path::new("/etc/containers/oci/hooks.d/other.json");
    fs::write(hook, HOOK).doing("write a hook")?;
    let left = Path::new("/srv/hooked");
    for runtime in ["crun", "runc"] {
        let ended = run(&format!("--runtime {runtime} {}", options("begins")), DEEDS)?;
        ensure(ended.code != 0 && ended.stdout.is_empty(), || {
            format!(
                "{runtime}: began where the host is: {} | {}",
                ended.tail(),
                super::daemons_words()
            )
        })?;
        let is_empty = fs::read(left).map_or(true, |content| content.is_empty());
        ensure(is_empty, || {
            format!("{runtime}'s hook read what it may not")
        })?;
        ensure(super::daemons_words().contains("createContainer"), || {
            format!("not said why: {}", super::daemons_words())
        })?;
        // The hook does what it says where no grant is in force.
        is_free(&run(
            &format!("--runtime {runtime} {}", options("free")),
            DEEDS,
        )?)?;
        ensure(fs::metadata(left).is_ok_and(|left| left.len() > 0), || {
            format!("{runtime} executed no hook")
        })?;
        fs::remove_file(left).doing("remove what the hook left")?;
    }
    fs::remove_file(hook).doing("remove the hook")?;
    is_limited(&run(&options("begins"), DEEDS)?)?;
    detach("begins")
}

pub(super) fn started_without_daemon(_: &mut Context) -> Check {
    prepare()?;
    let path = volume("late")?;
    attach(&["--container", "late"])?;
    let options = format!("--network none --name late --volume {path}:/data");
    let words = format!("podman create {options} box /bin/sh -c");
    let mut words = words.split_whitespace().collect::<Vec<_>>();
    words.push(DEEDS);
    must(&words)?;
    must(&["podman", "init", "late"])?;
    must(&["systemctl", "stop", "bailiff"])?;
    let started = process::run(&["podman", "start", "--attach", "late"])?;
    ensure(started.code != 0 && started.stdout.is_empty(), || {
        format!("began without a daemon: {}", started.tail())
    })?;
    ensure(!Path::new(&path).join("new").exists(), || {
        "it wrote without a daemon".into()
    })?;
    must(&["systemctl", "start", "bailiff"])?;
    is_limited(&process::run(&["podman", "start", "--attach", "late"])?)?;
    must(&["podman", "rm", "--force", "--time", "0", "late"])?;
    detach("late")
}

/// What a grant allows below `/app`, wherever that is.
fn read_app(options: &str, image: &str, file: &str) -> Check<Ended> {
    let words = format!("podman run --rm --network none --name linked {options} {image} /bin/head");
    let mut words = words.split_whitespace().collect::<Vec<_>>();
    words.extend(["-c", "4", file]);
    process::run(&words)
}

pub(super) fn linked(_: &mut Context) -> Check {
    prepare()?;
    let images = [
        ("keyed", "/keys"),
        ("nodes", "/dev"),
        ("above", "/x"),
        ("all", "."),
        ("own", "srv/app"),
    ];
    for (image, link) in images {
        must(&[
            "sh",
            "-c",
            &format!(
                "set -e; rm -rf /srv/{image}; cp -a /srv/box /srv/{image}; mkdir -p /srv/{image}/srv/app /srv/{image}/x
                 echo text > /srv/{image}/srv/app/text; ln -s {link} /srv/{image}/app
                 tar -C /srv/{image} -c . | podman import - {image}"
            ),
        ])?;
    }
    fs::create_dir_all("/srv/keys").doing("make a directory")?;
    fs::write("/srv/keys/key", "key!\n").doing("write a key")?;
    let grant = super::GRANT.replace("[\"/bin/**\",", "[\"/app/**\", \"/bin/**\",");
    fs::write("/etc/bailiff/grants/app.toml", grant).doing("write a grant")?;
    let keys = "--volume /srv/keys:/keys";
    let tries = [
        (keys, "keyed", "/app/key"),
        ("--privileged", "nodes", "/app/kmsg"),
        ("--volume /srv/keys:/x/keys", "above", "/app/keys/key"),
        ("--volume /srv/keys:/x/keys", "above", "/x/keys/key"),
        (keys, "all", "/app/keys/key"),
        (keys, "all", "/keys/key"),
    ];
    // The image's author chooses nothing, before or after; the operator's mounts are what they are.
    for (options, image, file) in tries {
        let free = read_app(options, image, file)?;
        ensure(free.code == 0, || format!("free: {}", free.tail()))?;
    }
    must(&[BAILIFF, "attach", "--container", "linked", "--grant", "app"])?;
    for (options, image, file) in tries {
        let refused = read_app(options, image, file)?;
        let is_refused = refused.stdout.is_empty() && refused.stderr.contains("denied");
        ensure(is_refused, || {
            format!("{file} of {image} was read: {}", refused.tail())
        })?;
    }
    let words = super::daemons_words();
    ensure(words.contains("is an image's and leads"), || {
        format!("not said why: {words}")
    })?;
    let own = read_app("", "own", "/app/text")?;
    ensure(own.stdout == "text", || {
        format!("{} | {}", own.tail(), super::daemons_words())
    })?;
    let mounted = read_app("--volume /srv/keys:/app", "box", "/app/key")?;
    ensure(mounted.stdout == "key!", || mounted.tail())?;
    detach("linked")
}
