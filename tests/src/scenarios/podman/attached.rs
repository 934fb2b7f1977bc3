//! Containers as they are started: what tells them, and what they see.

use std::fs;

use super::{DEEDS, attach, detach, is_free, is_limited, is_refused, prepare, run, volume};
use crate::{
    harness::{
        Check, Doing,
        daemon::BAILIFF,
        ensure, members,
        process::{self, eventually, must},
    },
    scenarios::Context,
};

/// Starts a container that does its deeds and stays; what it says.
fn stay(name: &str, options: &str) -> Check {
    let words =
        format!("podman run --detach --network none --name {name} {options} box /bin/sh -c");
    let mut words = words.split_whitespace().collect::<Vec<_>>();
    let script = format!("{DEEDS}; exec sleep 1000");
    words.push(&script);
    must(&words).map(drop)
}

fn says(name: &str, times: usize) -> Check {
    let logs = || process::run(&["podman", "logs", name]);
    let is_said = || logs().is_ok_and(|ended| ended.stdout.matches("wrote").count() == times);
    eventually("the container has done its deeds", 60, is_said)?;
    is_limited(&logs()?)
}

fn remove(name: &str) -> Check {
    must(&["podman", "rm", "--force", "--time", "0", name]).map(drop)
}

fn sessions() -> Check<String> {
    Ok(must(&[BAILIFF, "ps"])?.stdout)
}

/// What `exec` and a restart find, in a container that runs.
fn goes_on_limited(name: &str, runtime: &str) -> Check {
    let exec = |script: &str| {
        process::run(&[
            "podman",
            "--runtime",
            runtime,
            "exec",
            name,
            "/bin/sh",
            "-c",
            script,
        ])
    };
    is_limited(&exec(DEEDS)?)?;
    let refused = process::run(&["podman", "--runtime", runtime, "exec", name, "/etc/passwd"])?;
    ensure(refused.code != 0, || {
        "a file was executed that may not be".into()
    })?;
    must(&[
        "podman",
        "--runtime",
        runtime,
        "restart",
        "--time",
        "0",
        name,
    ])?;
    says(name, 2)
}

pub(super) fn by_name(_: &mut Context) -> Check {
    prepare()?;
    let path = volume("by-name")?;
    let mounts = format!("--volume {path}:/data");
    let shown = attach(&["--container", "agent-*", "--dry-run"])?;
    ensure(shown.stdout.contains("\"createRuntime\""), || shown.tail())?;
    ensure(
        !fs::exists("/etc/containers/oci/hooks.d/bailiff.json").unwrap_or(true),
        || "a dry run wrote the hook".into(),
    )?;
    attach(&["--container", "agent-*"])?;
    must(&[
        BAILIFF,
        "grant",
        "check",
        "/etc/bailiff/attach.d/container-agent-_.toml",
    ])?;
    stay("agent-1", &mounts)?;
    says("agent-1", 1)?;
    let listed = sessions()?;
    ensure(listed.contains("agent-1"), || listed.clone())?;
    goes_on_limited("agent-1", "crun")?;
    members::agree("after a container was restarted")?;
    // Its health is asked for by a process that podman starts in it.
    let health = [
        "--health-cmd",
        "/bin/cat /etc/secret",
        "--health-interval",
        "disable",
    ];
    let named = [
        "--name",
        "agent-2",
        "--network",
        "none",
        "box",
        "/bin/sleep",
        "1000",
    ];
    must(&[&["podman", "run", "--detach"], &health[..], &named].concat())?;
    let sick = process::run(&["podman", "healthcheck", "run", "agent-2"])?;
    ensure(sick.code != 0, || {
        "a check of its health read what it may not".into()
    })?;
    // One that is not meant is free; so is the host.
    is_free(&run(
        &format!("--network none --name other {mounts}"),
        DEEDS,
    )?)?;
    remove("agent-1")?;
    remove("agent-2")?;
    eventually("its sessions have ended", 20, || {
        sessions().is_ok_and(|listed| !listed.contains("agent-"))
    })?;
    detach("agent-*")?;
    ensure(
        !fs::exists("/etc/containers/oci/hooks.d/bailiff.json").unwrap_or(true),
        || "the hook is left".into(),
    )?;
    is_free(&run(
        &format!("--network none --name agent-3 {mounts}"),
        DEEDS,
    )?)?;
    let written = fs::read_to_string(format!("{path}/new")).doing("read what they wrote")?;
    ensure(written == "from inside\n", || written.clone())
}

