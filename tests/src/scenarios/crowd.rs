//! As many sessions as can be, and many one after the other.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::Path,
    process::{Command, Stdio},
};

use super::{Context, Single};
use crate::{
    acts::SECRET,
    harness::{
        Check, Doing,
        daemon::BAILIFF,
        ensure,
        process::{self, Background, eventually, shell},
    },
};

pub(crate) fn scenarios() -> Vec<Single> {
    let new = |name, run| Single::new("crowd", name, run);
    vec![
        new(
            "an ended session gives its mount namespace back, and the disk in it",
            disk,
        ),
        new(
            "255 sessions run at once, and what ended leaves nothing behind",
            crowd,
        )
        .once(),
    ]
}

/// Starts sessions side by side under a grant of one rule and puts a process into each, which
/// tries to read a file, and stays until it is told to go. Speaks HTTP itself, so that the daemon is
/// what is measured.
const START: &str = r#"
import json, os, socket, sys, time
count, secret, stay = int(sys.argv[1]), sys.argv[2], sys.argv[3]
grant = "version = 1\nname = \"crowd\"\n[[file]]\nid = \"w\"\nallow = [\"read\"]\npath = [\"/w/**\"]\n"
def post(path, body):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(400)
    s.connect("/run/bailiff/bailiff.sock")
    body = json.dumps(body).encode()
    s.sendall(b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
        % (path.encode(), len(body), body))
    answer = b""
    while part := s.recv(65536):
        answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 200 " in head.split(b"\r\n")[0], answer
    return json.loads(body)
def start():
    return post("/v1/sessions", {"target": "new", "command": ["crowd"], "inputs": {},
        "grant": {"main": {"name": "crowd", "origin": "crowd", "text": grant}, "includes": []}})["name"]
read, write = os.pipe()
for _ in range(count):
    if os.fork() == 0:
        try:
            name = start()
            post(f"/v1/sessions/{name}/enrol", None)
            try:
                open(secret).close()
                os.write(write, b"f")
            except PermissionError:
                os.write(write, b"r")
        except BaseException:
            os.write(write, b"e")
        finally:
            try:
                if stay != "-":
                    while True:
                        time.sleep(1000)
            finally:
                os._exit(0)
found = b""
while len(found) < count:
    found += os.read(read, 4096)
print({kind: found.count(kind.encode()) for kind in "rfe"}, flush=True)
if stay != "-":
    sys.stdin.read()
    os.killpg(0, 9)
for _ in range(count):
    os.wait()
"#;

/// What is open, mapped and filled.
struct Used {
    /// What each is of.
    descriptors: Vec<String>,
    kilobytes: u64,
    maps: usize,
}

impl Used {
    fn now(daemon: i32) -> Check<Self> {
        let listed = fs::read_dir(format!("/proc/{daemon}/fd")).doing("list descriptors")?;
        let descriptors = listed.flatten().map(|entry| {
            let of = fs::read_link(entry.path()).unwrap_or_default();
            // Pipes and sockets have a number each.
            let of = of.to_string_lossy().into_owned();
            of.split(":[").next().unwrap_or_default().to_owned()
        });
        let text = fs::read_to_string(format!("/proc/{daemon}/status")).doing("read its status")?;
        let resident = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|line| line.split_whitespace().next()?.parse().ok());
        let maps = process::must(&["bpftool", "map", "show"])?.stdout;
        Ok(Self {
            descriptors: descriptors.collect(),
            kilobytes: resident.ok_or("no VmRSS")?,
            maps: maps
                .lines()
                .filter(|line| line.contains(": array  name IMAGES"))
                .count(),
        })
    }
}

impl fmt::Debug for Used {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (descriptors, kilobytes, maps) = (self.descriptors.len(), self.kilobytes, self.maps);
        write!(
            out,
            "{descriptors} descriptors, {kilobytes} kB, {maps} maps"
        )
    }
}

impl Used {
    /// What 255 sessions leave is the allocator's.
    fn is_no_more_than(&self, before: &Self) -> bool {
        self.descriptors.len() <= before.descriptors.len() + 4
            && self.maps <= before.maps
            && self.kilobytes <= before.kilobytes + (24 << 10)
    }

    /// Of what there are more descriptors than before, and by how many.
    fn descriptors_beside<'u>(&'u self, before: &'u Self) -> BTreeMap<&'u str, i64> {
        let mut more = BTreeMap::new();
        for (used, count) in [(self, 1), (before, -1)] {
            for of in &used.descriptors {
                *more.entry(of.as_str()).or_default() += count;
            }
        }
        more.retain(|_, count| *count > 0);
        more
    }
}

