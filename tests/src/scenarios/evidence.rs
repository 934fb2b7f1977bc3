//! What the ledger and the events say, and that nobody can spoil either.

mod full;
mod race;

use std::{
    collections::BTreeMap, ffi::CString, fs, io, os::unix::fs::MetadataExt, path::Path, thread,
    time::Duration,
};

use serde::Deserialize;

use super::{Context, Single};
use crate::harness::{
    Check, Doing,
    daemon::{BAILIFF, Daemon},
    ensure, events,
    process::{self, Background, eventually},
    session::Launch,
};

const BASE: &str = "/run/scenarios/evidence";
/// A session is refused this much at once, three times what its share of the kernel's buffer holds when
/// each event has a [`far`] path.
const FLOOD: u64 = 1500;
/// Directories between the two names that change.
const BETWEEN: usize = 60;

pub(crate) fn scenarios() -> Vec<Single> {
    let single = |name, run| Single::new("evidence", name, run);
    vec![
        single(
            "each act is counted once, and every field of its event is right",
            fields,
        ),
        single(
            "a flood loses its own events alone, and tells how many",
            flood,
        ),
        single("what is left of an ended session counts for no other", slot),
        single(
            "renames mix no two paths into one, and disturb nobody else",
            race::race,
        ),
        single(
            "what a full store cannot take is stored later, or told",
            full::full,
        )
        .alone()
        .once(),
        single(
            "a daemon that starts on a full disk limits sessions, and records when there is room",
            full::starts_full,
        )
        .alone()
        .once(),
    ]
}

/// A ground of its own with one grant, taken away afterwards.
fn on_ground(rules: &str, run: impl FnOnce(&Launch) -> Check) -> Check {
    process::shell(&format!(
        "mkdir -p {BASE} && mount -t tmpfs none {BASE} && mkdir -p {BASE}/open {BASE}/closed {BASE}/run && \
         cp /proc/{}/exe {BASE}/run/driver && echo secret > {BASE}/closed/file && mkdir -p {} && echo x > {BASE}/open/file",
        std::process::id(),
        far()
    ))?;
    let grant = format!(
        "version = 1\nname = \"evidence\"\n\
         [[file]]\nid = \"run\"\nallow = [\"read\", \"exec\"]\npath = [\"{BASE}/run/**\"]\n\
         [[file]]\nid = \"start\"\nallow = [\"read\"]\npath = [\"/proc/*/maps\"]\n\
         [[file]]\nid = \"open\"\nallow = [\"read\", \"write\", \"create\"]\npath = [\"{BASE}/open/**\"]\n{rules}"
    );
    fs::write(format!("{BASE}/grant.toml"), grant).doing("write the grant")?;
    let checked = run(&Launch::grant(&format!("{BASE}/grant.toml")));
    process::shell(&format!("umount -l {BASE}"))?;
    checked
}

/// A path of nearly 4 KiB.
fn far() -> String {
    format!("{BASE}/closed/{}", vec!["x".repeat(250); 15].join("/"))
}

#[derive(Debug, Deserialize)]
struct Report {
    session: Session,
    rules: Vec<Count>,
    lost: u64,
    unrecorded: u64,
    alignment: String,
}

#[derive(Debug, Deserialize)]
struct Session {
    cgroup_id: u64,
}

#[derive(Debug, Deserialize)]
struct Count {
    rule: Option<events::Rule>,
    allowed: u64,
    refused: u64,
}

impl Report {
    fn of(session: &str) -> Check<Self> {
        let ended = process::must(&[BAILIFF, "report", "--json", session])?;
        serde_json::from_str(&ended.stdout).doing("read `bailiff report --json`")
    }

    fn refused(&self) -> u64 {
        self.rules.iter().map(|count| count.refused).sum()
    }

    fn of_rule(&self, id: Option<&str>) -> (u64, u64) {
        let same = |count: &&Count| count.rule.as_ref().map(|rule| rule.id.as_str()) == id;
        let found = self.rules.iter().find(same);
        found.map_or((0, 0), |count| (count.allowed, count.refused))
    }
}

