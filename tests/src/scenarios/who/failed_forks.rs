//! Whose fork fails before the kernel has made the child's own storage: until 6.18 the storage of whoever forks is
//! freed with the child.

use std::{
    fs, io,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use super::{Flags, await_flag, enter, make_cgroup, remove_cgroup, tag_words};
use crate::{
    harness::{Check, Doing, ensure, members, process, process::Background, session::Launch},
    scenarios::{Context, below::GROUP, lifecycle::scene},
};

/// Of the group that may use Bailiff.
const USER: [&str; 4] = ["setpriv", "--reuid=1000", "--regid=1000", "--groups=900"];
/// How long forks fail.
const FOR: Duration = Duration::from_secs(3);
/// Longer than a grace period of RCU, after which the child is freed.
const GRACE: Duration = Duration::from_millis(400);

/// A way to fail.
#[derive(Clone, Copy)]
enum Failing {
    /// No user namespace for the child.
    Namespace,
    /// One process too many.
    Process,
    /// One thread too many.
    Thread,
}

impl Failing {
    const ALL: [(&'static str, Self); 3] = [
        ("namespace", Self::Namespace),
        ("process", Self::Process),
        ("thread", Self::Thread),
    ];

    fn flags(self) -> i32 {
        match self {
            Self::Namespace => libc::CLONE_NEWUSER | libc::SIGCHLD,
            Self::Process => libc::SIGCHLD,
            Self::Thread => {
                libc::CLONE_VM
                    | libc::CLONE_FS
                    | libc::CLONE_FILES
                    | libc::CLONE_SIGHAND
                    | libc::CLONE_THREAD
                    | libc::CLONE_SYSVSEM
            }
        }
    }

    /// Fails to fork; whether it did.
    fn fail(self) -> bool {
        // SAFETY: a child, if there is one against all expectation, ends at once; a thread could not go on
        // without a stack, and its process ends with it.
        unsafe {
            match libc::syscall(libc::SYS_clone, self.flags(), 0, 0, 0, 0) {
                0 => libc::_exit(0),
                pid => pid < 0,
            }
        }
    }
}

fn let_no_more_fork() -> io::Result<()> {
    let one = libc::rlimit {
        rlim_cur: 1,
        rlim_max: 1000,
    };
    // SAFETY: a system call with a live argument.
    match unsafe { libc::setrlimit(libc::RLIMIT_NPROC, &raw const one) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `bailiff-scenarios who-fails-to-fork WAY SECRET`: forks in vain, while two threads try to read what they may
/// not. Says how often it failed, and how often somebody could read.
pub(crate) fn fail_to_fork(way: &str, secret: &str) -> io::Result<()> {
    let Some((_, way)) = Failing::ALL.into_iter().find(|(name, _)| *name == way) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let (free, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let try_to_read = || free.fetch_add(u64::from(fs::File::open(secret).is_ok()), Relaxed);
    let mut failed = 0_u64;
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                try_to_read();
            }
        });
        let_no_more_fork()?;
        let until = Instant::now() + FOR;
        while Instant::now() < until {
            failed += u64::from(way.fail());
            try_to_read();
        }
        thread::sleep(GRACE);
        stop.store(true, Relaxed);
        Ok::<_, io::Error>(())
    })?;
    try_to_read();
    println!("{failed} {}", free.load(Relaxed));
    // Nor is a program that it becomes.
    Err(Command::new("/usr/bin/cat").arg(secret).exec())
}

/// `bailiff-scenarios who-fails-to-fork-and-executes FLAGS SECRET`: once, then executes.
pub(crate) fn fail_and_execute(flags: &str, secret: &str) -> io::Result<()> {
    println!("ready");
    await_flag(flags, "go");
    let_no_more_fork()?;
    if !Failing::Process.fail() {
        return Err(io::Error::other("it could fork"));
    }
    thread::sleep(GRACE);
    Err(Command::new("/usr/bin/cat").arg(secret).exec())
}

