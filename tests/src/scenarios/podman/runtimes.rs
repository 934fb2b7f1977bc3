//! Runtimes that know no hooks, and containers of users.

use std::{fs, os::unix::fs::symlink};

use super::{DEEDS, attach, detach, is_free, is_limited, is_refused, prepare, run, volume};
use crate::{
    harness::{
        Check, Doing, ensure,
        process::{self, must, shell},
    },
    scenarios::Context,
};

const IN_FRONT: &str = "/usr/local/bin/bailiff-runc";

pub(super) fn in_front(_: &mut Context) -> Check {
    prepare()?;
    let path = volume("in-front")?;
    let _ = fs::remove_file(IN_FRONT);
    symlink("/usr/bin/bailiff", IN_FRONT).doing("make a link")?;
    // A bundle as runc writes it, with a volume.
    let bundle = "/srv/bundle";
    let edit = r#".root.path = "/srv/box" | .root.readonly = false | .process.terminal = false
        | .process.args = ["/bin/sh", "-c", env.DEEDS] | .linux.namespaces |= map(select(.type != "network"))
        | .mounts += [{"destination": "/data", "type": "bind", "source": env.DATA, "options": ["bind"]}]"#;
    shell(&format!(
        "set -e; rm -rf {bundle}; mkdir -p {bundle}; cd {bundle}; runc spec
         DEEDS='{DEEDS}' DATA={path} jq '{edit}' config.json > new; mv new config.json"
    ))
    .and_then(|ended| ensure(ended.code == 0, || ended.tail()))?;
    attach(&["--container", "bundled"])?;
    is_limited(&process::run(&[
        IN_FRONT, "run", "--bundle", bundle, "bundled",
    ])?)?;
    is_free(&process::run(&[
        IN_FRONT,
        "run",
        "--bundle",
        bundle,
        "unbundled",
    ])?)?;
    let version = process::run(&[IN_FRONT, "--version"])?;
    ensure(version.stdout.contains("runc version"), || version.tail())?;
    // The hook stands in the bundle by now, and holds without the daemon.
    must(&["systemctl", "stop", "bailiff"])?;
    is_refused(
        &process::run(&[IN_FRONT, "run", "--bundle", bundle, "bundled"])?,
        "does not start",
    )?;
    must(&["systemctl", "start", "bailiff"])?;
    // podman with the runtime, and without its own hook.
    fs::remove_file("/etc/containers/oci/hooks.d/bailiff.json").doing("remove the hook")?;
    let options = format!("--network none --name bundled --volume {path}:/data");
    is_free(&run(&options, DEEDS)?)?;
    let words = format!("podman --runtime {IN_FRONT} run --rm {options} box /bin/sh -c");
    let words = words.split_whitespace().chain([DEEDS]).collect::<Vec<_>>();
    is_limited(&process::run(&words)?)?;
    detach("bundled")?;
    fs::remove_file(IN_FRONT).doing("remove the link")
}

/// podman as the user `agent`, in a unit of his.
fn as_user(unit: &str, words: &str) -> Check<process::Ended> {
    let whole = format!(
        "systemd-run --quiet --wait --pipe --collect --unit={unit} --uid=agent --property=Delegate=yes \
         --setenv=HOME=/home/agent --setenv=XDG_RUNTIME_DIR=/run/user/1000 \
         podman --cgroup-manager=cgroupfs {words}"
    );
    process::run(&["bash", "-c", &whole])
}

pub(super) fn rootless(_: &mut Context) -> Check {
    prepare()?;
    let path = volume("rootless")?;
    shell(&format!(
        "mkdir -p /run/user/1000; chown agent: /run/user/1000 {path}; chmod 700 /run/user/1000"
    ))?;
    shell("tar -C /srv/box -c . > /run/box.tar; chmod 644 /run/box.tar")?;
    let made = as_user("setup", "import /run/box.tar box")?;
    ensure(made.code == 0, || made.tail())?;
    let options = format!("run --rm --network none --volume {path}:/data box /bin/sh -c '{DEEDS}'");
    is_free(&as_user("users", &options)?)?;
    // Which container of a user's it is, nobody but he says.
    attach(&["--container", "*"])?;
    is_refused(
        &as_user("users", &options)?,
        "a user's own container cannot be told by name",
    )?;
    detach("*")?;
    attach(&["--container", "somebody-else"])?;
    is_free(&as_user("users", &options)?)?;
    // What he may not read keeps nothing of his.
    shell("chmod 700 /etc/bailiff/attach.d")?;
    is_free(&as_user("users", &options)?)?;
    shell("chmod 755 /etc/bailiff/attach.d")?;
    detach("somebody-else")
}