fn stored(events: &[events::Event], verdict: &str) -> u64 {
    let alike = events.iter().filter(|event| event.verdict == verdict);
    alike.map(|event| event.count).sum()
}

/// A session's driver that waits for the file `open/go`.
fn waiting(launch: &Launch, name: &str, words: &[&str]) -> Check<(Background, String, i32)> {
    let mut command = vec![format!("{BASE}/run/driver"), "evidence".into(), name.into()];
    command.extend(words.iter().map(|word| (*word).to_owned()));
    let background = Background::start(&mut launch.command(&command))?;
    let place = format!("{BASE}/open/ready-{name}");
    eventually("the session has begun", 60, || {
        fs::read_to_string(&place).is_ok_and(|text| text.ends_with('\n'))
    })?;
    let text = fs::read_to_string(&place).doing("read who is ready")?;
    let mut words = text.split_whitespace();
    let session = words.next().unwrap_or("").to_owned();
    let pid = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    Ok((background, session, pid))
}

fn go() -> Check {
    fs::write(format!("{BASE}/open/go"), "").doing("give the sign")
}

fn is_done(name: &str) -> bool {
    Path::new(&format!("{BASE}/open/done-{name}")).exists()
}

fn signal(pid: i32, signal: i32) {
    // SAFETY: no pointers.
    unsafe { libc::kill(pid, signal) };
}

