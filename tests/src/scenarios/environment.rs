//! What sessions are handed over of the environment.

use std::{fs, process::Command};

use super::{Context, Single};
use crate::harness::{
    Check, Doing,
    daemon::BAILIFF,
    ensure,
    process::{self, Background, Ended, shell},
    session::Launch,
};

pub(crate) fn scenarios() -> Vec<Single> {
    let new = |name, run| Single::new("environment", name, run).once();
    vec![
        new("a command has what its grant keeps, and nothing else", kept),
        new("a grant keeps a secret by its name, and only that", by_name),
        new(
            "what was dropped cannot be read from who started it",
            behind,
        ),
        new(
            "a tagged cgroup keeps its environment, and is told of",
            tagged,
        ),
    ]
}

const SECRET: &str = "hunter2hunter2";

fn launch(name: &str, environment: &str) -> Check<Launch> {
    let path = format!("/environment-{name}.toml");
    let text = format!("version = 1\nname = \"{name}\"\ninclude = [\"base\"]\n{environment}\n");
    fs::write(&path, text).doing("write a grant")?;
    Ok(Launch::grant(&path))
}

/// Variables that the caller has: two that programs need, and three that they do not.
fn with_secrets(command: &mut Command) {
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin:~/bin:")
        .env("LC_ALL", "C.UTF-8")
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env("LD_LIBRARY_PATH", "/nonesuch")
        .env("BAILIFF_SESSION", "another-1");
}

/// What a command sees, sorted, one on each line.
fn run(launch: &Launch, words: &[&str]) -> Check<Ended> {
    let mut command = launch.command(words);
    with_secrets(&mut command);
    process::finish(command.spawn().doing("start bailiff run")?, "bailiff run")
}

fn seen(launch: &Launch) -> Check<Vec<String>> {
    let ended = run(launch, &["cat", "/proc/self/environ"])?;
    ensure(ended.code == 0, || ended.tail())?;
    let mut seen: Vec<_> = ended
        .stdout
        .split_terminator('\0')
        .filter(|line| !line.starts_with("BAILIFF_SESSION="))
        .map(str::to_owned)
        .collect();
    let own = ended.stdout.matches("BAILIFF_SESSION=").count();
    ensure(own == 1 && !ended.stdout.contains("another-1"), || {
        format!("its own name is not there once: {}", ended.stdout)
    })?;
    seen.sort();
    Ok(seen)
}

fn expect(seen: &[String], expected: &[&str]) -> Check {
    ensure(seen == expected, || format!("saw {seen:?}"))
}

const PATH: &str = "PATH=/usr/local/bin:/usr/bin:/bin:~/bin:";

fn kept(context: &mut Context) -> Check {
    context.daemon()?;
    expect(&seen(&launch("kept", "")?)?, &["LC_ALL=C.UTF-8", PATH])?;
    let set = "[environment]\ndefault = false\nset = { CI = \"1\", LC_ALL = \"C\" }";
    expect(&seen(&launch("set", set)?)?, &["CI=1", "LC_ALL=C"])?;
    // Unconfined, everything is there.
    let unconfined = process::run_with(&["env"], &mut with_secrets)?;
    ensure(unconfined.stdout.contains(SECRET), || unconfined.tail())?;
    // What is dropped is named, and its value is not.
    let launch = launch("kept", "")?;
    let words = [
        BAILIFF,
        "run",
        "--verbose",
        "--grant",
        &launch.grant,
        "--",
        "true",
    ];
    let told = process::run_with(&words, &mut with_secrets)?;
    let names = ["AWS_SECRET_ACCESS_KEY", "LD_LIBRARY_PATH"];
    ensure(names.iter().all(|name| told.stderr.contains(name)), || {
        told.tail()
    })?;
    let shown = process::run_with(
        &[BAILIFF, "grant", "show", &launch.grant],
        &mut with_secrets,
    )?;
    ensure(names.iter().all(|name| shown.stdout.contains(name)), || {
        shown.tail()
    })?;
    for text in [&told.stderr, &shown.stdout] {
        ensure(!text.contains(SECRET), || {
            format!("a value is told: {text}")
        })?;
    }
    Ok(())
}

fn by_name(context: &mut Context) -> Check {
    context.daemon()?;
    let keep = "[environment]\nkeep = [\"AWS_SECRET_ACCESS_KEY\"]";
    let launch = launch("secret", keep)?;
    let secret = format!("AWS_SECRET_ACCESS_KEY={SECRET}");
    expect(&seen(&launch)?, &[&secret, "LC_ALL=C.UTF-8", PATH])?;
    let checked = process::run(&[BAILIFF, "grant", "check", &launch.grant])?;
    ensure(
        checked.code == 0 && checked.stdout.contains("keeps what is a secret"),
        || checked.tail(),
    )
}

/// `bailiff run` itself has the secret, and so had the session's first process before its exec.
fn behind(context: &mut Context) -> Check {
    context.daemon()?;
    let launch = launch("behind", "")?;
    let script = "grep -c hunter2 /proc/$$/environ; cat /proc/$PPID/environ";
    let ended = run(&launch, &["bash", "-c", script])?;
    let refused = ended.code != 0 && ended.stderr.contains("Permission denied");
    ensure(refused && ended.stdout.trim() == "0", || ended.tail())
}

fn tagged(context: &mut Context) -> Check {
    context.daemon()?;
    let launch = launch("tagged", "")?;
    shell("mkdir -p /sys/fs/cgroup/environment")?;
    let mut command = Command::new("sleep");
    command.arg("1000").env("AWS_SECRET_ACCESS_KEY", SECRET);
    let sleeper = Background::start(&mut command)?;
    let pid = sleeper.pid();
    shell(&format!(
        "echo {pid} >/sys/fs/cgroup/environment/cgroup.procs"
    ))?;
    let tag = process::must(&[BAILIFF, "tag", "environment", "--grant", &launch.grant])?;
    ensure(tag.stderr.contains("environment is as it was"), || {
        tag.tail()
    })?;
    let name = tag.stdout.split(':').next().unwrap_or_default().to_owned();
    let status = process::must(&[BAILIFF, "status", &name])?;
    let environ = fs::read(format!("/proc/{pid}/environ")).doing("read an environment")?;
    process::must(&[BAILIFF, "untag", &name])?;
    drop(sleeper);
    let _ = shell("sleep 0.2; rmdir /sys/fs/cgroup/environment");
    ensure(status.stdout.contains("as it was"), || status.tail())?;
    ensure(String::from_utf8_lossy(&environ).contains(SECRET), || {
        "a running process lost its environment".into()
    })
}
