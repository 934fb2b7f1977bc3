//! Whom the daemon believes, and how much of it each caller may have.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::{Context, Single};
use crate::{
    acts::SECRET,
    harness::{
        Check, Doing,
        daemon::BAILIFF,
        ensure,
        process::{self, Background, eventually, shell},
        session::{Launch, Shell},
        world::{Place, World},
    },
};

pub(crate) fn scenarios() -> Vec<Single> {
    let new = |name, run| Single::new("callers", name, run);
    vec![
        new(
            "sessions ask while mounts come and go, and the daemon goes on answering",
            asked_while_mounting,
        )
        .once(),
        new(
            "a connection is its maker's, also when another has the maker's number",
            number_used_again,
        ),
        new(
            "a process that is tagged after it connected is no operator",
            tagged_later,
        ),
        new(
            "processes that take every connection keep nobody else out",
            all_connections,
        )
        .once(),
        new("a request that does not come to its end is given up", slow).once(),
        new(
            "who is in a session is answered without the group, who is not is refused",
            without_group,
        )
        .once(),
    ]
}

/// A launch under the fixture's grant, and a directory of the workspace.
fn scene(name: &str) -> Check<(Launch, String)> {
    let world = World::make(Place::Plain)?;
    let launch = world.launch("fixture", &crate::harness::matrix::fixture_grant())?;
    let directory = format!("{}/{name}", world.workspace);
    fs::create_dir_all(&directory).doing("make a directory")?;
    fs::create_dir_all(&world.outside).doing("make a directory")?;
    fs::write(format!("{}/callers", world.outside), SECRET).doing("write a secret")?;
    Ok((launch, directory))
}

/// Answers of the daemon that must come within this time, on an emulated processor.
const PROMPT: Duration = Duration::from_secs(20);

/// `bailiff` with these arguments must end well, and soon.
fn prompt(arguments: &[&str]) -> Check<String> {
    let begun = Instant::now();
    let seconds = (2 * PROMPT.as_secs()).to_string();
    let mut words = vec!["timeout", &seconds, BAILIFF];
    words.extend(arguments);
    let ended = process::must(&words)?;
    let took = begun.elapsed();
    ensure(took < PROMPT, || {
        format!("`bailiff {}` took {took:?}", arguments.join(" "))
    })?;
    Ok(ended.stdout)
}

fn asked_while_mounting(_: &mut Context) -> Check {
    let (launch, directory) = scene("asked")?;
    let mut session = Shell::start(&launch)?;
    session.may_not("cat /srv/outside/callers")?;
    for _ in 0..2 {
        session.may(&format!(
            "(while test ! -e {directory}/stop; do {BAILIFF} why; done >/dev/null 2>&1) &"
        ))?;
    }
    let mut mounting = Command::new("bash");
    mounting.args([
        "-c",
        "mkdir -p /mnt/callers; while :; do mount -t tmpfs none /mnt/callers; umount /mnt/callers; done",
    ]);
    let mounting = Background::start(&mut mounting)?;
    let until = Instant::now() + Duration::from_secs(15);
    let mut answered = 0;
    let checked = loop {
        if Instant::now() > until {
            break Ok(());
        }
        if let Err(error) = prompt(&["status"]) {
            break Err(format!("after {answered} answers: {error}"));
        }
        answered += 1;
    };
    drop(mounting);
    shell(&format!(
        "touch {directory}/stop; umount /mnt/callers 2>/dev/null || true; rmdir /mnt/callers"
    ))?;
    checked?;
    session.may_not("cat /srv/outside/callers").map(drop)
}

/// Connects in a child that ends, says the child's number, and asks when it is told to.
const ASK_BY_CHILD: &str = r#"
import os, socket, sys, time
place, request = sys.argv[1:3]
s = socket.socket(socket.AF_UNIX)
child = os.fork()
if child == 0:
    s.connect("/run/bailiff/bailiff.sock")
    os._exit(0)