/// `bailiff-scenarios evidence NAME WHAT …`, inside the session.
pub(crate) fn inside(words: &[&str]) -> io::Result<()> {
    let [name, what, rest @ ..] = words else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let session = std::env::var("BAILIFF_SESSION").unwrap_or_default();
    let ready = format!("{BASE}/open/ready-{name}");
    fs::write(ready, format!("{session} {}\n", std::process::id()))?;
    while fs::metadata(format!("{BASE}/open/go")).is_err() {
        thread::sleep(Duration::from_millis(5));
    }
    match (*what, rest) {
        ("refuse", [count, ..]) => {
            let closed = far();
            for _ in 0..count.parse::<u64>().unwrap_or(0) {
                let _ = fs::File::open(&closed);
            }
        }
        ("acts", [target]) => acts(target.parse().unwrap_or(0)),
        ("race", [seconds]) => race::open_while_renamed(seconds.parse().unwrap_or(1))?,
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    }
    // Refused to what is left of an ended session.
    let _ = fs::write(format!("{BASE}/open/done-{name}"), "");
    while rest.contains(&"stay") && fs::metadata(format!("{BASE}/open/leave")).is_err() {
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Each kind of act another number of times: one that is counted as another is noticed.
const ACTS: [(&str, u64); 9] = [
    ("file.read", 2),
    ("file.write", 3),
    ("file.create", 4),
    ("file.delete", 5),
    ("file.list", 6),
    ("file.exec", 7),
    ("net.connect", 8),
    ("process.signal", 9),
    ("process.jit", 10),
];
/// How often a granted file is opened.
const GRANTED: u64 = 11;

fn acts(target: i32) {
    let closed = format!("{BASE}/closed");
    let file = format!("{closed}/file");
    let name = CString::new(file.as_str()).unwrap_or_default();
    for (right, count) in ACTS {
        for _ in 0..count {
            match right {
                "file.read" => {
                    let file = file.clone();
                    let thread = thread::Builder::new().name("in-a-thread".into());
                    let _ = thread
                        .spawn(move || fs::File::open(file).is_ok())
                        .map(thread::JoinHandle::join);
                }
                "file.write" => drop(fs::File::options().write(true).open(&file)),
                "file.create" => drop(fs::create_dir(format!("{closed}/new"))),
                "file.delete" => drop(fs::remove_file(&file)),
                "file.list" => drop(fs::read_dir(&closed)),
                // SAFETY: a string that ends with NUL, in an array that ends with NULL.
                "file.exec" => unsafe {
                    libc::execv(name.as_ptr(), [name.as_ptr(), std::ptr::null()].as_ptr());
                },
                "net.connect" => drop(std::net::TcpStream::connect("127.0.0.9:4444")),
                "process.signal" => signal(target, libc::SIGWINCH),
                // SAFETY: a new mapping, of which nothing is used.
                _ => unsafe {
                    let prot = libc::PROT_READ | libc::PROT_EXEC;
                    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
                    libc::mmap(std::ptr::null_mut(), 4096, prot, flags, -1, 0);
                },
            }
        }
    }
    for _ in 0..GRANTED {
        let _ = fs::File::open(format!("{BASE}/counted"));
    }
}

fn fields(_: &mut Context) -> Check {
    let rules = format!(
        "[[file]]\nid = \"closed\"\ndeny = [\"all\"]\npath = [\"{BASE}/closed/**\", \"{BASE}/closed\"]\n\
         [[file]]\nid = \"counted\"\nallow = [\"read\"]\npath = [\"{BASE}/counted\"]\n\
         [[file]]\nid = \"processors\"\nallow = [\"read\"]\npath = [\"/sys/devices/system/cpu/**\"]\n"
    );
    on_ground(&rules, |launch| {
        process::shell(&format!(
            "chmod 755 {BASE}/closed/file; echo x > {BASE}/counted"
        ))?;
        let target = Background::victim("evidence-victim")?;
        let (mut driver, session, pid) =
            waiting(launch, "acts", &["acts", &target.pid().to_string()])?;
        let parent = fs::read_to_string(format!("/proc/{pid}/stat")).doing("read its parent")?;
        let parent = parent.split_whitespace().nth(3).unwrap_or("").to_owned();
        go()?;
        driver.child.wait().doing("wait for the session")?;
        let report = Report::of(&session)?;
        let all = events::of(&session)?;
        let mut counts = BTreeMap::<&str, u64>::new();
        for event in &all {
            *counts.entry(event.right.as_str()).or_default() += event.count;
        }
        ensure(counts == BTreeMap::from(ACTS), || {
            let strange = all.iter().find(|event| !event.names("evidence"));
            format!("counted {counts:?}, expected {ACTS:?}; {strange:?}")
        })?;
        let by_rule = |file: bool| {
            let acts = ACTS
                .iter()
                .filter(|(right, _)| right.starts_with("file.") == file);
            acts.map(|(_, count)| count).sum::<u64>()
        };
        let none = report.of_rule(None);
        let told = [
            report.of_rule(Some("closed")).1 + none.1,
            report.of_rule(Some("counted")).0,
        ];
        ensure(told == [by_rule(true) + by_rule(false), GRANTED], || {
            format!("{told:?}: {report:?}")
        })?;
        ensure(
            report.alignment == "aligned" && report.lost + report.unrecorded == 0,
            || format!("{report:?}"),
        )?;
        let secret = fs::metadata(format!("{BASE}/closed/file")).doing("look at the file")?;
        let device = format!("{}:{}", secret.dev() >> 8 & 0xfff, secret.dev() & 0xff);
        for event in &all {
            let of_thread = event.right == "file.read";
            let process = &event.process;
            let good = process.pid.cast_signed() == pid
                && process.parent.to_string() == parent
                && process.uid == 0
                && process.cgroup == report.session.cgroup_id
                && (process.tid != process.pid) == of_thread
                && process.comm == if of_thread { "in-a-thread" } else { "driver" }
                && event.verdict == "deny"
                && !event.truncated
                && !event.moved;
            ensure(good, || {
                format!("a field is wrong in {event:?} of process {pid}, child of {parent}")
            })?;
            if matches!(
                event.right.as_str(),
                "file.read" | "file.write" | "file.delete" | "file.exec"
            ) {
                let path = event.path.as_ref().map_or("", |path| path.text.as_str());
                let good = path == format!("{BASE}/closed/file")
                    && event.inode == Some(secret.ino())
                    && event.device.as_deref() == Some(device.as_str());
                ensure(good, || {
                    format!("expected {device} {}: {event:?}", secret.ino())
                })?;
            }
            let expected = match event.right.as_str() {
                "net.connect" => "127.0.0.9:4444/tcp".to_owned(),
                "process.signal" => format!("sleep[{}] signal SIGWINCH", target.pid()),
                "file.create" => format!("{BASE}/closed/new"),
                _ => continue,
            };
            ensure(event.object == expected, || {
                format!("expected {expected}: {event:?}")
            })?;
        }
        Ok(())
    })
}

fn flood(context: &mut Context) -> Check {
    context.daemon()?;
    on_ground("", |launch| {
        let flood = FLOOD.to_string();
        let (mut loud, flooding, _) = waiting(launch, "loud", &["refuse", &flood, "stay"])?;
        let (mut quiet, silent, _) = waiting(launch, "quiet", &["refuse", "40", "stay"])?;
        let (mut other, second, _) = waiting(launch, "other", &["refuse", &flood, "stay"])?;
        // Nobody reads meanwhile.
        context.daemon()?.kill()?;
        go()?;
        eventually("all have been refused", 120, || {
            ["loud", "quiet", "other"].iter().all(|name| is_done(name))
        })?;
        // Its check at start finds room.
        context.daemon = Some(Daemon::start()?);
        fs::write(format!("{BASE}/open/leave"), "").doing("let them end")?;
        for driver in [&mut loud, &mut quiet, &mut other] {
            driver.child.wait().doing("wait for the session")?;
        }
        for session in [&flooding, &second, &silent] {
            let report = Report::of(session)?;
            let all = events::of(session)?;
            let (kept, told) = (stored(&all, "deny"), stored(&all, "lost"));
            let is_quiet = *session == silent;
            ensure(
                kept + report.lost == report.refused() && told == report.lost,
                || format!("{session}: {kept} stored, {told} told: {report:?}"),
            )?;
            let good = if is_quiet {
                report.lost == 0 && kept >= 40 && report.alignment == "aligned"
            } else {
                report.lost > 500 && kept > 200 && report.alignment == "unknown"
            };
            ensure(good, || format!("{session}: {kept} stored: {report:?}"))?;
        }
        Ok(())
    })
}

fn slot(context: &mut Context) -> Check {
    context.daemon()?;
    on_ground("", |launch| {
        let aside = "/sys/fs/cgroup/evidence-aside";
        fs::create_dir_all(aside).doing("make a cgroup")?;
        let (mut old, ended, pid) = waiting(launch, "old", &["refuse", &FLOOD.to_string()])?;
        fs::write(format!("{aside}/cgroup.procs"), pid.to_string()).doing("move it")?;
        let state = || process::must(&[BAILIFF, "status", "--json", &ended]);
        eventually("the session has ended", 30, || {
            state().is_ok_and(|said| said.stdout.contains("\"ended\""))
        })?;
        // The next one gets its slot, and does nothing that is refused.
        let (mut new, next, _) = waiting(launch, "new", &["refuse", "0", "stay"])?;
        context.daemon()?.kill()?;
        go()?;
        eventually("the first is gone", 60, || {
            !Path::new(&format!("/proc/{pid}")).exists()
        })?;
        // Its check at start finds room.
        context.daemon = Some(Daemon::start()?);
        fs::write(format!("{BASE}/open/leave"), "").doing("let it end")?;
        old.child.wait().doing("wait for the first")?;
        new.child.wait().doing("wait for the second")?;
        fs::remove_dir(aside).doing("remove the cgroup")?;
        let report = Report::of(&next)?;
        ensure(
            report.refused() == 0 && report.alignment == "aligned",
            || format!("{report:?}"),
        )?;
        let left = events::of(&ended)?;
        let late = left.iter().filter(|event| event.reason == "session-ended");
        let late = late.map(|event| event.count).sum::<u64>();
        ensure(late >= 50, || {
            format!("{late} refusals after the end: {left:?}")
        })?;
        let strange = events::of(&next)?;
        ensure(strange.is_empty(), || format!("{strange:?}"))
    })
}
