//! Cgroups that are tagged `--at-exec`: who is there sets things up as itself, and what it executes is
//! limited from its first instruction on.

use std::{
    fs,
    io::{self, BufRead},
    process::{Command, Stdio},
};

use super::{
    Context, Single,
    lifecycle::{Scene, scene, tag_words},
    who::{Flags, enter, make_cgroup, remove_cgroup, untag},
};
use crate::harness::{
    Check, Doing,
    daemon::{BAILIFF, Daemon},
    ensure, events, members,
    process::{self, Background},
    session::Shell,
};

pub(crate) fn scenarios() -> Vec<Single> {
    let new = |name, run| Single::new("armed", name, run);
    vec![
        new(
            "who is armed is free until it executes, and so are its children",
            until_executed,
        ),
        new(
            "what an armed process executes needs the right to be executed",
            right_to_execute,
        ),
        new(
            "a thread that executes takes its armed process's label with it",
            thread_executes,
        ),
        new(
            "who is born into an armed cgroup from outside is limited once it executes",
            born_into,
        ),
        new("a session cannot touch what is armed for it", out_of_reach),
        new(
            "a launcher is executed without taking the label's force",
            launcher,
        ),
        new(
            "a cgroup stays armed with the daemon dead and under the next one",
            dead_daemon,
        ),
    ]
}

/// Tags a cgroup; the session's name.
pub(super) fn arm(scene: &Scene, cgroup: &str) -> Check<String> {
    let mut words = tag_words(&scene.launch, cgroup);
    words.extend(["--at-exec".into(), "--json".into()]);
    let tagged = process::must(&words)?;
    let session: serde_json::Value =
        serde_json::from_str(&tagged.stdout).doing("read `bailiff tag --json`")?;
    ensure(session["extent"] == "cgroup-at-exec", || {
        format!("expected a session at the next exec, saw {session}")
    })?;
    Ok(session["name"].as_str().unwrap_or("?").to_owned())
}

/// A shell in a cgroup that was armed before it came.
fn armed_shell(name: &str) -> Check<(Scene, Shell, String, String)> {
    let scene = scene(name)?;
    let top = make_cgroup(&format!("scenario-{name}"))?;
    let session = arm(&scene, &top)?;
    let shell = Shell::unconfined(&[])?;
    enter(&top, shell.pid)?;
    Ok((scene, shell, top, session))
}

/// By the shell alone: no program is executed.
fn read(path: &str) -> String {
    format!("read -r line < {path}")
}

fn standing(pid: i32) -> Check<String> {
    let all = members::all()?;
    let own = all.into_iter().find(|member| member.tid == pid);
    own.map(|own| own.standing)
        .ok_or_else(|| format!("{pid} has no label"))
}

fn expect_standing(pid: i32, expected: &str) -> Check {
    let seen = standing(pid)?;
    ensure(seen == expected, || {
        format!("expected process {pid} to be {expected}, saw {seen}")
    })
}

fn until_executed(_: &mut Context) -> Check {
    let (scene, mut shell, top, session) = armed_shell("armed")?;
    let Scene { secret, world, .. } = &scene;
    expect_standing(shell.pid, "armed")?;
    // Itself, a child, and a grandchild.
    shell.may(&read(secret))?;
    shell.may(&format!("({})", read(secret)))?;
    shell.may(&format!("( ({}; true) )", read(secret)))?;
    let seen = events::of(&session)?;
    ensure(seen.is_empty(), || {
        format!("expected no event of who is armed, saw {seen:?}")
    })?;
    // A program, of the shell's and of a child's.
    shell.may_not(&format!("cat {secret}"))?;
    shell.may_not(&format!("(cat {secret}; exit $?)"))?;
    shell.may_not(&format!("bash -c '{}'", read(secret)))?;
    shell.may(&format!(
        "echo x > {0}/armed/file && cat {0}/armed/file",
        world.workspace
    ))?;
    shell.may(&read(secret))?;
    // One that was there before the tag, and executes after it.
    let later = make_cgroup("scenario-armed-later")?;
    let mut early = Shell::unconfined(&[])?;
    enter(&later, early.pid)?;
    early.may(&format!("cat {secret}"))?;
    arm(&scene, &later)?;
    expect_standing(early.pid, "armed")?;
    early.may(&read(secret))?;
    early.may_not(&format!("cat {secret}"))?;
    members::agree("after armed shells executed")?;
    untag(&top)?;
    untag(&later)?;
    shell.may(&format!("cat {secret}"))?;
    drop((shell, early));
    remove_cgroup(&later)?;
    remove_cgroup(&top)
}