os.waitpid(child, 0)
open(place + "/number.new", "w").write(str(child))
os.rename(place + "/number.new", place + "/number")
while not os.path.exists(place + "/ask"):
    time.sleep(0.05)
s.settimeout(20)
try:
    s.sendall(f"GET {request} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    answer = b""
    while part := s.recv(65536):
        answer += part
except OSError as error:
    answer = str(error).encode()
open(place + "/answer.new", "wb").write(answer or b"nothing")
os.rename(place + "/answer.new", place + "/answer")
"#;

/// What the daemon answers to a connection whose maker ended before it was accepted, and whose
/// number another has since. `start` runs a command line in the background.
fn ask_by_child(
    context: &mut Context,
    directory: &str,
    start: &mut dyn FnMut(&str) -> Check,
) -> Check<String> {
    let daemon = context.daemon()?.pid();
    let script = format!("{directory}/ask.py");
    fs::write(&script, ASK_BY_CHILD).doing("write a script")?;
    for name in ["number", "ask", "answer"] {
        let _ = fs::remove_file(format!("{directory}/{name}"));
    }
    let signal = |name: &str| shell(&format!("kill -{name} {daemon}")).map(drop);
    signal("STOP")?;
    let reused = (|| {
        start(&format!(
            "python3 {script} {directory} /v1/sessions >/dev/null 2>&1"
        ))?;
        let number = format!("{directory}/number");
        eventually("a child connects and ends", 60, || {
            Path::new(&number).exists()
        })?;
        let number = fs::read_to_string(&number).doing("read a number")?;
        with_number(number.trim().parse().doing("read a number")?)
    })();
    signal("CONT")?;
    let _other = reused?;
    fs::write(format!("{directory}/ask"), "").doing("write")?;
    let answer = format!("{directory}/answer");
    eventually("an answer comes", 60, || Path::new(&answer).exists())?;
    fs::read_to_string(&answer).doing("read the answer")
}

/// A process outside every session, of root, that has this number.
fn with_number(number: i32) -> Check<Background> {
    for _ in 0..200 {
        fs::write("/proc/sys/kernel/ns_last_pid", (number - 1).to_string())
            .doing("choose the next number")?;
        let mut command = Command::new("sleep");
        command.arg("300").stdout(Stdio::null());
        let process = Background::start(&mut command)?;
        if process.pid() == number {
            return Ok(process);
        }
    }
    Err(format!("no process got the number {number}"))
}

fn number_used_again(context: &mut Context) -> Check {
    let (launch, directory) = scene("number")?;
    let mut session = Shell::start(&launch)?;
    let answer = ask_by_child(context, &directory, &mut |line| {
        session.may(&format!("{line} &")).map(drop)
    })?;
    ensure(answer.starts_with("HTTP/1.1 403"), || {
        format!("expected a refusal, a session was told: {answer}")
    })?;
    // The same outside: its maker is gone, so nobody knows who asks.
    let mut free = Shell::unconfined(&[])?;
    let answer = ask_by_child(context, &directory, &mut |line| {
        free.may(&format!("{line} &")).map(drop)
    })?;
    let modern = !kernel_before((6, 5))?;
    ensure(!modern || answer.starts_with("HTTP/1.1 403"), || {
        format!("expected a refusal, saw {answer}")
    })?;
    prompt(&["status"])?;
    // And whoever asks for itself is answered.
    let asked = shell("curl -s --unix-socket /run/bailiff/bailiff.sock http://x/v1/sessions")?;
    ensure(asked.stdout.contains(&session.session), || {
        format!("expected a list of sessions, saw {}", asked.stdout)
    })
}

fn kernel_before(version: (u32, u32)) -> Check<bool> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").doing("read the release")?;
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|part| part.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) => Ok((major, minor) < version),
        _ => Err(format!("unknown release {release}")),
    }
}

