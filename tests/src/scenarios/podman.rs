//! Containers that podman starts, attached from outside.

mod attached;
mod beginnings;
mod images;
mod inside;
mod raced;
mod runtimes;
mod sources;

use std::fs;

use super::{Single, systemd};
use crate::harness::{
    Check, Doing,
    daemon::BAILIFF,
    ensure,
    process::{self, Ended, must, shell},
};

pub(crate) fn scenarios() -> Vec<Single> {
    let new = |name, run| Single::new("podman", name, run).alone();
    // What podman, its runtimes and the daemon make of it, which does not differ by kernel.
    let once = |name, run| new(name, run).once();
    vec![
        new(
            "a container by its name is limited by what it sees, at its start, by exec and when it is restarted",
            attached::by_name,
        ),
        new(
            "containers by a pattern of cgroups are limited whichever runtime starts them",
            attached::by_cgroup,
        ),
        once(
            "a pod's containers are limited each by its own grant, or all by that of the pod's cgroup",
            attached::pod,
        ),
        once(
            "volumes, read-only binds, files of podman's and what of /proc is masked have the container's names",
            attached::mounts,
        ),
        once(
            "a container whose grant cannot be put in force does not start, and says why",
            attached::refusing,
        ),
        once(
            "an image and an annotation tell a container, and a name counts before them",
            images::told_by,
        ),
        once(
            "a container whose image may have other names does not start where one is attached by its image",
            images::elsewhere,
        ),
        new(
            "an image that has its runtime executed gets nothing by it",
            images::hostile,
        ),
        new(
            "a hook that is executed where the root directory is the host's still is itself, and nobody else is",
            beginnings::hooked,
        ),
        new(
            "a container whose root directory is the host's, or what its image has mounted over it, does not start",
            beginnings::at_the_hosts_root,
        ),
        once(
            "a container that was made beside a daemon and starts beside none executes nothing",
            beginnings::started_without_daemon,
        ),
        once(
            "what exec starts before a container's first process, or while both wait, is no hook that sets it up",
            raced::exec_beside_start,
        ),
        once(
            "a link of an image leads into it, and not to what is mounted there",
            beginnings::linked,
        ),
        once(
            "a link that a session made where a volume of its container begins is not followed at the next start",
            sources::linked,
        ),
        once(
            "runc in a bundle, and podman, have `bailiff-runc` limit what is attached",
            runtimes::in_front,
        ),
        once(
            "a user's own container that an attachment is for does not start, and every other does",
            runtimes::rootless,
        ),
        once(
            "podman that a session starts itself works in a namespace of the session's, and reaches nothing more",
            inside::rootless,
        ),
    ]
}

/// What agents may do in containers here.
const GRANT: &str = r#"
version = 1
name = "box"

[[file]]
id = "programs"
allow = ["read", "exec", "list"]
path = ["/bin/**", "/etc/passwd", "/etc/hosts", "/etc/resolv.conf", "/proc/cmdline"]

[[file]]
id = "data"
allow = ["read", "write", "create", "list"]
path = ["/data/**", "/dev/null"]
"#;

const PROGRAMS: &str = "sh cat ls sleep echo head mount ln mknod true";

/// The daemon, the grant, and an image of busybox, in which `/bin` is a directory: the host's is a link.
fn prepare() -> Check {
    systemd::start_daemon()?;
    fs::create_dir_all("/etc/bailiff/grants").doing("make a directory")?;
    fs::write("/etc/bailiff/grants/box.toml", GRANT).doing("write a grant")?;
    if process::run(&["podman", "image", "exists", "box"])?.code == 0 {
        return Ok(());
    }
    shell(&format!(
        "set -e; mkdir -p /srv/box/bin /srv/box/etc /srv/box/data /srv/box/tmp
         cp /usr/bin/busybox /srv/box/bin; for one in {PROGRAMS}; do ln -s busybox /srv/box/bin/$one; done
         echo hidden > /srv/box/etc/secret; echo root:x:0:0::/:/bin/sh > /srv/box/etc/passwd
         tar -C /srv/box -c . | podman import - box"
    ))
    .and_then(|ended| ensure(ended.code == 0, || ended.tail()))
}

/// Attaches by these words.
fn attach(words: &[&str]) -> Check<Ended> {
    let whole = [&[BAILIFF, "attach"], words, &["--grant", "box"]].concat();
    must(&whole)
}

fn detach(name: &str) -> Check {
    must(&[BAILIFF, "detach", name]).map(drop)
}

/// Runs a container to its end.
fn run(options: &str, script: &str) -> Check<Ended> {
    let mut words = vec!["podman", "run", "--rm"];
    words.extend(options.split_whitespace());
    words.extend(["box", "/bin/sh", "-c", script]);
    process::run(&words)
}

/// A secret that no rule grants, and a file that one does.
const DEEDS: &str = "cat /etc/secret; cat /data/note; echo from inside > /data/new && echo wrote";

/// That the deeds were done as far as the grant goes.
fn is_limited(ended: &Ended) -> Check {
    let said = format!("{}{}", ended.stdout, ended.stderr);
    let holds = said.contains("/etc/secret': Permission denied")
        && !said.contains("hidden")
        && said.contains("a note")
        && said.contains("wrote");
    ensure(holds, || {
        format!("expected it limited, saw {} | {}", said, daemons_words())
    })
}

/// That nothing kept them from being done.
fn is_free(ended: &Ended) -> Check {
    let holds = ended.stdout.contains("hidden") && ended.stdout.contains("wrote");
    ensure(holds, || format!("expected it free, saw {}", ended.tail()))
}

/// That nothing of it ran, and that it was said why: by the runtime, or where that drops what hooks say, in the
/// journal.
fn is_refused(ended: &Ended, why: &str) -> Check {
    let words = [
        "journalctl",
        "--identifier=bailiff",
        "--no-pager",
        "--output=cat",
        "--lines=3",
    ];
    let told = || process::run(&words).is_ok_and(|said| said.stdout.contains(why));
    let holds = ended.code != 0 && ended.stdout.is_empty();
    ensure(holds && (ended.stderr.contains(why) || told()), || {
        format!(
            "expected it refused because of `{why}`, saw {}",
            ended.tail()
        )
    })
}

fn daemons_words() -> String {
    let words = [
        "journalctl",
        "--identifier=bailiff",
        "--no-pager",
        "--output=cat",
        "--lines=12",
    ];
    process::run(&words).map_or_else(|error| error, |ended| ended.stdout)
}

/// A directory of the host to be mounted as `/data`, with what is in it.
fn volume(name: &str) -> Check<String> {
    let path = format!("/srv/{name}");
    fs::create_dir_all(&path).doing("make a volume")?;
    fs::write(format!("{path}/note"), "a note\n").doing("write a note")?;
    Ok(path)
}
