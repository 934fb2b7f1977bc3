//! Who executes while a cgroup is tagged.

use std::{
    io::{self, BufRead},
    process::{Command, Stdio},
    thread,
};

use super::{Flags, await_flag, enter, make_cgroup, remove_cgroup, tag, untag};
use crate::{
    harness::{Check, Doing, ensure, members, process::Background, session::Shell},
    scenarios::{Context, lifecycle::scene},
};

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

pub(super) fn thread_executes(_: &mut Context) -> Check {
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
    // What it will open is remembered: who has to walk there gets storage, and is looked at for that.
    let flags = Flags::new("texec-moved")?;
    let said = run(&flags, &|_| shell_warms(&top))?;
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