/// Connects at once, and asks when it is told to.
const ASK_LATER: &str = r#"
import os, socket, sys, time
place = sys.argv[1]
s = socket.socket(socket.AF_UNIX)
s.connect("/run/bailiff/bailiff.sock")
open(place + "/number", "w").write(str(os.getpid()))
while not os.path.exists(place + "/ask"):
    time.sleep(0.02)
s.settimeout(20)
s.sendall(b"GET /v1/sessions HTTP/1.1\r\nhost: x\r\n\r\n")
answer = b""
while part := s.recv(65536):
    answer += part
sys.stdout.buffer.write(answer)
"#;

fn tagged_later(_: &mut Context) -> Check {
    let (launch, directory) = scene("later")?;
    let script = format!("{directory}/ask.py");
    fs::write(&script, ASK_LATER).doing("write a script")?;
    let cgroup = "/sys/fs/cgroup/scenario-later";
    fs::create_dir_all(cgroup).doing("make a cgroup")?;
    let ask = |tag: bool| -> Check<String> {
        for name in ["number", "ask"] {
            let _ = fs::remove_file(format!("{directory}/{name}"));
        }
        let mut command = Command::new("python3");
        command
            .args([&script, &directory])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = command.spawn().doing("start python3")?;
        let number = format!("{directory}/number");
        eventually("it connects", 60, || Path::new(&number).exists())?;
        fs::write(format!("{cgroup}/cgroup.procs"), child.id().to_string())
            .doing("move a process")?;
        if tag {
            let mut words = vec![BAILIFF.to_owned(), "tag".into(), cgroup.into()];
            words.extend(["--grant".into(), launch.grant.clone()]);
            for (name, value) in &launch.sets {
                words.extend(["--set".into(), format!("{name}={value}")]);
            }
            process::must(&words)?;
        }
        fs::write(format!("{directory}/ask"), "").doing("write")?;
        Ok(process::finish(child, "python3")?.stdout)
    };
    let free = ask(false)?;
    ensure(free.starts_with("HTTP/1.1 200"), || {
        format!("expected an answer, saw {free:?}")
    })?;
    let tagged = ask(true)?;
    process::must(&[BAILIFF, "untag", cgroup])?;
    shell(&format!("sleep 0.2; rmdir {cgroup}"))?;
    // The tag may have taken longer than a request may: then nothing is answered at all.
    ensure(!tagged.starts_with("HTTP/1.1 2"), || {
        format!("expected a refusal, saw {tagged:?}")
    })
}

/// Takes and holds as many connections as it gets.
const TAKE_ALL: &str = r#"
import resource, socket, sys, time
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
held = []
for _ in range(1000):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(2)
    try:
        s.connect("/run/bailiff/bailiff.sock")
        s.send(b"GET /v1/why HT")
    except OSError:
        time.sleep(0.01)
    held.append(s)
time.sleep(float(sys.argv[1]))
"#;

fn all_connections(context: &mut Context) -> Check {
    let (launch, directory) = scene("all")?;
    let daemon = context.daemon()?.pid();
    let script = format!("{directory}/take.py");
    fs::write(&script, TAKE_ALL).doing("write a script")?;
    let mut session = Shell::start(&launch)?;
    let mut other = Shell::start(&launch)?;
    other.may_not("cat /srv/outside/callers")?;
    prompt(&["status"])?;
    for _ in 0..6 {
        session.may(&format!("python3 {script} 30 >/dev/null 2>&1 &"))?;
    }
    let mut strangers = Command::new("setpriv");
    strangers.args([
        "--reuid=1000",
        "--clear-groups",
        "python3",
        "-c",
        TAKE_ALL,
        "30",
    ]);
    let _strangers = Background::start(&mut strangers)?;
    std::thread::sleep(Duration::from_secs(5));
    let checked = (|| {
        let open = descriptors(daemon)?;
        ensure(open < 1000, || {
            format!("the daemon has {open} descriptors open")
        })?;
        prompt(&["status"])?;
        let listed = prompt(&["ps", "--json"])?;
        ensure(listed.contains(&session.session), || listed)?;
        let ran = launch.run(&["cat", "/srv/outside/callers"])?;
        ensure(
            ran.code != 0 && ran.stderr.contains("ermission denied"),
            || format!("a new session was not limited: {}", ran.tail()),
        )?;
        let said = other.may(&format!("{BAILIFF} why"))?;
        ensure(said.contains("/srv/outside/callers"), || said)
    })();
    // It had its share and comes back to it.
    let again = eventually("the session's own questions are answered again", 90, || {
        session
            .run(&format!("timeout 20 {BAILIFF} status"))
            .is_ok_and(|(code, _)| code == 0)
    });
    checked.and(again)
}

