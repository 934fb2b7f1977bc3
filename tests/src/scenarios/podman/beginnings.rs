//! Where a container's session begins, and who would like to choose it: a hook, a stop of the daemon, an image.

use std::{fs, path::Path};

use super::{DEEDS, attach, detach, is_limited, prepare, run, volume};
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
  "hook": { "path": "/bin/hook", "args": ["hook"] },
  "when": { "always": true },
  "stages": ["STAGE"]
}"#;

/// Has this script executed so, for every container.
pub(super) fn put_hook(stage: &str, script: &str) -> Check {
    fs::write(SCRIPT, script).doing("write a hook")?;
    must(&["chmod", "755", SCRIPT])?;
    fs::write(OTHER, HOOK.replace("STAGE", stage)).doing("write a hook")
}

const SCRIPT: &str = "/usr/bin/hook";

pub(super) const OTHER: &str = "/etc/containers/oci/hooks.d/other.json";

/// What a hook may do as itself.
pub(super) const READS: &str = "#!/bin/sh\ncat /etc/shadow > /srv/hooked\n";

/// A program of the container's image, and one that the hook brought along (NVIDIA's `ldconfig`), each in its root
/// directory and in a mount namespace of the hook's own.
const GOES_IN: &str = r#"#!/usr/bin/python3
import ctypes, json, os, sys
root = json.load(open(json.load(sys.stdin)["bundle"] + "/config.json"))["root"]["path"]
ctypes.CDLL(None).unshare(0x20000)
brought = os.memfd_create("copy", os.MFD_ALLOW_SEALING)
os.write(brought, open("/usr/bin/busybox", "rb").read())
ctypes.CDLL(None).fcntl(brought, 1033, 15)
os.chroot(root)
os.chdir("/")
if COPY:
    os.execve(brought, ["cat", "/etc/secret"], {})
os.execv("/bin/cat", ["cat", "/etc/secret"])
"#;

pub(super) fn hooked(_: &mut Context) -> Check {
    prepare()?;
    let path = volume("hooked-data")?;
    let options = |name: &str| format!("--network none --name {name} --volume {path}:/data");
    attach(&["--container", "begins"])?;
    let left = Path::new("/srv/hooked");
    for runtime in ["crun", "runc"] {
        let start = |name: &str| run(&format!("--runtime {runtime} {}", options(name)), DEEDS);
        // Such a hook is itself, and the container comes under its grant.
        put_hook("createContainer", READS)?;
        is_limited(&start("begins")?)?;
        ensure(fs::metadata(left).is_ok_and(|left| left.len() > 0), || {
            format!("{runtime}'s hook was refused: {}", super::daemons_words())
        })?;
        fs::remove_file(left).doing("remove what the hook left")?;
        put_hook("createContainer", &GOES_IN.replace("COPY", "True"))?;
        is_limited(&start("begins")?)?;
        // A program of the image is not the hook.
        put_hook("createContainer", &GOES_IN.replace("COPY", "False"))?;
        let refused = start("begins")?;
        ensure(refused.code != 0 && refused.stdout.is_empty(), || {
            format!("{runtime}: {}", refused.tail())
        })?;
        ensure(start("free")?.code == 0, || {
            format!("{runtime}'s hook cannot do what it is for")
        })?;
        // Nor is what is executed when the container has its root directory, of which the image says what it is.
        put_hook(
            "startContainer",
            "#!/bin/sh\ncat /etc/secret > /data/hooked\n",
        )?;
        let with = |name: &str| {
            run(
                &format!(
                    "--runtime {runtime} {} --volume {SCRIPT}:/bin/hook",
                    options(name)
                ),
                "true",
            )
        };
        let left_inside = || fs::read_to_string(format!("{path}/hooked")).unwrap_or_default();
        with("begins")?;
        ensure(left_inside().is_empty(), || {
            format!("{runtime}: the hook read {}", left_inside())
        })?;
        let free = with("free")?;
        ensure(left_inside() == "hidden\n", || {
            format!("{runtime} executed no hook: {}", free.tail())
        })?;
        fs::remove_file(format!("{path}/hooked")).doing("remove what it wrote")?;
    }
    fs::remove_file(OTHER).doing("remove the hook")?;
    is_limited(&run(&options("begins"), DEEDS)?)?;
    detach("begins")
}