fn start(count: usize, stay: &str) -> Command {
    let mut command = Command::new("setsid");
    let secret = "/srv/outside/crowd";
    command.args([
        "--wait",
        "python3",
        "-c",
        START,
        &count.to_string(),
        secret,
        stay,
    ]);
    command
}

fn live() -> Check<usize> {
    let told = process::must(&[BAILIFF, "ps", "--json"])?.stdout;
    let listed: serde_json::Value = serde_json::from_str(&told).doing("read JSON")?;
    let items = listed["items"].as_array().ok_or("no list")?;
    Ok(items
        .iter()
        .filter(|session| session["state"] == "running" || session["state"] == "starting")
        .count())
}

/// `others` go on meanwhile.
fn one_after_the_other(rounds: usize, at_once: usize, others: usize) -> Check {
    for _ in 0..rounds {
        let mut command = start(at_once, "-");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = command.spawn().doing("start sessions")?;
        let ended = process::finish(child, "the sessions")?;
        let expected = format!("{{'r': {at_once}, 'f': 0, 'e': 0}}");
        ensure(ended.stdout.trim() == expected, || {
            format!("expected {expected}, saw {}", ended.tail())
        })?;
    }
    eventually("every session has ended", 60, || {
        live().is_ok_and(|live| live <= others)
    })
}

/// A disk that is mounted nowhere else is set up until the last who holds the namespace lets it go.
fn disk(_: &mut Context) -> Check {
    const IMAGE: &str = "/tmp/crowd.img";
    shell(&format!(
        "modprobe loop; mkdir -p /tmp/crowd; truncate -s 8M {IMAGE}; mkfs.ext4 -q -F {IMAGE}"
    ))?;
    let inside = format!("mount -o loop {IMAGE} /tmp/crowd && {BAILIFF} run --grant base -- true");
    let ran = process::must(&[
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        &inside,
    ]);
    let gone = ran.and_then(|_| {
        eventually("the disk is let go", 30, || {
            process::run(&["losetup", "-j", IMAGE]).is_ok_and(|told| told.stdout.is_empty())
        })
    });
    shell(&format!("rm -r /tmp/crowd {IMAGE}"))?;
    gone
}

fn crowd(context: &mut Context) -> Check {
    // What other scenarios have tagged goes on.
    let others = live()?;
    let most = 255 - others;
    let daemon = context.daemon()?.pid();
    fs::create_dir_all("/srv/outside").doing("make a directory")?;
    fs::write("/srv/outside/crowd", SECRET).doing("write a secret")?;
    one_after_the_other(1, 20, others)?;
    let before = Used::now(daemon)?;
    let out = Path::new("/run/scenarios/crowd");
    let mut command = start(most, "stay");
    let file = fs::File::create(out).doing("make a file")?;
    command
        .stdout(file.try_clone().doing("copy a descriptor")?)
        .stderr(file);
    let mut crowd = Background::start(&mut command)?;
    let said = || fs::read_to_string(out).unwrap_or_default();
    eventually("all are started and have tried", 400, || {
        said().contains('}') || said().contains("Error")
    })?;
    let expected = format!("{{'r': {most}, 'f': 0, 'e': 0}}");
    ensure(said().trim() == expected, || {
        format!("expected {expected}, saw {}", said())
    })?;
    let live = live()?;
    ensure(live == 255, || format!("{live} sessions are in force"))?;
    let during = Used::now(daemon)?;
    ensure(
        during.descriptors.len() < before.descriptors.len() + 2 * most,
        || format!("descriptors grew from {before:?} to {during:?}"),
    )?;
    // One more is told so, and the daemon answers.
    let more = process::run(&[BAILIFF, "run", "--grant", "base", "--", "true"])?;
    ensure(
        more.code == 125 && more.stderr.contains("as many sessions run as can"),
        || format!("expected a refusal, saw {}", more.tail()),
    )?;
    drop(crowd.child.stdin.take());
    let _ = crowd.child.wait();
    eventually("every session has ended", 120, || {
        self::live().is_ok_and(|live| live <= others)
    })?;
    one_after_the_other(3, 15, others)?;
    // The last one's grant is given back once its end was told.
    let mut after = Used::now(daemon)?;
    let is_given_back = eventually("all is given back", 10, || {
        if let Ok(now) = Used::now(daemon) {
            after = now;
        }
        after.is_no_more_than(&before)
    });
    println!("     before {before:?}, with 255 sessions {during:?}, afterwards {after:?}");
    is_given_back.map_err(|error| {
        let more = after.descriptors_beside(&before);
        format!(
            "{error}: before {before:?}, with 255 sessions {during:?}, afterwards {after:?}: {more:?}"
        )
    })
}