fn descriptors(pid: i32) -> Check<usize> {
    let listed = fs::read_dir(format!("/proc/{pid}/fd")).doing("list descriptors")?;
    Ok(listed.count())
}

/// Connections that are never used, or stop in the middle; prints after how long each was closed.
const SLOW: &str = r#"
import select, socket, time
heads = [b"", b"GET /v1/sta", b"POST /v1/sessions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"]
begun, waiting = time.time(), {}
for head in heads:
    s = socket.socket(socket.AF_UNIX)
    s.connect("/run/bailiff/bailiff.sock")
    s.sendall(head)
    waiting[s] = head
while waiting and time.time() - begun < 60:
    for s in select.select(list(waiting), [], [], 1)[0]:
        if not s.recv(65536):
            del waiting[s]
print("open:", len(waiting))
"#;

fn slow(context: &mut Context) -> Check {
    let daemon = context.daemon()?.pid();
    prompt(&["status"])?;
    let before = descriptors(daemon)?;
    let ended = process::must(&["python3", "-c", SLOW])?;
    ensure(ended.stdout.trim() == "open: 0", || {
        format!("connections that say nothing stay open: {}", ended.stdout)
    })?;
    eventually("their descriptors are closed", 10, || {
        descriptors(daemon).is_ok_and(|now| now <= before)
    })
}

fn without_group(_: &mut Context) -> Check {
    let nobody = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"];
    let (_scene, mut inside, cgroup) = super::lifecycle::tagged_shell("nobody", &nobody)?;
    inside.may_not("cat /srv/outside/nobody/secret")?;
    let said = inside.may(&format!("{BAILIFF} why"))?;
    ensure(said.contains("/srv/outside/nobody/secret"), || said)?;
    inside.may(&format!("{BAILIFF} status"))?;
    for command in ["ps", "events", "untag /sys/fs/cgroup/scenario-nobody"] {
        let (code, said) = inside.run(&format!("{BAILIFF} {command}"))?;
        ensure(code != 0 && said.contains("from inside"), || {
            format!("expected `{command}` to be refused, saw {said}")
        })?;
    }
    process::must(&[BAILIFF, "untag", &cgroup])?;
    // Now it is in no session.
    for command in ["why", "status", "ps", "untag scenario-nobody"] {
        let (code, said) = inside.run(&format!("{BAILIFF} {command}"))?;
        ensure(code != 0 && said.contains("group `bailiff`"), || {
            format!("expected `{command}` to be refused, saw {said}")
        })?;
    }
    inside.may("cat /srv/outside/nobody/secret")?;
    for (path, mode) in [
        ("/run/bailiff", 0o755),
        ("/run/bailiff/bailiff.sock", 0o666),
        ("/run/bailiff/bailiff.lock", 0o600),
        ("/sys/fs/bpf/bailiff", 0o700),
    ] {
        let found = fs::metadata(path).doing(path)?.permissions().mode() & 0o7777;
        ensure(found == mode, || format!("{path} has mode {found:o}"))?;
    }
    drop(inside);
    shell(&format!("sleep 0.2; rmdir {cgroup}")).map(drop)
}