fn right_to_execute(_: &mut Context) -> Check {
    let (scene, mut shell, top, session) = armed_shell("armed-program")?;
    let program = format!("{}/armed-program/program", scene.world.outside);
    fs::copy("/usr/bin/cat", &program).doing("copy a program")?;
    shell.may_not(&format!("{program} /dev/null"))?;
    let told = events::of(&session)?;
    let is_told = |event: &events::Event| event.right == "file.exec" && event.names(&program);
    ensure(told.iter().any(is_told), || {
        format!("expected a refusal of executing {program}, saw {told:?}")
    })?;
    // Whoever launches is as free as before.
    expect_standing(shell.pid, "armed")?;
    shell.may(&read(&scene.secret))?;
    shell.may("cat /dev/null")?;
    untag(&top)?;
    shell.may(&format!("{program} {}", scene.secret))?;
    drop(shell);
    remove_cgroup(&top)
}

fn thread_executes(_: &mut Context) -> Check {
    let scene = scene("armed-thread")?;
    let top = make_cgroup("scenario-armed-thread")?;
    arm(&scene, &top)?;
    let run = |cgroup: &str| -> Check<String> {
        let flags = Flags::new("armed-thread")?;
        let script = format!("{{ {} && echo \"$line\"; }} 2>&1", read(&scene.secret));
        let mut command = Command::new("/proc/self/exe");
        command
            .args(["who-executes", &flags.0, "/usr/bin/bash", "-c", &script])
            .stdout(Stdio::piped());
        let mut process = Background::start(&mut command)?;
        let output = process.child.stdout.take().ok_or("no output")?;
        let mut lines = io::BufReader::new(output).lines();
        lines.next().ok_or("it ended")?.doing("read")?;
        enter(cgroup, process.pid())?;
        flags.raise("go")?;
        lines.next().ok_or("it said nothing")?.doing("read")
    };
    let said = run(&top)?;
    ensure(said.contains("Permission denied"), || {
        format!("expected what a thread executes to be refused, saw {said}")
    })?;
    let said = run("/sys/fs/cgroup")?;
    ensure(said.contains("secret"), || {
        format!("expected the secret, saw {said}")
    })?;
    members::agree("after a thread executed")?;
    untag(&top)?;
    remove_cgroup(&top)
}

fn born_into(_: &mut Context) -> Check {
    let scene = scene("armed-born")?;
    let top = make_cgroup("scenario-armed-born")?;
    let below = make_cgroup("scenario-armed-born/below")?;
    let expect = |kind: &str, expected: &str| -> Check {
        for cgroup in [&top, &below] {
            let said = process::must(&["/proc/self/exe", kind, cgroup, &scene.secret])?;
            ensure(said.stdout.trim() == expected, || {
                format!(
                    "{kind} in {cgroup}: expected {expected}, saw {}",
                    said.stdout
                )
            })?;
        }
        Ok(())
    };
    expect("who-is-born", "free")?;
    expect("who-is-born-to-execute", "free")?;
    arm(&scene, &top)?;
    expect("who-is-born", "free")?;
    expect("who-is-born-to-execute", "held")?;
    untag(&top)?;
    expect("who-is-born-to-execute", "free")?;
    remove_cgroup(&below)?;
    remove_cgroup(&top)
}

/// `bailiff-scenarios who-is-born-to-execute CGROUP SECRET`: a child made in that cgroup executes `cat`.
pub(crate) fn bear_to_execute(cgroup: &str, secret: &str) -> io::Result<()> {
    use std::os::unix::process::CommandExt;
    let code = super::who::births::in_new_child(cgroup, || {
        let failed = Command::new("/usr/bin/cat")
            .arg(secret)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .exec();
        eprintln!("{failed}");
        99
    })?;
    println!("{}", if code == 0 { "free" } else { "held" });
    Ok(())
}

