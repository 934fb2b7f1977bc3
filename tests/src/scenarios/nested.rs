//! Sandboxes and containers that a session makes itself: they work, and nothing that a session may not do can be
//! done from within one.

use std::{fs, process::Command};

use super::{
    Context, Single,
    lifecycle::{Scene, scene},
    mounts::Undo,
};
use crate::{
    acts::SECRET,
    harness::{
        Check, Doing, ensure, events,
        matrix::fixture_grant,
        process::{self, Background, shell},
        session::{Launch, Shell},
    },
};

pub(crate) fn scenarios() -> Vec<Single> {
    let new = |name, run| Single::new("nested", name, run);
    vec![
        new("sandboxes that agents use work", work),
        new("a sandbox of a session's own reaches nothing more", hold),
        new("without `containers` there is no sandbox", shut),
    ]
}

const PROBE: &str = include_str!("nested/probe.py");

const CONTAINERS: &str = "\n[kernel]\ncontainers = true\n";

/// A session may see the directories that its sandboxes are put together in.
const SEEN: &str = "
[[file]]
id = \"seen\"
allow = [\"list\"]
path = [\"/*\", \"/srv\"]
";

/// In a user and a mount namespace, beside the processes of the host.
const BESIDE: &str = "unshare -Urm";
/// In every namespace that there is.
const APART: &str = "unshare -UrmpfniuC --mount-proc";
/// As bubblewrap is used by agents, which take the capabilities away.
const BUBBLE: &str = "bwrap --unshare-all --new-session --die-with-parent --ro-bind / / --bind /w /w \
    --proc /proc --dev /dev --tmpfs /tmp --";
const BUBBLE_WITH_CAPABILITIES: &str = "bwrap --unshare-all --uid 0 --gid 0 --cap-add ALL --bind / / \
    --dev-bind /dev /dev --proc /proc --tmpfs /tmp --";

/// The session's user: root, and one without privileges.
const USERS: [(&str, &str); 2] = [
    ("root", ""),
    (
        "agent",
        "setpriv --reuid=1000 --regid=1000 --groups=900 env HOME=/home/agent",
    ),
];

struct Sandboxes {
    scene: Scene,
    _undo: Undo,
}

impl Sandboxes {
    fn prepare(name: &str, opened: &str) -> Check<Self> {
        let mut scene = scene(name)?;
        let grant = format!("{}{SEEN}{opened}", fixture_grant());
        scene.launch = scene.world.launch(name, &grant)?;
        scene.launch.home = None;
        shell(&format!(
            "grep -q '^bailiff:' /etc/group || echo bailiff:x:900: >> /etc/group
             mkdir -p /srv/outside/nested /w/at; chmod 1777 /w /w/at
             echo {SECRET} > /srv/outside/nested/secret; echo open > /srv/reference/nested
             chmod 644 /srv/outside/nested/secret /srv/reference/nested
             python3 -c 'import ctypes; ctypes.CDLL(None).shmget(0x6e657374, 4096, 0o1666)'
             rm -f /w/program /w/probe.py; cp /usr/bin/true /w/program; touch /w/foreign /w/network"
        ))?;
        fs::write("/w/probe.py", PROBE).doing("write the probe")?;
        Ok(Self {
            scene,
            _undo: Undo(
                "ipcrm -M 0x6e657374; umount /w/foreign /w/network; rm -rf /w/at /w/probe.py /w/program /w/foreign /w/network",
            ),
        })
    }

    fn shell(&self, before: &str) -> Check<Shell> {
        let before = before.split_whitespace().map(str::to_owned);
        Shell::start(&Launch {
            before: before.collect(),
            ..self.scene.launch.clone()
        })
    }
}

fn work(_: &mut Context) -> Check {
    let sandboxes = Sandboxes::prepare("nested-work", CONTAINERS)?;
    for (user, before) in USERS {
        let mut inside = sandboxes.shell(before)?;
        for act in [
            "unshare -Ur id -u",
            "unshare -Urm sh -c 'mount -t tmpfs none /mnt && echo x > /mnt/f && rm /mnt/f'",
            "unshare -Urmpf --mount-proc sh -c 'test $$ = 1 && test -d /proc/1 && ls /proc >/dev/null'",
            "unshare -Urn sh -c 'ip link set lo up && ip addr show lo | grep -q 127.0.0.1'",
            "unshare -Uru sh -c 'hostname nested && test $(hostname) = nested'",
            "unshare -UrT --monotonic 100 true",
            "unshare -UrmpfniuC --mount-proc true",
            // Within one another.
            "unshare -Urm unshare -Urm unshare -Urmpf --mount-proc sh -c 'mount -t tmpfs none /mnt'",
            &format!(
                "{BUBBLE} sh -c 'echo > /tmp/x && echo mine > /w/{user}-made && ls /dev/null /dev/ptmx'"
            ),
            &format!("{BUBBLE_WITH_CAPABILITIES} sh -c 'mount -t tmpfs none /mnt'"),
            // A terminal in it.
            "bwrap --unshare-user --unshare-pid --ro-bind / / --proc /proc --dev /dev script -qc tty /dev/null",
            // Entered from outside.
            "unshare -Urm sleep 5 & sleep 1; nsenter -t $! -U -m --preserve-credentials id -u; r=$?; kill $!; (exit $r)",
        ] {
            inside
                .may(act)
                .map_err(|error| format!("{user}: {error} {}", refusals(&inside.session)))?;
        }
        // The same is refused there as without.
        for sandbox in [BESIDE, APART, BUBBLE] {
            inside.may_not(&format!("{sandbox} cat {}", sandboxes.scene.secret))?;
        }
    }
    let seen = shell(
        "ls -A /mnt; cat /proc/sys/kernel/hostname; grep -c ' /mnt ' /proc/self/mountinfo || true",
    )?;
    ensure(
        seen.stdout.lines().last() == Some("0") && !seen.stdout.contains("nested"),
        || format!("outside there is {}", seen.stdout),
    )
}

fn refusals(session: &str) -> String {
    let events = events::of(session).unwrap_or_default();
    let last = events.iter().rev().take(6).map(events::Event::brief);
    format!("({})", last.collect::<Vec<_>>().join("; "))
}

fn hold(_: &mut Context) -> Check {
    let sandboxes = Sandboxes::prepare("nested-hold", CONTAINERS)?;
    for (user, before) in USERS {
        // Somebody of the same user outside, one of them in a user namespace.
        let mut words = before.split_whitespace().collect::<Vec<_>>();
        words.extend(["sleep", "1000"]);
        let victim = Background::start(&mut outside(&words))?;
        words.truncate(words.len() - 2);
        words.extend(["unshare", "--user", "--net", "sleep", "1000"]);
        let foreign = Background::start(&mut outside(&words))?;
        let foreign_pid = foreign.pid();
        process::eventually("the other user namespace is there", 10, || {
            let of = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/user")).ok();
            of(foreign_pid) != of(victim.pid())
        })?;
        shell(&format!(
            "umount /w/foreign /w/network 2>/dev/null || true
             mount --bind /proc/{foreign_pid}/ns/user /w/foreign; mount --bind /proc/1/ns/net /w/network"
        ))?;
        // What systemd mounts them with.
        shell("mount -o remount,nsdelegate,memory_recursiveprot /sys/fs/cgroup")?;
        let before_it = state()?;
        let mut inside = sandboxes.shell(before)?;
        for (sandbox, what, capabilities) in [
            (BESIDE, "host", "caps"),
            (APART, "files", "caps"),
            (BUBBLE, "files", "none"),
            (BUBBLE_WITH_CAPABILITIES, "files", "caps"),
            ("unshare -Urm unshare -Urm", "host", "caps"),
        ] {
            let probe = format!(
                "{sandbox} python3 /w/probe.py {what} {} {foreign_pid} {capabilities}",
                victim.pid()
            );
            let said = inside
                .may(&probe)
                .map_err(|error| format!("{user}: {error} {}", refusals(&inside.session)))?;
            ensure(said.contains("tried") && !said.contains("WRONG"), || {
                format!(
                    "{user} in `{sandbox}`: {said} {}",
                    refusals(&inside.session)
                )
            })?;
        }
        let after = state()?;
        ensure(before_it == after, || {
            format!("{user}: {before_it} became {after}")
        })?;
        ensure(is_alive(victim.pid()) && is_alive(foreign_pid), || {
            "a victim died".into()
        })?;
        drop(inside);
        // Without a session the kernel lets the same be done in such namespaces.
        let mut free = before.split_whitespace().collect::<Vec<_>>();
        free.extend(BESIDE.split_whitespace());
        free.extend(["python3", "/w/probe.py", "free", "0", "0", "caps"]);
        let said = process::must(&free)?.stdout;
        ensure(said.contains("tried") && !said.contains("WRONG"), || {
            format!("{user} unconfined: {said}")
        })?;
    }
    Ok(())
}

/// A command in no session.
fn outside(words: &[&str]) -> Command {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env_remove("BAILIFF_SESSION");
    command
}

fn is_alive(pid: i32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok()
}

/// What the acts are about, as the host has it.
fn state() -> Check<String> {
    let told = shell(
        "cat /proc/sys/kernel/core_pattern /proc/sys/kernel/hostname /proc/sys/net/ipv4/ip_forward \
            /sys/kernel/mm/ksm/run /srv/outside/nested/secret
         ip -o link show lo | grep -o 'UP,LOWER_UP'
         stat -c %a /w/program; getfattr -d -m - /w/program
         ls /sys/fs/cgroup | grep -c nested || true; grep -v ' /w/' /proc/self/mountinfo; ls -A /mnt",
    );
    Ok(told?.stdout)
}

fn shut(_: &mut Context) -> Check {
    let sandboxes = Sandboxes::prepare("nested-shut", "")?;
    let mut inside = sandboxes.shell("")?;
    for sandbox in [BESIDE, APART] {
        inside.may_not(&format!("{sandbox} true"))?;
    }
    let (code, said) = inside.run(&format!("{BUBBLE} true"))?;
    ensure(code != 0, || format!("bwrap ended with {code}: {said}"))?;
    inside.may_not("cat /proc/self/ns/net")?;
    let events = events::of(&inside.session)?;
    ensure(
        events.iter().any(|event| event.right == "kernel.namespace"),
        || refusals(&inside.session),
    )
}
