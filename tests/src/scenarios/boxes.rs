//! What comes to a mount namespace of its own with an armed label: filesystems that the session never saw are
//! known by the names that they have there, and the program waits for that.

mod set_up;

use std::{
    fs,
    io::{self, BufRead},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

pub(crate) use set_up::become_box;

use super::{
    Context, Single,
    armed::arm,
    lifecycle::{Scene, scene},
    mounts::{Undo, grant},
    who::{make_cgroup, remove_cgroup, untag},
};
use crate::{
    acts::SECRET,
    harness::{
        Check, Doing,
        daemon::Daemon,
        ensure, events,
        process::{self, Background, Ended, eventually},
    },
};

pub(crate) fn scenarios() -> Vec<Single> {
    let new = |name, run| Single::new("boxes", name, run);
    vec![
        new(
            "filesystems of a mount namespace of its own have the names that they have there",
            own_filesystems,
        ),
        new(
            "a root of its own is known as such, and a volume by where the session saw it first",
            own_root,
        ),
        new("what a box is set up with later has no name", later),
        new(
            "what a session mounted has no name for who comes there later",
            by_session,
        ),
        new(
            "with the daemon dead nobody waits, and what has no name is refused",
            dead_daemon,
        ),
        new(
            "who waits for a daemon that died goes on with the next one, and not before",
            next_daemon,
        ),
    ]
}

/// A daemon that hangs is given up by then.
const FORGOTTEN: Duration = Duration::from_secs(18);

/// Everywhere, so that a process there is in no session.
const FREE: &str = "/sys/fs/cgroup";

struct Boxes {
    scene: Scene,
    cgroup: String,
    session: String,
}

impl Boxes {
    fn arm(name: &str) -> Check<Self> {
        let scene = scene(name)?;
        let cgroup = make_cgroup(&format!("scenario-{name}"))?;
        let session = arm(&scene, &cgroup)?;
        Ok(Self {
            scene,
            cgroup,
            session,
        })
    }

    fn end(self) -> Check {
        untag(&self.cgroup)?;
        remove_cgroup(&self.cgroup)
    }
}

/// The command line of a shell's script in a box of this kind.
fn words<'a>(kind: &'a str, cgroup: &'a str, script: &'a str) -> Vec<&'a str> {
    let mut words = vec!["/proc/self/exe", "box", kind, cgroup];
    words.extend(match kind {
        "root" | "overlay" => ["/w/tool/busybox", "sh", "-c", script],
        _ => ["/usr/bin/env", "bash", "-c", script],
    });
    words
}

/// Runs it to its end: for each line of the script whether it succeeded.
fn run(kind: &str, cgroup: &str, lines: &[&str]) -> Check<(Ended, Vec<bool>)> {
    let script = script(lines);
    let ended = process::run(&words(kind, cgroup, &script))?;
    let done = outcomes(&ended.stdout);
    Ok((ended, done))
}

fn script(lines: &[&str]) -> String {
    let lines = lines
        .iter()
        .map(|line| format!("{{ {line}; }} 2>&1; echo \"#$?\""));
    lines.collect::<Vec<_>>().join("\n")
}

fn outcomes(said: &str) -> Vec<bool> {
    let codes = said.lines().filter_map(|line| line.strip_prefix('#'));
    codes.map(|code| code == "0").collect()
}

fn expect(kind: &str, cgroup: &str, acts: &[(&str, bool)]) -> Check {
    let lines = acts.iter().map(|(line, _)| *line).collect::<Vec<_>>();
    let expected = acts.iter().map(|(_, may)| *may).collect::<Vec<_>>();
    let (ended, done) = run(kind, cgroup, &lines)?;
    ensure(done == expected, || {
        format!(
            "{kind} in {cgroup}: expected {expected:?} of {lines:?}, saw {done:?}: {} {}; the daemon: {}",
            ended.stdout,
            ended.stderr,
            Daemon::log()
        )
    })
}

/// What a box of a mount namespace does, with whether a session may.
fn acts(secret: &str) -> Vec<(String, bool)> {
    vec![
        ("echo mine > /w/own/file && cat /w/own/file".into(), true),
        ("cat /w/own/given".into(), true),
        ("cp /usr/bin/true /w/own/true && /w/own/true".into(), true),
        ("echo x > /dev/null".into(), true),
        ("cat /srv/outside/own/given".into(), false),
        ("echo x > /srv/outside/own/file".into(), false),
        ("cat /dev/kmsg-like".into(), false),
        (format!("cat {secret}"), false),
    ]
}