fn out_of_reach(_: &mut Context) -> Check {
    let (_, mut shell, top, session) = armed_shell("armed-reach")?;
    // Its own children, which are in the session: the shell is their parent.
    for act in [
        "bash -c 'kill -0 $PPID'",
        "bash -c 'kill -STOP $PPID'",
        "bash -c 'cat /proc/$PPID/environ'",
        "bash -c 'cat /proc/$PPID/mem'",
        "bash -c 'readlink /proc/$PPID/fd/0 || cat /proc/$PPID/fd/0'",
    ] {
        shell.may_not(act)?;
    }
    // Between themselves they may.
    shell.may("bash -c 'sleep 100 & kill -0 $! && cat /proc/$!/environ >/dev/null && kill $!'")?;
    let told = events::of(&session)?;
    for right in ["process.signal", "process.ptrace"] {
        let is_told = told
            .iter()
            .any(|event| event.right == right && event.reason == "outside-session");
        ensure(is_told, || {
            format!("expected a refusal of {right}, saw {told:?}")
        })?;
    }
    untag(&top)?;
    drop(shell);
    remove_cgroup(&top)
}

const EXECUTOR: &str = "/usr/lib/systemd/systemd-executor";

/// A shell at the launcher's place, which can be told what to do.
struct Executor;

impl Executor {
    fn make(name: &str) -> Check<Self> {
        let shell = format!("/run/scenarios/{name}");
        fs::copy("/usr/bin/bash", &shell).doing("copy a shell")?;
        process::must(&["mount", "--bind", &shell, EXECUTOR])?;
        Ok(Self)
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        let _ = process::run(&["umount", EXECUTOR]);
    }
}

fn launcher(_: &mut Context) -> Check {
    let executor = Executor::make("executor")?;
    let (scene, mut shell, top, _) = armed_shell("armed-launcher")?;
    let secret = &scene.secret;
    shell.may(&format!("{EXECUTOR} -c '{}'", read(secret)))?;
    shell.may_not(&format!("{EXECUTOR} -c 'exec cat {secret}'"))?;
    shell.may_not(&format!(
        "{EXECUTOR} -c '{EXECUTOR} -c \"exec cat {secret}\"'"
    ))?;
    // A launcher that executes one is no service manager: a service's program can be a link to it.
    shell.may_not(&format!(
        "{EXECUTOR} -c 'exec {EXECUTOR} -c \"{}\"'",
        read(secret)
    ))?;
    let link = format!("{}/armed-launcher/link", scene.world.workspace);
    std::os::unix::fs::symlink(EXECUTOR, &link).doing("make a link")?;
    shell.may_not(&format!(
        "{EXECUTOR} -c 'exec {link} -c \"{}\"'",
        read(secret)
    ))?;
    shell.may_not(&format!(
        "{EXECUTOR} -c '(exec {link} -c \"{}\"); exit $?'",
        read(secret)
    ))?;
    // A copy of it is not it.
    let copy = format!("{}/armed-launcher/copy", scene.world.workspace);
    fs::copy(EXECUTOR, &copy).doing("copy a shell")?;
    shell.may_not(&format!("{copy} -c '{}'", read(secret)))?;
    // In a session it is nothing special.
    shell.may_not(&format!(
        "bash -c 'exec {EXECUTOR} -c \"{}\"'",
        read(secret)
    ))?;
    // One that takes its place later is not marked.
    drop(executor);
    let _executor = Executor::make("next-executor")?;
    shell.may_not(&format!("{EXECUTOR} -c '{}'", read(secret)))?;
    untag(&top)?;
    drop(shell);
    remove_cgroup(&top)
}

fn dead_daemon(context: &mut Context) -> Check {
    let (scene, mut shell, top, session) = armed_shell("armed-dead")?;
    let secret = &scene.secret;
    context.daemon()?.kill()?;
    let mut late = Shell::unconfined(&[])?;
    enter(&top, late.pid)?;
    let decides = |shell: &mut Shell| -> Check {
        shell.may(&read(secret))?;
        shell.may_not(&format!("cat {secret}"))?;
        shell.may("cat /dev/null").map(drop)
    };
    decides(&mut shell)?;
    decides(&mut late)?;
    context.daemon = Some(Daemon::start()?);
    decides(&mut shell)?;
    decides(&mut late)?;
    expect_standing(late.pid, "armed")?;
    // Who comes now is armed as well, so the next daemon did not make a plain tag of it.
    let mut last = Shell::unconfined(&[])?;
    enter(&top, last.pid)?;
    decides(&mut last)?;
    process::must(&[BAILIFF, "stop", &session])?;
    for shell in [&shell, &late, &last] {
        process::eventually("it is killed", 10, || {
            !fs::exists(format!("/proc/{}/fd/0", shell.pid)).unwrap_or(false)
        })?;
    }
    remove_cgroup(&top)
}