/// Failed forks, successful reads, and what `cat` said.
fn outcome(
    launch: Option<&Launch>,
    before: &[&str],
    way: &str,
    secret: &str,
) -> Check<(u64, u64, String)> {
    let words = [
        "/usr/bin/bailiff-scenarios",
        "who-fails-to-fork",
        way,
        secret,
    ];
    let ended = match launch {
        Some(launch) => {
            let before = before.iter().map(|word| (*word).to_owned()).collect();
            let launch = Launch {
                before,
                ..launch.clone()
            };
            launch.run(&words)?
        }
        None => process::run(&[before, &words].concat())?,
    };
    let told = format!("{}{}", ended.stdout, ended.stderr);
    let mut numbers = ended
        .stdout
        .split_whitespace()
        .map_while(|word| word.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(failed), Some(free)) => Ok((failed, free, told)),
        _ => Err(format!("{way}: it said {told:?}")),
    }
}

pub(super) fn keeps_its_label(_: &mut Context) -> Check {
    let groups = fs::read_to_string("/etc/group").doing("read the groups")?;
    fs::write("/etc/group", format!("{groups}{GROUP}\n")).doing("write the groups")?;
    let checked = keep_their_labels();
    fs::write("/etc/group", groups).doing("write the groups")?;
    checked
}

fn keep_their_labels() -> Check {
    let scene = scene("failed-forks")?;
    let secret = scene.secret.as_str();
    for (way, _) in Failing::ALL {
        for before in [&[][..], &USER] {
            // Root's processes are not counted.
            if before.is_empty() && way != "namespace" {
                continue;
            }
            let (failed, free, told) = outcome(Some(&scene.launch), before, way, secret)?;
            println!("     {way}: {failed} forks failed");
            ensure(failed > 100, || {
                format!("{way}: only {failed} forks failed")
            })?;
            ensure(free == 0 && told.contains("Permission denied"), || {
                format!("{way} {before:?}: free {free} times of {failed}: {told}")
            })?;
            members::agree("after forks that failed")?;
        }
    }
    // Who is in no session is not touched.
    let (failed, free, told) = outcome(None, &USER, "process", secret)?;
    ensure(
        failed > 100 && free > 100 && !told.contains("denied"),
        || format!("outside a session {failed} forks failed, {free} reads did not: {told}"),
    )
}

pub(super) fn keeps_an_armed_label(_: &mut Context) -> Check {
    let scene = scene("failed-forks-armed")?;
    let top = make_cgroup("scenario-failed-fork")?;
    let mut words = tag_words(&scene.launch, &top);
    words.push("--at-exec".into());
    process::must(&words)?;
    let flags = Flags::new("failed-fork")?;
    let mut command = Command::new(USER[0]);
    command
        .args(&USER[1..])
        .args([
            "/usr/bin/bailiff-scenarios",
            "who-fails-to-fork-and-executes",
        ])
        .args([&flags.0, &scene.secret])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut process = Background::start(&mut command)?;
    process::eventually("it is ready", 20, || {
        fs::read_to_string(format!("/proc/{}/comm", process.pid()))
            .is_ok_and(|comm| comm.starts_with("bailiff"))
    })?;
    enter(&top, process.pid())?;
    flags.raise("go")?;
    let input = process.child.stdin.take();
    drop(input);
    let (mut said, mut errors) = (String::new(), String::new());
    for (stream, into) in [
        (
            process
                .child
                .stdout
                .take()
                .map(|out| Box::new(out) as Box<dyn io::Read>),
            &mut said,
        ),
        (
            process
                .child
                .stderr
                .take()
                .map(|out| Box::new(out) as Box<dyn io::Read>),
            &mut errors,
        ),
    ] {
        stream
            .ok_or("no output")?
            .read_to_string(into)
            .doing("read")?;
    }
    ensure(
        errors.contains("Permission denied") && !said.contains("secret"),
        || format!("expected what it executed to be refused, saw {said:?} {errors:?}"),
    )?;
    remove_cgroup(&top)
}