fn own_filesystems(_: &mut Context) -> Check {
    let boxes = Boxes::arm("box-own")?;
    fs::create_dir_all("/w/own").doing("make a directory")?;
    fs::create_dir_all("/srv/outside/own").doing("make a directory")?;
    let acts = acts(&boxes.scene.secret);
    let all = |cgroup: &str, kind: &str, is_free: bool| {
        let acts = acts.iter();
        let acts = acts.map(|(line, may)| (line.as_str(), *may || is_free));
        expect(kind, cgroup, &acts.collect::<Vec<_>>())
    };
    for kind in ["mounts", "init"] {
        all(FREE, kind, true)?;
        // Each has filesystems that nobody saw before.
        all(&boxes.cgroup, kind, false)?;
        all(&boxes.cgroup, kind, false)?;
    }
    for path in ["/w/own/file", "/srv/outside/own/file"] {
        ensure(!fs::exists(path).unwrap_or(true), || {
            format!("{path} is on the host's filesystem")
        })?;
    }
    let told = events::of(&boxes.session)?;
    let is_told =
        |event: &events::Event| event.right == "file.read" && event.names("/srv/outside/own/given");
    ensure(told.iter().any(is_told), || {
        format!("expected a refusal by the box's own name, saw {told:?}")
    })?;
    boxes.end()
}

/// Of a root of its own, on a filesystem of its own.
const ROOT_ACTS: [(&str, bool); 9] = [
    ("/w/tool/busybox cat /w/x", true),
    ("echo new > /w/new && /w/tool/busybox cat /w/new", true),
    ("/w/tool/busybox cat /etc/secret", false),
    ("echo x > /etc/secret", false),
    ("/etc/busybox true", false),
    // Where the session began on the host, that has `/srv/reference`, which may be read, and `/srv/outside`,
    // which may not.
    ("/w/tool/busybox cat /given/file", true),
    ("echo x > /given/file", false),
    ("/w/tool/busybox cat /w/outside/file", false),
    ("/w/tool/busybox ls /w/outside", false),
];

fn own_root(_: &mut Context) -> Check {
    for place in ["/srv/reference", "/srv/outside"] {
        fs::create_dir_all(place).doing("make a directory")?;
        fs::write(format!("{place}/file"), SECRET).doing("write a file")?;
    }
    for kind in ["root", "overlay"] {
        expect(kind, FREE, &ROOT_ACTS.map(|(line, _)| (line, true)))?;
        fs::write("/srv/reference/file", SECRET).doing("write a file")?;
        // One that begins there knows them by what it sees: `/given`, and `/w/outside`.
        let begun_there = ROOT_ACTS.map(|(line, may)| {
            let is_outside = line.contains("outside");
            (line, is_outside || may && !line.contains("/given"))
        });
        let boxes = Boxes::arm(&format!("box-{kind}-there"))?;
        for _ in 0..2 {
            expect(kind, &boxes.cgroup, &begun_there)?;
        }
        boxes.end()?;
        let boxes = Boxes::arm(&format!("box-{kind}"))?;
        expect("none", &boxes.cgroup, &[("echo x > /dev/null", true)])?;
        for _ in 0..2 {
            expect(kind, &boxes.cgroup, &ROOT_ACTS)?;
        }
        boxes.end()?;
        let given = fs::read_to_string("/srv/reference/file").doing("read a file")?;
        ensure(given == SECRET, || format!("{kind}: it was written to"))?;
    }
    Ok(())
}

fn later(_: &mut Context) -> Check {
    let boxes = Boxes::arm("box-later")?;
    fs::create_dir_all("/w/own").doing("make a directory")?;
    // Its first program is executed before more is mounted over the first, and the second after.
    let acts = [
        ("cat /w/own/given", false),
        ("echo x > /w/own/file", false),
        ("echo x > /dev/null", true),
    ];
    expect("twice", FREE, &acts.map(|(line, _)| (line, true)))?;
    expect("twice", &boxes.cgroup, &acts)?;
    boxes.end()
}

