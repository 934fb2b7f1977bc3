//! `podman exec` while a container's first process waits for the daemon, in front of its program.

use std::{
    fs,
    process::{Child, Command, Stdio},
};

use super::{
    DEEDS, attach,
    beginnings::{OTHER, READS, put_hook},
    detach, is_limited, prepare, volume,
};
use crate::{
    harness::{
        Check, Doing, ensure,
        process::{self, Ended, cgroup_of, eventually, finish, must},
    },
    scenarios::Context,
};

/// What nobody of a container may write, as it is called where the host's root directory is that of the container.
const ESCAPED: &str = "/srv/escaped";

/// The daemon, which looks after nobody until this is dropped.
struct Stopped(String);

impl Stopped {
    fn daemon() -> Check<Self> {
        let words = ["systemctl", "show", "--property=MainPID", "--value"];
        let pid = must(&[&words[..], &["bailiff"]].concat())?.stdout;
        let pid = pid.trim().to_owned();
        must(&["kill", "-STOP", &pid])?;
        Ok(Self(pid))
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = process::run(&["kill", "-CONT", &self.0]);
    }
}

/// How many in a cgroup have stopped.
fn waiting(cgroup: &str) -> usize {
    let is_stopped = |pid: &str| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ")
            .is_some_and(|(_, state)| state.starts_with('T'))
    };
    let all = fs::read_to_string(format!("/sys/fs/cgroup{cgroup}/cgroup.procs"));
    let all = all.unwrap_or_default();
    all.lines().filter(|pid| is_stopped(pid)).count()
}

fn begin(words: &[&str]) -> Check<Child> {
    let mut command = Command::new("podman");
    command
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().doing("start podman")
}

/// What the first process of a container that was made beside a daemon does, and one that `podman exec` starts beside
/// it: both wait for that daemon at once.
fn race(script: &str) -> Check<(Ended, Ended)> {
    let shown = ["podman", "inspect", "--format", "{{.State.Pid}}", "raced"];
    let cgroup = cgroup_of(must(&shown)?.stdout.trim())?;
    let stopped = Stopped::daemon()?;
    let first = begin(&["start", "--attach", "raced"])?;
    eventually("the first process waits", 12, || waiting(&cgroup) == 1)?;
    let other = begin(&["exec", "raced", "/bin/sh", "-c", script])?;
    eventually("the other one waits too", 12, || waiting(&cgroup) == 2)?;
    drop(stopped);
    let other = finish(other, "podman exec")?;
    must(&["podman", "rm", "--force", "--time", "0", "raced"])?;
    Ok((finish(first, "podman start")?, other))
}

pub(super) fn exec_beside_start(_: &mut Context) -> Check {
    prepare()?;
    must(&[
        "sh",
        "-c",
        "set -e; rm -rf /srv/raced; cp -a /srv/box /srv/raced; ln -s / /srv/raced/host
         tar -C /srv/raced -c . | podman import - raced",
    ])?;
    attach(&["--container", "raced"])?;
    put_hook("createContainer", READS)?;
    let path = volume("raced-data")?;
    let escapes = format!("echo began; echo out > {ESCAPED}; exec sleep 1000");
    let make = |name: &str, options: &str, script: &str| {
        let words = format!("podman create --network none --name {name} {options} /bin/sh -c");
        let mut words = words.split_whitespace().collect::<Vec<_>>();
        words.push(script);
        must(&words)?;
        must(&["podman", "init", name])?;
        // The hook was itself.
        let hooked = fs::read_to_string("/srv/hooked").doing("read what the hook left")?;
        fs::remove_file("/srv/hooked").doing("remove it")?;
        ensure(hooked.contains("root:"), || {
            format!("it was refused: {}", super::daemons_words())
        })
    };
    // Its image has the host's root directory mounted over its own, where hooks are executed.
    let trap = "--runtime crun --volume /:/host raced";
    make("free", trap, "exec sleep 1000")?;
    must(&["podman", "start", "free"])?;
    let free = ["podman", "exec", "free", "/bin/sh", "-c"];
    must(&[&free[..], &[&format!("echo out > {ESCAPED}")]].concat())?;
    fs::remove_file(ESCAPED).doing("remove what got out")?;
    must(&["podman", "rm", "--force", "--time", "0", "free"])?;
    make("raced", trap, &escapes)?;
    let is_refused = |ended: &Ended| {
        ensure(ended.code != 0 && ended.stdout.is_empty(), || {
            format!("began at the host's root directory: {}", ended.tail())
        })
    };
    // By the runtime itself, before there is a first process that waits; and beside that.
    let id = must(&["podman", "inspect", "--format", "{{.Id}}", "raced"])?.stdout;
    let early = ["crun", "--root", "/run/crun", "exec", id.trim()];
    let out = format!("echo out > {ESCAPED}; echo began");
    is_refused(&process::run(
        &[&early[..], &["/bin/sh", "-c", &out]].concat(),
    )?)?;
    let (first, other) = race(&escapes)?;
    is_refused(&first)?;
    is_refused(&other)?;
    ensure(!fs::exists(ESCAPED).unwrap_or(true), || {
        format!("one of them wrote: {}", super::daemons_words())
    })?;
    // In its own root directory both are what the grant makes them.
    make(
        "raced",
        &format!("--volume {path}:/data box"),
        &format!("{DEEDS}; exec sleep 1000"),
    )?;
    let (first, other) = race(DEEDS)?;
    is_limited(&first)?;
    is_limited(&other)?;
    let written = fs::read_to_string(format!("{path}/new")).doing("read what they wrote")?;
    ensure(written == "from inside\n", || written.clone())?;
    fs::remove_file(OTHER).doing("remove the hook")?;
    detach("raced")
}