/// Scopes of podman's containers; conmon's have longer names.
pub(super) const SCOPES: &str = "/machine.slice/**/libpod-????????????????????????????????????????????????????????????????.scope";

pub(super) fn by_cgroup(_: &mut Context) -> Check {
    prepare()?;
    let path = volume("by-cgroup")?;
    attach(&[SCOPES, "--name", "scopes"])?;
    for runtime in ["crun", "runc"] {
        let name = format!("scoped-{runtime}");
        stay(&name, &format!("--runtime {runtime} --volume {path}:/data"))?;
        says(&name, 1)?;
        goes_on_limited(&name, runtime)?;
    }
    members::agree("after containers of two runtimes were restarted")?;
    // With no daemon nothing is executed of which no name is known, and one that runs stays as it is.
    must(&["systemctl", "stop", "bailiff"])?;
    let refused = run(&format!("--network none --volume {path}:/data"), DEEDS)?;
    ensure(refused.code != 0 && refused.stdout.is_empty(), || {
        refused.tail()
    })?;
    let still = process::run(&["podman", "exec", "scoped-crun", "/bin/sh", "-c", DEEDS])?;
    is_limited(&still)?;
    must(&["systemctl", "start", "bailiff"])?;
    let still = process::run(&["podman", "exec", "scoped-crun", "/bin/sh", "-c", DEEDS])?;
    is_limited(&still)?;
    is_limited(&run(
        &format!("--network none --volume {path}:/data"),
        DEEDS,
    )?)?;
    remove("scoped-crun")?;
    remove("scoped-runc")?;
    detach("scopes")?;
    is_free(&run(
        &format!("--network none --volume {path}:/data"),
        DEEDS,
    )?)
}

pub(super) fn pod(_: &mut Context) -> Check {
    prepare()?;
    let path = volume("pod")?;
    must(&[
        "podman",
        "pod",
        "create",
        "--name",
        "office",
        "--network",
        "none",
    ])?;
    attach(&["--container", "clerk"])?;
    let options = |name: &str| format!("--pod office --name {name} --volume {path}:/data");
    is_limited(&run(&options("clerk"), DEEDS)?)?;
    is_free(&run(&options("boss"), DEEDS)?)?;
    detach("clerk")?;
    must(&["podman", "pod", "stop", "--time", "0", "office"])?;
    // The pod's own program is limited like any.
    attach(&[SCOPES, "--name", "office"])?;
    // podman does not wait for it.
    process::run(&["podman", "pod", "start", "office"])?;
    eventually("the pod's own program is refused", 20, || {
        process::run(&[BAILIFF, "events"]).is_ok_and(|said| said.stdout.contains("/catatonit"))
    })?;
    must(&["podman", "pod", "stop", "--time", "0", "office"])?;
    let grant = super::GRANT.replace("\"/bin/**\",", "\"/bin/**\", \"/catatonit\",");
    fs::write("/etc/bailiff/grants/box.toml", grant).doing("write a grant")?;
    must(&[BAILIFF, "attachments", "--reload"])?;
    must(&["podman", "pod", "start", "office"])?;
    for name in ["clerk", "boss"] {
        is_limited(&run(&options(name), DEEDS)?)?;
    }
    must(&["podman", "pod", "rm", "--force", "--time", "0", "office"])?;
    fs::write("/etc/bailiff/grants/box.toml", super::GRANT).doing("write a grant")?;
    detach("office")
}

