//! Who is in: births, moves and executions while a cgroup is tagged or untagged.
//!
//! `ps --tasks` tells what the kernel holds of every thread; beside it every process tries for itself
//! what a session may not.

use std::{
    fs,
    io::{self, BufRead},
    os::fd::AsRawFd,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use super::{
    Context, Single,
    lifecycle::{Scene, scene, tag_words},
};
use crate::harness::{
    Check, Doing,
    daemon::BAILIFF,
    ensure, events, members, process,
    process::{Background, eventually},
    session::Shell,
};

pub(crate) fn scenarios() -> Vec<Single> {
    let new = |name, run| Single::new("who", name, run);
    vec![
        new(
            "a child that is being born while its cgroup is tagged is refused",
            born_while_tagged,
        ),
        new(
            "a child that is being born while its cgroup is untagged is free",
            born_while_untagged,
        ),
        new(
            "a child whose parent is moved into a tagged cgroup while it is born is refused",
            born_while_moved,
        ),
        new(
            "a child born into a tagged cgroup from outside is refused, and below it",
            born_into,
        ),
        new(
            "a thread that executes keeps what its process was given, or lost, while it lived",
            thread_executes,
        ),
        new(
            "a process keeps its session in another session's cgroup",
            second_tag,
        ),
        new(
            "a free process is refused in a cgroup below a tagged one, however deep, with all threads",
            below,
        ),
        new(
            "a process that outlives its session is refused everything, whoever takes its place",
            outlives,
        ),
        new(
            "a cgroup of the same path is another one, and the end of the first is an event",
            same_path,
        ),
    ]
}

/// What tells processes of a scenario when to go on.
struct Flags(String);

impl Flags {
    fn new(name: &str) -> Check<Self> {
        let directory = format!("/run/scenarios/who-{name}");
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).doing("make a directory")?;
        Ok(Self(directory))
    }

    fn raise(&self, flag: &str) -> Check {
        fs::write(format!("{}/{flag}", self.0), "").doing("raise a flag")
    }
}

fn await_flag(directory: &str, flag: &str) {
    let path = format!("{directory}/{flag}");
    while !Path::new(&path).exists() {
        thread::sleep(Duration::from_millis(10));
    }
}

fn make_cgroup(name: &str) -> Check<String> {
    let path = format!("/sys/fs/cgroup/{name}");
    fs::create_dir_all(&path).doing("make a cgroup")?;
    Ok(path)
}

fn enter(cgroup: &str, pid: i32) -> Check {
    fs::write(format!("{cgroup}/cgroup.procs"), pid.to_string()).doing("move a process")
}