/// A session with mounts of its own, to which something is executed from outside (`docker exec`).
fn by_session(_: &mut Context) -> Check {
    let undo = Undo("clear /own-m");
    process::shell("mkdir -p /own-m/x")?;
    let mut scene = scene("box-session")?;
    let capabilities = "\n[[file]]\nid = \"maps\"\nallow = [\"write\"]\npath = [\"/proc/**\"]\n\n\
        [process]\ncapabilities = [\"sys_admin\", \"setuid\", \"setgid\", \"dac_override\"]\n\n\
        [kernel]\nmount = true\nnamespaces = true\n";
    scene.launch = grant("box-session", &["/own-m/x/**"], capabilities)?;
    let cgroup = make_cgroup("scenario-box-session")?;
    let session = arm(&scene, &cgroup)?;
    let boxes = Boxes {
        scene,
        cgroup,
        session,
    };
    let script = "unshare --user --map-root-user --mount bash -c 'mount -t tmpfs none /own-m/x && \
        cp /usr/bin/true /own-m/x/ && echo made && exec sleep 1000'";
    let words = words("none", &boxes.cgroup, script);
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdout(Stdio::piped());
    let mut inside = Background::start(&mut command)?;
    let output = inside.child.stdout.take().ok_or("no output")?;
    let said = io::BufReader::new(output).lines().next();
    ensure(matches!(&said, Some(Ok(line)) if line == "made"), || {
        format!(
            "the session mounted nothing: {said:?} {:?}",
            events::of(&boxes.session)
        )
    })?;
    let there = format!("enter:{}", inside.pid());
    let acts = [("test -s /own-m/x/true", true), ("/own-m/x/true", false)];
    expect(&there, FREE, &acts.map(|(line, _)| (line, true)))?;
    expect(&there, &boxes.cgroup, &acts)?;
    drop((inside, undo));
    boxes.end()
}

fn dead_daemon(context: &mut Context) -> Check {
    let boxes = Boxes::arm("box-dead")?;
    fs::create_dir_all("/w/own").doing("make a directory")?;
    fs::create_dir_all("/srv/reference").doing("make a directory")?;
    fs::create_dir_all("/srv/outside").doing("make a directory")?;
    let in_force = [("cat /w/own/given", true), ("echo x > /dev/null", true)];
    expect("mounts", &boxes.cgroup, &in_force)?;
    context.daemon()?.kill()?;
    expect(
        "mounts",
        &boxes.cgroup,
        &[
            ("cat /w/own/given", false),
            ("echo x > /dev/null", false),
            ("cat /w/box-dead/mine || echo x > /w/box-dead/mine", true),
        ],
    )?;
    let (ended, done) = run("root", &boxes.cgroup, &["true"])?;
    ensure(
        done.is_empty() && ended.stderr.contains("Permission denied"),
        || format!("expected that nothing is executed, saw {}", ended.tail()),
    )?;
    context.daemon = Some(Daemon::start()?);
    expect("mounts", &boxes.cgroup, &in_force)?;
    boxes.end()
}

fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

fn next_daemon(context: &mut Context) -> Check {
    let boxes = Boxes::arm("box-next")?;
    fs::create_dir_all("/w/own").doing("make a directory")?;
    // It hangs, and is killed for it. Whoever comes after a while does not wait.
    let daemon = context.daemon()?.pid().to_string();
    process::must(&["kill", "-STOP", &daemon])?;
    let script = script(&["cat /w/own/given", &format!("cat {}", boxes.scene.secret)]);
    let words = words("mounts", &boxes.cgroup, &script);
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdout(Stdio::piped());
    let mut waiting = Background::start(&mut command)?;
    let pid = waiting.pid();
    let stops = || eventually("it waits", 10, || state(pid) == Some('T'));
    stops()?;
    // A signal to go on from somebody else is none.
    for _ in 0..3 {
        process::must(&["kill", "-CONT", &pid.to_string()])?;
        thread::sleep(Duration::from_millis(200));
        stops()?;
    }
    thread::sleep(FORGOTTEN);
    expect("mounts", &boxes.cgroup, &[("cat /w/own/given", false)])?;
    context.daemon()?.kill()?;
    // One that the operator stopped stays so.
    let mut other = Command::new("/usr/bin/sleep");
    let other = Background::start(other.arg("1000"))?;
    process::must(&["kill", "-STOP", &other.pid().to_string()])?;
    context.daemon = Some(Daemon::start()?);
    let output = waiting.child.stdout.take().ok_or("no output")?;
    let said = io::read_to_string(output).doing("read")?;
    ensure(outcomes(&said) == [true, false], || {
        format!("expected it to read its own file alone, saw {said}")
    })?;
    ensure(state(other.pid()) == Some('T'), || {
        "a process that nobody asked about goes on".into()
    })?;
    boxes.end()
}
