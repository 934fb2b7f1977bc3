//! Who is born while a cgroup is tagged or untagged.

use std::{
    fs,
    io::{self, BufRead},
    os::fd::AsRawFd,
    path::Path,
    process::{Command, Stdio},
};

use super::{Flags, await_flag, enter, make_cgroup, remove_cgroup, sleep, tag, untag};
use crate::{
    harness::{Check, Doing, ensure, events, members, process, process::Background},
    scenarios::{
        Context,
        lifecycle::{Scene, scene},
    },
};

/// Mappings of a process that forks: copying them takes long, so that there is always a child that is
/// being made.
const MAPPINGS: u32 = 30_000;

/// A process that forks all the time; its children wait to be asked.
struct Forker {
    process: Background,
    said: io::Lines<io::BufReader<std::process::ChildStdout>>,
}

/// What the children found.
#[derive(Debug, Default, Clone, Copy)]
struct Found {
    /// Could read what a session may not, in the cgroup.
    free: u32,
    /// Could, elsewhere.
    outside: u32,
    held: u32,
}

impl Forker {
    fn start(flags: &Flags, cgroup: &str, secret: &str) -> Check<Self> {
        let name = cgroup.trim_start_matches("/sys/fs/cgroup");
        let mut command = Command::new("/proc/self/exe");
        command
            .args(["who-forks", &flags.0, name, secret])
            .stdout(Stdio::piped());
        let mut process = Background::start(&mut command)?;
        let output = process.child.stdout.take().ok_or("no output")?;
        let mut said = io::BufReader::new(output).lines();
        said.next()
            .ok_or("the forking process ended")?
            .doing("read")?;
        Ok(Self { process, said })
    }

    fn found(&mut self) -> Check<Found> {
        let line = self.said.next().ok_or("the forking process ended")?;
        let line = line.doing("read")?;
        let mut numbers = line.split(' ').map(|word| word.parse().unwrap_or(u32::MAX));
        let mut next = || numbers.next().unwrap_or(u32::MAX);
        Ok(Found {
            free: next(),
            outside: next(),
            held: next(),
        })
    }
}

const FREE: i32 = 42;
const OUTSIDE: i32 = 43;
const HELD: i32 = 44;

/// `bailiff-scenarios who-forks FLAGS CGROUP SECRET`: forks until the flag `stop`. Children that are
/// made after the flag `arm` stay until `ask`.
pub(crate) fn fork_on(flags: &str, cgroup: &str, secret: &str) -> io::Result<()> {
    for index in 0..MAPPINGS {
        let protection = if index % 2 == 0 {
            libc::PROT_READ
        } else {
            libc::PROT_READ | libc::PROT_WRITE
        };
        // SAFETY: a new mapping of no file.
        let made = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                4096,
                protection,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if made == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
    }
    println!("ready");
    let raised = |flag: &str| Path::new(&format!("{flags}/{flag}")).exists();
    let mut found = Found::default();
    let mut children = 0;
    while !raised("stop") {
        let armed = raised("arm");
        // SAFETY: one thread.
        match unsafe { libc::fork() } {
            0 => {
                if armed {
                    await_flag(flags, "ask");
                }
                let code = if armed {
                    try_to_read(cgroup, secret)
                } else {
                    0
                };
                // SAFETY: ends the process.
                unsafe { libc::_exit(code) };
            }
            pid if pid > 0 && armed => children += 1,
            pid if pid > 0 => drop(wait_for_one()),
            _ => return Err(io::Error::last_os_error()),
        }
    }
    for _ in 0..children {
        match wait_for_one() {
            FREE => found.free += 1,
            OUTSIDE => found.outside += 1,
            _ => found.held += 1,
        }
    }
    println!("{} {} {}", found.free, found.outside, found.held);
    Ok(())
}

fn try_to_read(cgroup: &str, secret: &str) -> i32 {
    let place = process::cgroup_of("self").unwrap_or_default();
    match fs::read(secret) {
        Ok(_) if place.starts_with(cgroup) => FREE,
        Ok(_) => OUTSIDE,
        Err(_) => HELD,
    }
}

fn wait_for_one() -> i32 {
    let mut status = 0;
    // SAFETY: a live integer.
    unsafe { libc::wait(&raw mut status) };
    libc::WEXITSTATUS(status)
}

/// Forkers in a cgroup and in one below it, at the moment of `act`; what their children found.
fn forkers_during(
    name: &str,
    scene: &Scene,
    top: &str,
    act: impl FnOnce(&[Forker]) -> Check,
) -> Check<Found> {
    let flags = Flags::new(name)?;
    let mut forkers = Vec::new();
    for _ in 0..2 {
        forkers.push(Forker::start(&flags, top, &scene.secret)?);
    }
    flags.raise("arm")?;
    sleep(300);
    act(&forkers)?;
    members::agree(&format!("after the act of {name}"))?;
    flags.raise("stop")?;
    flags.raise("ask")?;
    let mut all = Found::default();
    for forker in &mut forkers {
        let found = forker.found()?;
        all.free += found.free;
        all.outside += found.outside;
        all.held += found.held;
        ensure(found.free + found.outside + found.held > 0, || {
            "no child was made".into()
        })?;
    }
    Ok(all)
}