/// The container's own program where its root directory is the host's, or another that is mounted: by the operator, or
/// because its image has a link where he mounts it. The grant allows the file there by the path that it would have.
pub(super) fn at_the_hosts_root(_: &mut Context) -> Check {
    prepare()?;
    must(&[
        "sh",
        "-c",
        "set -e; cp -a /srv/box /srv/trap; ln -s / /srv/trap/host; cp -a /srv/box /srv/other
         echo secret > /srv/other/bin/secret; echo secret > /usr/bin/secret
         for one in proc dev sys; do mkdir -p /srv/other/$one; mount --rbind --make-slave /$one /srv/other/$one; done
         tar -C /srv/trap -c . | podman import - trap",
    ])?;
    attach(&["--container", "rooted"])?;
    put_hook("createContainer", "#!/bin/sh\nexit 0\n")?;
    for runtime in ["crun", "runc"] {
        for options in [
            "--rootfs /",
            "--volume /:/host trap",
            "--volume /srv/other:/host trap",
        ] {
            let words = format!(
                "podman --runtime {runtime} run --rm --network none --name rooted {options} /bin/cat /bin/secret"
            );
            let ended = process::run(&["sh", "-c", &words])?;
            ensure(ended.code != 0 && ended.stdout.is_empty(), || {
                format!("{runtime} {options}: began there: {}", ended.tail())
            })?;
        }
    }
    let words = super::daemons_words();
    ensure(words.contains("none that its engine made"), || {
        format!("not said why: {words}")
    })?;
    // By such a link crun makes what is mounted the container's root directory.
    for mounted in ["/", "/srv/other"] {
        let words = format!(
            "podman --runtime crun run --rm --network none --volume {mounted}:/host trap /bin/cat /bin/secret"
        );
        let free = process::run(&words.split_whitespace().collect::<Vec<_>>())?;
        ensure(free.stdout == "secret\n", || free.tail())?;
    }
    fs::remove_file("/usr/bin/secret").doing("remove the secret")?;
    must(&[
        "umount",
        "--recursive",
        "/srv/other/proc",
        "/srv/other/dev",
        "/srv/other/sys",
    ])?;
    fs::remove_file(OTHER).doing("remove the hook")?;
    detach("rooted")
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
    // Nor one that was made beside another daemon, which knew of what it is made.
    must(&["podman", "init", "late"])?;
    must(&["systemctl", "restart", "bailiff"])?;
    let started = process::run(&["podman", "start", "--attach", "late"])?;
    ensure(started.code != 0 && started.stdout.is_empty(), || {
        format!("began beside another daemon: {}", started.tail())
    })?;
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
    led_away(keys)?;
    let own = read_app("", "own", "/app/text")?;
    ensure(own.stdout == "text", || {
        format!("{} | {}", own.tail(), super::daemons_words())
    })?;
    let mounted = read_app("--volume /srv/keys:/app", "box", "/app/key")?;
    ensure(mounted.stdout == "key!", || mounted.tail())?;
    detach("linked")
}

/// An image's link in the place where something is mounted: runtimes follow it, to where the grant allows what is there.
fn led_away(keys: &str) -> Check {
    for (image, link) in [("led", "keys"), ("led-above", "x")] {
        must(&[
            "sh",
            "-c",
            &format!(
                "set -e; rm -rf /srv/{image}; cp -a /srv/box /srv/{image}; mkdir /srv/{image}/app
                 ln -s /app /srv/{image}/{link}; tar -C /srv/{image} -c . | podman import - {image}"
            ),
        ])?;
    }
    let tries = [
        (keys, "led", "/app/key"),
        ("--volume /srv/keys:/x/below", "led-above", "/app/below/key"),
    ];
    for (options, image, file) in tries {
        detach("linked")?;
        let free = read_app(options, image, file)?;
        ensure(free.stdout == "key!", || format!("free: {}", free.tail()))?;
        must(&[BAILIFF, "attach", "--container", "linked", "--grant", "app"])?;
        let refused = read_app(options, image, file)?;
        ensure(refused.code != 0 && refused.stdout.is_empty(), || {
            format!("{file} of {image} was read: {}", refused.tail())
        })?;
        let words = super::daemons_words();
        ensure(
            words.contains("a link in its image leads elsewhere"),
            || format!("not said why: {words}"),
        )?;
    }
    Ok(())
}
