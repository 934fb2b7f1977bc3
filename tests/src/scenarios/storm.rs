//! Storms: everything at once inside a session, as root, and nothing changes outside.
//!
//! The whole of stress-ng takes too long for every run: `cargo xtask storm` runs it.

use std::{
    ffi::{CStr, OsStr},
    fs,
    io::Read,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::{Context, Single};
use crate::{
    acts::random_calls::{FREED, ROUND, SECRET},
    harness::{
        Check, Doing,
        daemon::BAILIFF,
        ensure,
        inventory::{Inventory, Scope},
        label, members,
        process::{self, Background},
        session::Launch,
    },
};

/// The classes of stress-ng's stressors that ask the kernel for something; the others only load the
/// machine.
const CLASSES: [&str; 12] = [
    "device",
    "filesystem",
    "interrupt",
    "io",
    "ipc",
    "network",
    "os",
    "pipe",
    "scheduler",
    "security",
    "signal",
    "vm",
];

/// A small filesystem of the session's own: what fills it fills nothing else.
const BASE: &str = "/storm";
const GRANT: &str = "/srv/storm.toml";
const OUTSIDE: &str = "/srv/outside";
const WORK: &str = "/srv/outside-work";

pub(crate) fn scenarios() -> Vec<Single> {
    vec![
        Single::new(
            "storm",
            "random system calls in a session change nothing outside",
            random_calls,
        ),
        Single::new(
            "stress-ng",
            "every class in a session changes nothing outside",
            stress_ng,
        )
        .long(),
    ]
}

const GRANT_TEXT: &str = r#"
version = 1
name = "storm"
include = ["base"]
[[file]]
id = "own"
allow = ["all"]
path = ["/storm/**", "/storm"]
[process]
jit = true
ptrace = "session"
"#;

/// Rounds of random calls that make a storm.
const ENOUGH: usize = 20;

fn random_calls(_: &mut Context) -> Check {
    let seconds = from_environment("STORM_SECONDS", 20);
    let seed = from_environment("STORM_SEED", u64::from(std::process::id()));
    println!("     seed {seed}");
    // Else nobody could be told to be free by reading it.
    fs::read(path(SECRET)).doing("read outside what the session may not")?;
    let outsider = Background::victim("outsider")?;
    let words = |seconds: u64, more: u64| {
        [
            "/storm/program".to_owned(),
            "random-calls".into(),
            seconds.to_string(),
            seed.wrapping_add(more).to_string(),
            outsider.pid().to_string(),
        ]
    };
    weather(|launch| {
        let begun = Instant::now();
        let mut rounds = 0;
        // `kill(-1)` ends or stops the whole session: another one goes on. A slow machine takes longer.
        for more in 0..40 {
            let left = seconds.saturating_sub(begun.elapsed().as_secs());
            if left == 0 && rounds > ENOUGH {
                break;
            }
            let left = left.max(5);
            let patience = Duration::from_secs(seconds * 3 + 60);
            let said = finish(launch, &words(left, more), patience, SILENCE)?;
            rounds += said.lines().filter(|line| *line == ROUND).count();
        }
        ensure(rounds > ENOUGH, || {
            format!("too little happened: {rounds} rounds")
        })
    })
    .map_err(|error| format!("{error} (again: STORM_SEED={seed})"))
}

fn path(name: &CStr) -> &Path {
    Path::new(OsStr::from_bytes(name.to_bytes()))
}

fn stress_ng(_: &mut Context) -> Check {
    let each = from_environment("STORM_STRESSOR_SECONDS", 1);
    weather(|launch| {
        for class in CLASSES {
            let begun = Instant::now();
            let script = format!(
                "cd /storm && exec stress-ng --class {class} --sequential 2 --timeout {each}s \
                 --temp-path /storm/dir --oom-avoid --quiet"
            );
            let words = ["bash", "-c", &script].map(str::to_owned);
            // Most stressors fail in part, since they are refused: no exit code is wanted.
            let patience = Duration::from_secs(3600);
            finish(launch, &words, patience, patience)?;
            println!("     class {class}: {:.0} s", begun.elapsed().as_secs_f64());
        }
        Ok(())
    })
}

fn from_environment(name: &str, otherwise: u64) -> u64 {
    let set = std::env::var(name).ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Runs a storm between two inventories, with work going on outside.
fn weather(storm: impl FnOnce(&Launch) -> Check) -> Check {
    prepare()?;
    let scope = Scope {
        changing: [
            BASE,
            WORK,
            "/run/bailiff",
            "/var/lib/bailiff",
            "/run/scenarios",
            "/dev/pts",
            "/dev/shm",
        ]
        .map(PathBuf::from)
        .into(),
    };
    let mut worker = worker()?;
    let before = Inventory::take(&scope)?;
    ensure(before.len() > 5000, || {
        format!("an inventory of {} things is no inventory", before.len())
    })?;
    let stormed = storm(&Launch::grant(GRANT));
    // Processes that a session leaves end with it; nothing of it may go on outside.
    let after = Inventory::take(&scope)?;
    let differences = before.differences(&after);
    let worked = work_done(&mut worker);
    drop(worker);
    let cleared = clear();
    stormed?;
    ensure(differences.is_empty(), || {
        let shown = differences.len().min(12);
        format!(
            "{} things changed outside: {}",
            differences.len(),
            differences[..shown].join(" | ")
        )
    })?;
    worked?;
    cleared
}

fn prepare() -> Check {
    process::shell(&format!(
        "mkdir -p {BASE} {OUTSIDE} {WORK}; mount -t tmpfs -o size=96M none {BASE}; \
         mkdir {BASE}/dir; echo content > {BASE}/file; echo content > {OUTSIDE}/file; \
         cp /usr/bin/bailiff-scenarios {BASE}/program; \
         ipcmk -M 4096 -p 666 >/dev/null; ipcmk -Q -p 666 >/dev/null; ipcmk -S 2 -p 666 >/dev/null"
    ))?;
    fs::write(GRANT, GRANT_TEXT).doing("write the grant")
}

fn clear() -> Check {
    process::shell(&format!("ipcrm --all; umount -l {BASE}")).map(drop)
}

/// A round of random calls takes three seconds at most, on an idle processor.
const SILENCE: Duration = Duration::from_secs(60);

/// Between two looks at who has a label.
const BETWEEN_LOOKS: Duration = Duration::from_secs(2);

/// Runs a command in a session to its end, in at most `patience`. A session that says nothing for
/// `silence` has stopped itself, and is ended.
fn finish(
    launch: &Launch,
    words: &[String],
    patience: Duration,
    silence: Duration,
) -> Check<String> {
    let log = format!("{WORK}/session.log");
    let file = fs::File::create(&log).doing("make a log")?;
    let copy = file.try_clone().doing("make a log")?;
    let mut command = launch.command(words);
    let mut session = Background::start(command.stdout(Stdio::from(file)).stderr(copy))?;
    let until = Instant::now() + patience;
    let (mut spoke, mut length) = (Instant::now(), 0);
    let mut looked = Instant::now();
    while session.child.try_wait().doing("wait")?.is_none() {
        ensure(Instant::now() < until, || {
            format!("the session did not end within {patience:?}")
        })?;
        let now = fs::metadata(&log).doing("look at the log")?.len();
        if now != length {
            (spoke, length) = (Instant::now(), now);
        } else if spoke.elapsed() > silence {
            end_stopped()?;
            spoke = Instant::now();
        }
        let freed = fs::read_to_string(path(FREED)).unwrap_or_default();
        ensure(freed.is_empty(), || {
            format!("somebody is free:\n{freed}{}", look_at_freed(&freed))
        })?;
        if looked.elapsed() > BETWEEN_LOOKS {
            members::agree_within("in a storm", Duration::from_secs(1))?;
            looked = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    // The session may have made it as long as it likes.
    let mut bytes = Vec::new();
    let file = fs::File::open(&log).doing("open the log")?;
    file.take(4 << 20)
        .read_to_end(&mut bytes)
        .doing("read the log")?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What the kernel holds of whoever said that he is free, and has stopped since.
fn look_at_freed(said: &str) -> String {
    let Some(pid) = said.split_whitespace().next() else {
        return String::new();
    };
    let script = format!(
        "cd /proc/{pid} && grep -E '^(Name|State|Tgid|PPid|Uid|Threads|CapEff)' status; cat cgroup; \
         cat maps | head -n 1; ls -l root cwd exe; {BAILIFF} ps --tasks; {BAILIFF} ps"
    );
    let told = process::run(&["bash", "-c", &script]);
    let told = told.map_or_else(|error| error, |ended| ended.stdout + &ended.stderr);
    let label = pid.parse().map(label::of);
    format!("{told}label: {label:x?}")
}

/// Ends the session whose processes are stopped.
fn end_stopped() -> Check {
    let all = members::all()?;
    let of = |member: &&members::Member| {
        let stat = fs::read_to_string(format!("/proc/{}/stat", member.pid)).unwrap_or_default();
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest);
        state.is_some_and(|rest| rest.starts_with(['T', 't']))
    };
    let Some(name) = all.iter().find(of).and_then(|found| found.session.clone()) else {
        let doing: String = all.iter().map(members::doing).collect();
        return Err(format!(
            "a session hangs that is not stopped: {all:?}\n{doing}"
        ));
    };
    println!("     {name} stopped itself");
    process::must(&[BAILIFF, "stop", &name]).map(drop)
}

/// Somebody outside who works on: forks, files, a connection to himself.
pub(crate) fn worker() -> Check<Background> {
    fs::create_dir_all(WORK).doing("make a folder")?;
    let mut command = Command::new("/proc/self/exe");
    command
        .arg("outside-work")
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    Background::start(&mut command)
}

/// Ends the worker's work and reads how it went.
pub(crate) fn work_done(worker: &mut Background) -> Check {
    worker.tell("stop")?;
    let mut said = String::new();
    if let Some(mut output) = worker.child.stdout.take() {
        std::io::Read::read_to_string(&mut output, &mut said).doing("read")?;
    }
    let mut words = said.split_whitespace();
    let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
    let (rounds, longest) = (number().unwrap_or(0), number().unwrap_or(u64::MAX));
    println!("     outside: {rounds} rounds, the longest took {longest} ms");
    ensure(rounds > 10 && longest < LONGEST, || {
        format!("work outside was held up: {rounds} rounds, the longest {longest} ms; {said}")
    })
}

/// A round of outside work on a busy emulated processor, in milliseconds. What a lease holds up
/// waits for 45 s.
const LONGEST: u64 = 20_000;

/// `bailiff-scenarios outside-work`: works until it is told to stop; says how often, how long the
/// longest round took in milliseconds, and what failed.
pub(crate) fn outside_work() -> anyhow::Result<()> {
    let stop = std::thread::spawn(|| {
        let mut line = String::new();
        let _ = std::io::stdin().read_line(&mut line);
    });
    let (mut rounds, mut longest) = (0_u64, Duration::ZERO);
    while !stop.is_finished() {
        let begun = Instant::now();
        round(rounds)?;
        longest = longest.max(begun.elapsed());
        rounds += 1;
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("{rounds} {}", longest.as_millis());
    Ok(())
}

fn round(number: u64) -> anyhow::Result<()> {
    use std::io::{Read, Write};
    let (one, two) = (format!("{WORK}/one"), format!("{WORK}/two"));
    fs::write(&one, number.to_string())?;
    fs::rename(&one, &two)?;
    anyhow::ensure!(fs::read_to_string(&two)? == number.to_string());
    fs::remove_file(&two)?;
    fs::create_dir(&one)?;
    fs::remove_dir(&one)?;
    anyhow::ensure!(Command::new("/bin/true").status()?.success());
    fs::File::open("/etc/ld.so.cache")?;
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let mut client = std::net::TcpStream::connect(listener.local_addr()?)?;
    client.write_all(b"x")?;
    let mut byte = [0; 1];
    listener.accept()?.0.read_exact(&mut byte)?;
    Ok(())
}
