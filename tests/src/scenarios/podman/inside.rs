//! podman that a session starts itself, without root on the host.

use std::fs;

use super::prepare;
use crate::{
    harness::{
        Check, Doing,
        daemon::BAILIFF,
        ensure, events,
        process::{self, Ended, must, shell},
    },
    scenarios::Context,
};

const GRANT: &str = r#"
version = 1
name = "inner"
include = ["coder"]

[[file]]
id = "podman"
allow = ["read", "list"]
path = ["/etc/containers/**"]

[kernel]
containers = true
"#;

/// What a session cannot have: cgroups, keys, settings of a network, a network.
const SETTINGS: &str = r#"
[containers]
cgroups = "disabled"
default_sysctls = []
keyring = false
log_driver = "k8s-file"
netns = "none"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
"#;

const WORK: &str = "/srv/inner";

/// Says what podman is to find: directories of its own, and nobody's ranges of users, which only the set-user-id program
/// `newuidmap` could map. So it maps one user, as where a host has no such ranges.
const SET_UP: &str = "
echo $BAILIFF_SESSION
exec unshare -Urmpf --mount-proc sh -c '
    mount -t tmpfs none /run && mkdir /run/user
    for file in /etc/subuid /etc/subgid; do mount --bind /dev/null $file; done
    exec unshare -U --map-user=1000 --map-group=1000 sh ./commands'
";

const PODMAN: &str = r#"
unset TMPDIR
export CONTAINERS_CONF=$PWD/containers.conf XDG_RUNTIME_DIR=/run/user XDG_CONFIG_HOME=$PWD/settings XDG_DATA_HOME=$PWD/data XDG_CACHE_HOME=$PWD/cache
podman() {
    command podman --root $PWD/$driver --storage-driver $driver --storage-opt $driver.ignore_chown_errors=true "$@"
}
driver=vfs
"#;

/// What the commands say in a session of the user's, and its name.
fn inside(before: &[&str], commands: &str) -> Check<(String, Ended)> {
    fs::write(format!("{WORK}/commands"), format!("{PODMAN}{commands}")).doing("write commands")?;
    let session = [
        BAILIFF, "run", "--quiet", "--grant", "inner", "--", "sh", "-c", SET_UP,
    ];
    let words = [before, &session].concat();
    let ended = process::run_with(&words, &mut |command| {
        command.current_dir(WORK);
    })?;
    let session = ended.stdout.lines().next().unwrap_or_default().to_owned();
    Ok((session, ended))
}

pub(super) fn rootless(_: &mut Context) -> Check {
    prepare()?;
    fs::write("/etc/bailiff/grants/inner.toml", GRANT).doing("write a grant")?;
    shell(&format!(
        "getent group bailiff || groupadd --system --gid 900 bailiff; rm -rf {WORK}; mkdir -p {WORK} /srv/kept
         echo hidden > /srv/kept/secret; tar -C /srv/box -c . > {WORK}/box.tar"
    ))?;
    for (user, before) in [
        (
            "agent",
            "setpriv --reuid=1000 --regid=1000 --groups=900 env HOME=/home/agent",
        ),
        ("root", "env HOME=/root"),
    ] {
        shell(&format!(
            "rm -rf {WORK}/vfs {WORK}/settings {WORK}/data {WORK}/cache; mkdir {WORK}/settings {WORK}/data"
        ))?;
        fs::write(format!("{WORK}/containers.conf"), SETTINGS).doing("write settings")?;
        must(&["chown", "-R", &format!("{user}:"), WORK])?;
        let before = before.split_whitespace().collect::<Vec<_>>();
        let (session, ended) = inside(
            &before,
            "podman import box.tar box && podman run --rm -v $PWD:/data box /bin/sh -c \
                 'echo made by $$ > /data/made && cat /data/made'
             podman run --rm -v /srv/kept:/data box /bin/cat /data/secret",
        )?;
        let said = format!("{}{}", ended.stdout, ended.stderr);
        ensure(said.contains("made by 1\n"), || format!("{user}: {said}"))?;
        ensure(!said.contains("hidden"), || {
            format!("{user} read it: {said}")
        })?;
        is_told(&session, "file.read", "/srv/kept/secret")?;
        // Where it has to be another driver, it is said why.
        let (session, ended) = inside(&before, "driver=overlay; podman import box.tar box")?;
        ensure(ended.code != 0, || format!("{user} mounted an overlay"))?;
        is_told(&session, "kernel.mount", "")?;
        let why = must(&[BAILIFF, "why", "--session", &session])?.stdout;
        ensure(why.contains("--storage-driver vfs"), || why)?;
    }
    Ok(())
}

fn is_told(session: &str, right: &str, object: &str) -> Check {
    let all = events::of(session)?;
    let is_it = |event: &events::Event| event.right == right && event.names(object);
    ensure(all.iter().any(is_it), || {
        let all = all.iter().map(events::Event::brief).collect::<Vec<_>>();
        format!("no {right} of {object} among {}", all.join("; "))
    })
}