/// Waits until a cgroup has no process, then removes it.
fn remove_cgroup(path: &str) -> Check {
    let mut error = None;
    eventually(&format!("{path} is removed"), 20, || {
        error = fs::remove_dir(path).err();
        error.is_none()
    })
    .map_err(|text| format!("{text}: {error:?}"))
}

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
    let place = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    match fs::read(secret) {
        Ok(_) if place.trim_start_matches("0::").starts_with(cgroup) => FREE,
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

fn sleep(milliseconds: u64) {
    thread::sleep(Duration::from_millis(milliseconds));
}

fn tag(scene: &Scene, cgroup: &str) -> Check {
    process::must(&tag_words(&scene.launch, cgroup)).map(drop)
}

fn untag(cgroup: &str) -> Check {
    process::must(&[BAILIFF, "untag", cgroup]).map(drop)
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

fn born_while_tagged(_: &mut Context) -> Check {
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

fn born_while_untagged(_: &mut Context) -> Check {
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

fn born_while_moved(_: &mut Context) -> Check {
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
pub(super) fn in_new_child(cgroup: &str, act: impl FnOnce() -> i32) -> io::Result<i32> {
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

fn born_into(_: &mut Context) -> Check {
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

/// `bailiff-scenarios who-executes FLAGS PROGRAM ARGUMENT…`: a thread waits for the flag `go`, then
/// executes, while its leader sleeps.
pub(crate) fn execute_on(flags: &str, words: &[&str]) -> io::Result<()> {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    let flags = flags.to_owned();
    let executed = thread::spawn(move || {
        await_flag(&flags, "go");
        command.exec()
    });
    println!("ready");
    let failed = executed.join();
    Err(failed.unwrap_or_else(|_| io::Error::other("the thread panicked")))
}

fn thread_executes(_: &mut Context) -> Check {
    let scene = scene("thread-exec")?;
    let top = make_cgroup("scenario-texec")?;
    let script = format!("cat {} 2>&1", scene.secret);
    let run = |flags: &Flags, act: &dyn Fn(i32) -> Check| -> Check<String> {
        let mut command = Command::new("/proc/self/exe");
        command
            .args(["who-executes", &flags.0, "/usr/bin/bash", "-c", &script])
            .stdout(Stdio::piped());
        let mut process = Background::start(&mut command)?;
        let output = process.child.stdout.take().ok_or("no output")?;
        let mut lines = io::BufReader::new(output).lines();
        lines.next().ok_or("it ended")?.doing("read")?;
        enter(&top, process.pid())?;
        act(process.pid())?;
        members::agree("before a thread executes")?;
        flags.raise("go")?;
        let said = lines.next().ok_or("it said nothing")?.doing("read")?;
        members::agree("after a thread executed")?;
        Ok(said)
    };
    // Its process is free, and stays so.
    let said = run(&Flags::new("texec-free")?, &|_| Ok(()))?;
    ensure(said.contains("secret"), || {
        format!("expected the secret, saw {said}")
    })?;
    // Warm what it will open, so that it is remembered.
    let mut shell = Shell::unconfined(&[])?;
    enter(&top, shell.pid)?;
    // Tagged while the thread lives.
    let flags = Flags::new("texec-tagged")?;
    let said = run(&flags, &|_| {
        tag(&scene, &top)?;
        shell_warms(&top)
    })?;
    ensure(said.contains("Permission denied"), || {
        format!("expected a thread of a tagged process to be refused, saw {said}")
    })?;
    shell.may_not(&format!("cat {}", scene.secret))?;
    // Untagged while the thread lives.
    let flags = Flags::new("texec-untagged")?;
    let said = run(&flags, &|_| untag(&top))?;
    ensure(said.contains("secret"), || {
        format!("expected a thread of an untagged process to be free, saw {said}")
    })?;
    shell.may(&format!("cat {}", scene.secret))?;
    // Moved into a tagged cgroup while the thread lives.
    let root = "/sys/fs/cgroup";
    enter(root, shell.pid)?;
    tag(&scene, &top)?;
    let said = run(&Flags::new("texec-moved")?, &|_| Ok(()))?;
    ensure(said.contains("Permission denied"), || {
        format!("expected a thread of a moved process to be refused, saw {said}")
    })?;
    untag(&top)?;
    remove_cgroup(&top)
}

/// Programs and libraries are run once in the session.
fn shell_warms(cgroup: &str) -> Check {
    let mut shell = Shell::unconfined(&[])?;
    enter(cgroup, shell.pid)?;
    shell.may("bash -c 'cat /dev/null'").map(drop)
}

fn second_tag(_: &mut Context) -> Check {
    let scene = scene("second-tag")?;
    let [one, two] = ["scenario-one", "scenario-two"].map(make_cgroup);
    let (one, two) = (one?, two?);
    let everything = scene.world.launch(
        "who-everything",
        &crate::harness::matrix::everything_grant(),
    )?;
    let mut shell = Shell::unconfined(&[])?;
    enter(&one, shell.pid)?;
    tag(&scene, &one)?;
    process::must(&tag_words(&everything, &two))?;
    shell.may_not(&format!("cat {}", scene.secret))?;
    // What a free process may do there, it may not.
    let mut free = Shell::unconfined(&[])?;
    enter(&two, free.pid)?;
    free.may(&format!("cat {}", scene.secret))?;
    enter(&two, shell.pid)?;
    shell.may_not(&format!("cat {}", scene.secret))?;
    shell.may_not(&format!("bash -c 'cat {}'", scene.secret))?;
    let all = members::all()?;
    let own = all.iter().find(|member| member.tid == shell.pid);
    let standing = own.map(|member| member.standing.as_str());
    ensure(standing == Some("moved"), || {
        format!("expected the shell to be listed as moved, saw {own:?}")
    })?;
    untag(&one)?;
    // It is in the second's cgroup still, which no tag gave it: it is free until it comes anew.
    shell.may(&format!("cat {}", scene.secret))?;
    untag(&two)?;
    drop((shell, free));
    remove_cgroup(&one)?;
    remove_cgroup(&two)
}

/// Levels below the tagged cgroup.
const DEPTH: usize = 40;

fn below(_: &mut Context) -> Check {
    let scene = scene("below")?;
    let top = make_cgroup("scenario-deep")?;
    let deep = format!("{top}{}", "/d".repeat(DEPTH));
    fs::create_dir_all(&deep).doing("make cgroups")?;
    tag(&scene, &top)?;
    let mut toiler = super::lifecycle::Toiler::start(&scene.secret)?;
    let before = toiler.ask()?;
    enter(&deep, toiler.process.pid())?;
    let after = toiler.ask()?;
    ensure(before > 1 && after == 0, || {
        format!(
            "expected all threads to read before the move and none after, saw {before}, {after}"
        )
    })?;
    let mut shell = Shell::unconfined(&[])?;
    shell.may(&format!("cat {}", scene.secret))?;
    enter(&deep, shell.pid)?;
    shell.may_not(&format!("cat {}", scene.secret))?;
    members::agree("in a deep cgroup")?;
    untag(&top)?;
    shell.may(&format!("cat {}", scene.secret))?;
    drop((shell, toiler));
    sleep(200);
    process::shell(&format!("find {top} -depth -type d -exec rmdir {{}} +")).map(drop)
}

fn outlives(_: &mut Context) -> Check {
    let scene = scene("outlives")?;
    let workspace = format!("{}/outlives", scene.world.workspace);
    let mut shell = Shell::start(&scene.launch)?;
    shell.may(&format!(
        "echo x > {workspace}/file && cat {workspace}/file"
    ))?;
    enter("/sys/fs/cgroup", shell.pid)?;
    let session = shell.session.clone();
    eventually(
        "the session ends with its cgroup's last process",
        20,
        || {
            let listed = process::must(&[BAILIFF, "ps", "--json"]);
            listed.is_ok_and(|listed| !listed.stdout.contains(&format!("\"{session}\"")))
        },
    )?;
    let everything = |shell: &mut Shell| -> Check {
        // By the shell alone: nothing can be executed any more.
        shell.may_not(&format!("read -r line < {workspace}/file"))?;
        shell.may_not(&format!("echo x > {workspace}/new"))?;
        shell
            .may_not(&format!("kill -0 {}", std::process::id()))
            .map(drop)
    };
    everything(&mut shell)?;
    // Somebody else takes its slot.
    let mut next = Shell::start(&scene.launch)?;
    next.may(&format!("cat {workspace}/file"))?;
    everything(&mut shell)?;
    let all = members::all()?;
    let own = all.iter().find(|member| member.tid == shell.pid);
    ensure(own.is_some_and(|member| member.standing == "ended"), || {
        format!("expected the shell to be listed as of an ended session, saw {own:?}")
    })?;
    let refused = events::of(&session)?;
    let found = refused.iter().any(|event| event.reason == "session-ended");
    ensure(found, || {
        "expected an event of the first session with the reason session-ended".into()
    })?;
    // And a command ends it, by its label.
    process::must(&[BAILIFF, "stop", &session])?;
    eventually("the process is gone", 10, || {
        members::all().is_ok_and(|all| all.iter().all(|member| member.tid != shell.pid))
    })?;
    next.may(&format!("cat {workspace}/file")).map(drop)
}

fn same_path(_: &mut Context) -> Check {
    let scene = scene("same-path")?;
    let top = make_cgroup("scenario-service")?;
    let mut first = Shell::unconfined(&[])?;
    enter(&top, first.pid)?;
    let tagged = process::must(&{
        let mut words = tag_words(&scene.launch, &top);
        words.push("--json".into());
        words
    })?;
    let session: serde_json::Value =
        serde_json::from_str(&tagged.stdout).doing("read `bailiff tag --json`")?;
    let name = session["name"].as_str().unwrap_or("?").to_owned();
    first.may_not(&format!("cat {}", scene.secret))?;
    drop(first);
    remove_cgroup(&top)?;
    // At once, as a service manager does.
    let top = make_cgroup("scenario-service")?;
    let mut second = Shell::unconfined(&[])?;
    enter(&top, second.pid)?;
    let listed = process::must(&[BAILIFF, "ps", "--json"])?.stdout;
    let page: serde_json::Value = serde_json::from_str(&listed).doing("read `bailiff ps`")?;
    let still = page["items"].as_array().into_iter().flatten();
    let still = still
        .filter(|item| item["name"] == name.as_str())
        .find(|item| item["state"] == "running" || item["processes"] != 0);
    ensure(still.is_none(), || {
        format!("expected the first session to have no process any more, saw {still:?}")
    })?;
    second.may(&format!("cat {}", scene.secret))?;
    let mut seen = String::new();
    eventually("the end is an event", 3, || {
        let all = process::must(&[BAILIFF, "events", "--session", &name]);
        seen = all.map(|all| all.stdout).unwrap_or_default();
        seen.contains("cgroup-removed")
    })
    .map_err(|error| format!("{error}: {seen}"))?;
    let past = process::must(&[BAILIFF, "ps", "--all", "--json"])?.stdout;
    ensure(past.contains("cgroup-removed"), || past.clone())?;
    // And it can be tagged anew.
    tag(&scene, &top)?;
    second.may_not(&format!("cat {}", scene.secret))?;
    untag(&top)?;
    drop(second);
    remove_cgroup(&top)
}