pub(super) fn mounts(_: &mut Context) -> Check {
    prepare()?;
    let path = volume("mounts")?;
    fs::write("/srv/extra", "more\n").doing("write a file")?;
    attach(&["--container", "mounted"])?;
    let options = format!(
        "--name mounted --network host --volume {path}:/data --volume {path}:/kept:ro --tmpfs /scratch \
         --volume /srv/extra:/etc/extra:ro"
    );
    let script =
        "cat /etc/hosts >/dev/null && echo hosts; cat /etc/resolv.conf >/dev/null && echo resolv
                  cat /etc/extra; echo x > /scratch/file; cat /kept/note; echo x > /kept/note
                  echo quiet > /dev/null && echo null; cat /proc/cmdline >/dev/null && echo cmdline
                  cat /proc/keys; echo x > /proc/sys/kernel/hostname; cat /proc/self/environ";
    let ended = run(&options, script)?;
    let said = || {
        format!(
            "{} | {} | {}",
            ended.stdout,
            ended.stderr,
            super::daemons_words()
        )
    };
    // A volume that is there twice has the name of the shorter path.
    for word in ["hosts\n", "resolv\n", "null\n", "cmdline\n", "a note\n"] {
        ensure(ended.stdout.contains(word), || {
            format!("no {word}: {}", said())
        })?;
    }
    for (place, why) in [
        ("/etc/extra", "denied"),
        ("/scratch/file", "denied"),
        ("/kept/note", "Read-only"),
        ("/proc/self/environ", "denied"),
        ("/proc/sys/kernel/hostname", ""),
    ] {
        let mut lines = ended.stderr.lines();
        let refused = lines.any(|line| line.contains(place) && line.contains(why));
        ensure(refused, || format!("{place} was not refused: {}", said()))?;
    }
    ensure(!ended.stdout.contains("keyring"), said)?;
    let free = run(
        &options.replace("mounted", "unmounted"),
        "cat /etc/extra /kept/note",
    )?;
    ensure(free.stdout == "more\na note\n", || free.tail())?;
    detach("mounted")
}

pub(super) fn refusing(_: &mut Context) -> Check {
    prepare()?;
    let path = volume("refusing")?;
    let options = format!("--name refusing --network none --volume {path}:/data");
    attach(&["--container", "refusing"])?;
    is_limited(&run(&options, DEEDS)?)?;
    // The grant has a mistake by now.
    let grant = "/etc/bailiff/grants/box.toml";
    fs::write(
        grant,
        "version = 1\nname = \"box\"\n[[file]]\nallow = [\"raed\"]\n",
    )
    .doing("spoil the grant")?;
    is_refused(
        &run(&options, DEEDS)?,
        "does not start: it is to be under the grant box",
    )?;
    is_free(&run(&options.replace("refusing ", "else "), DEEDS)?)?;
    fs::write(grant, super::GRANT).doing("mend the grant")?;
    // No daemon: who is attached does not start, and everybody else does.
    must(&["systemctl", "stop", "bailiff"])?;
    is_refused(&run(&options, DEEDS)?, "does not start")?;
    is_free(&run(&options.replace("refusing ", "else "), DEEDS)?)?;
    must(&["systemctl", "start", "bailiff"])?;
    is_limited(&run(&options, DEEDS)?)?;
    // A container without a cgroup of its own would bring others under the grant.
    let shared = run(&format!("{options} --cgroups=disabled"), DEEDS)?;
    is_refused(&shared, "does not start")?;
    // Nothing of it would be executed, and no label take force. crun itself asks for its library first.
    let handled = format!("--runtime runc {options} --annotation module.wasm.image/variant=compat");
    is_refused(&run(&handled, DEEDS)?, "execute nothing")?;
    // A file with a mistake may be for it.
    let file = "/etc/bailiff/attach.d/0.toml";
    fs::write(file, "container = \"re\ngrant = \"box\"\n").doing("write a bad attachment")?;
    is_refused(&run(&options, DEEDS)?, file)?;
    fs::remove_file(file).doing("remove it")?;
    is_limited(&run(&options, DEEDS)?)?;
    detach("refusing")
}