pub(super) fn born_while_tagged(_: &mut Context) -> Check {
    let scene = scene("born-tagged")?;
    let top = make_cgroup("scenario-born")?;
    let below = make_cgroup("scenario-born/below")?;
    let found = forkers_during("tagged", &scene, &top, |forkers| {
        enter(&top, forkers[0].process.pid())?;
        enter(&below, forkers[1].process.pid())?;
        sleep(500);
        tag(&scene, &top)
    })?;
    untag(&top)?;
    remove_cgroup(&below)?;
    remove_cgroup(&top)?;
    // Those that were born before the move are outside, and free.
    ensure(found.free == 0 && found.held > 0, || {
        format!("expected no free child in the tagged cgroup, saw {found:?}")
    })
}

pub(super) fn born_while_untagged(_: &mut Context) -> Check {
    let scene = scene("born-untagged")?;
    let top = make_cgroup("scenario-freed")?;
    let found = forkers_during("untagged", &scene, &top, |forkers| {
        for forker in forkers {
            enter(&top, forker.process.pid())?;
        }
        tag(&scene, &top)?;
        sleep(500);
        untag(&top)
    })?;
    members::none_in(&top)?;
    remove_cgroup(&top)?;
    ensure(found.held == 0 && found.free > 0, || {
        format!("expected every child to be free after `untag`, saw {found:?}")
    })
}

pub(super) fn born_while_moved(_: &mut Context) -> Check {
    let scene = scene("born-moved")?;
    let top = make_cgroup("scenario-moved-in")?;
    tag(&scene, &top)?;
    let found = forkers_during("moved", &scene, &top, |forkers| {
        for forker in forkers {
            enter(&top, forker.process.pid())?;
        }
        sleep(500);
        Ok(())
    })?;
    untag(&top)?;
    remove_cgroup(&top)?;
    ensure(found.free == 0 && found.held > 0, || {
        format!("expected no free child in the tagged cgroup, saw {found:?}")
    })
}

/// `bailiff-scenarios who-is-born CGROUP SECRET`: a child made in that cgroup tries to read.
pub(crate) fn bear_into(cgroup: &str, secret: &str) -> io::Result<()> {
    let code = in_new_child(cgroup, || try_to_read("/", secret))?;
    println!("{}", if code == HELD { "held" } else { "free" });
    Ok(())
}

/// Exit code of a child that is made in `cgroup` by `clone3(CLONE_INTO_CGROUP)`.
pub(crate) fn in_new_child(cgroup: &str, act: impl FnOnce() -> i32) -> io::Result<i32> {
    const CLONE_INTO_CGROUP: u64 = 1 << 33;
    let directory = fs::File::open(cgroup)?;
    // `struct clone_args` up to `cgroup`.
    let mut arguments = [0_u64; 11];
    arguments[0] = CLONE_INTO_CGROUP;
    arguments[4] = u64::from(libc::SIGCHLD.unsigned_abs());
    arguments[10] = u64::try_from(directory.as_raw_fd()).unwrap_or(0);
    // SAFETY: a fork of one thread, with live arguments of this size.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            arguments.as_ptr(),
            size_of_val(&arguments),
        )
    };
    match pid {
        0 => {
            let code = act();
            // SAFETY: ends the process.
            unsafe { libc::_exit(code) }
        }
        pid if pid > 0 => {
            let mut status = 0;
            // SAFETY: an own child and a live integer.
            unsafe { libc::waitpid(pid as i32, &raw mut status, 0) };
            Ok(libc::WEXITSTATUS(status))
        }
        _ => Err(io::Error::last_os_error()),
    }
}

pub(super) fn born_into(_: &mut Context) -> Check {
    let scene = scene("born-into")?;
    let top = make_cgroup("scenario-into")?;
    let below = make_cgroup("scenario-into/below")?;
    let born = |cgroup: &str| -> Check<String> {
        let said = process::must(&["/proc/self/exe", "who-is-born", cgroup, &scene.secret])?;
        Ok(said.stdout.trim().into())
    };
    let expect = |cgroup: &str, expected: &str| {
        let seen = born(cgroup)?;
        ensure(seen == expected, || {
            format!("a child born into {cgroup}: expected {expected}, saw {seen}")
        })
    };
    expect(&top, "free")?;
    expect(&below, "free")?;
    tag(&scene, &top)?;
    expect(&top, "held")?;
    expect(&below, "held")?;
    let refused = events::query(&["--path", &format!("*{}", scene.secret)])?;
    ensure(refused.len() >= 2, || {
        format!("expected an event for each child, saw {}", refused.len())
    })?;
    untag(&top)?;
    expect(&below, "free")?;
    remove_cgroup(&below)?;
    remove_cgroup(&top)
}
