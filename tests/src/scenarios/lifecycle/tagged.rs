//! Processes that a tag finds, or that come to a tagged cgroup.

use std::{fs, process::Stdio};

use super::{Scene, scene, tag_words, tagged_shell};
use crate::{
    acts::SECRET,
    harness::{
        Check, Doing,
        daemon::BAILIFF,
        ensure, events,
        process::{self, Background, eventually, shell},
        session::Shell,
    },
    scenarios::Context,
};

/// A process with threads that try to read a file whenever they are asked.
pub(crate) struct Toiler {
    pub(crate) process: Background,
    answers: std::io::BufReader<std::process::ChildStdout>,
}

const THREADS: u32 = 6;

impl Toiler {
    pub(crate) fn start(secret: &str) -> Check<Self> {
        let mut command = std::process::Command::new("/proc/self/exe");
        command
            .args(["toil", secret, &THREADS.to_string()])
            .stdout(Stdio::piped());
        let mut process = Background::start(&mut command)?;
        let answers = process.child.stdout.take().ok_or("no output")?;
        Ok(Self {
            process,
            answers: std::io::BufReader::new(answers),
        })
    }

    /// How many of its threads could read the file.
    pub(crate) fn ask(&mut self) -> Check<u32> {
        use std::io::BufRead;
        self.process.tell("")?;
        let mut line = String::new();
        self.answers.read_line(&mut line).doing("read")?;
        line.trim()
            .parse()
            .map_err(|_| format!("no answer: {line:?}"))
    }
}

/// `bailiff-scenarios toil FILE THREADS`: on each line of input every thread tries once.
pub(crate) fn toil(secret: &str, threads: &str) -> std::io::Result<()> {
    use std::{
        io::{BufRead, Write},
        sync::mpsc::channel,
    };
    let (answer, answers) = channel();
    let askers = (0..threads.parse().unwrap_or(1))
        .map(|_| {
            let (ask, asked) = channel::<()>();
            let (answer, secret) = (answer.clone(), secret.to_owned());
            std::thread::spawn(move || {
                for () in asked {
                    let _ = answer.send(fs::read(&secret).is_ok());
                }
            });
            ask
        })
        .collect::<Vec<_>>();
    for line in std::io::stdin().lock().lines() {
        line?;
        for ask in &askers {
            let _ = ask.send(());
        }
        let read = answers
            .iter()
            .take(askers.len())
            .filter(|read| *read)
            .count();
        println!("{read}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

pub(super) fn tag_running(_: &mut Context) -> Check {
    let Scene { launch, secret, .. } = scene("tagged")?;
    let top = "/sys/fs/cgroup/scenario-tag";
    let cgroups = [
        top.to_owned(),
        format!("{top}/a"),
        format!("{top}/a/b"),
        format!("{top}/c"),
    ];
    let mut toilers = Vec::new();
    for cgroup in &cgroups {
        fs::create_dir_all(cgroup).doing("make a cgroup")?;
        for _ in 0..3 {
            let toiler = Toiler::start(&secret)?;
            fs::write(
                format!("{cgroup}/cgroup.procs"),
                toiler.process.pid().to_string(),
            )
            .doing("move a process")?;
            toilers.push(toiler);
        }
    }
    let ask = |toilers: &mut Vec<Toiler>| -> Check<Vec<u32>> {
        toilers.iter_mut().map(Toiler::ask).collect()
    };
    let before = ask(&mut toilers)?;
    ensure(before.iter().all(|read| *read == THREADS), || {
        format!("untagged threads read {before:?}")
    })?;
    let tagged = process::must(&tag_words(&launch, top))?;
    let after = ask(&mut toilers)?;
    ensure(after.iter().all(|read| *read == 0), || {
        format!(
            "expected no thread to read after `tag`, saw {after:?} ({})",
            tagged.stdout
        )
    })?;
    process::must(&[BAILIFF, "untag", top])?;
    let freed = ask(&mut toilers)?;
    ensure(freed.iter().all(|read| *read == THREADS), || {
        format!("expected every thread to read after `untag`, saw {freed:?}")
    })?;
    drop(toilers);
    shell(&format!("sleep 0.2; rmdir {top}/a/b {top}/a {top}/c {top}")).map(drop)
}

pub(super) fn moved(_: &mut Context) -> Check {
    let Scene { launch, secret, .. } = scene("moved")?;
    let mut shell = Shell::start(&launch)?;
    // Somebody stays: a session whose cgroup is empty has ended.
    shell.may("sleep 300 >/dev/null 2>&1 &")?;
    let root = "/sys/fs/cgroup/cgroup.procs";
    fs::write(root, shell.pid.to_string()).doing("move the shell to the root cgroup")?;
    let cgroup = process::cgroup_of(shell.pid)?;
    ensure(cgroup == "/", || {
        format!("the shell was not moved: {cgroup}")
    })?;
    shell.may_not(&format!("cat {secret}"))?;
    shell.may_not(&format!("sh -c 'sh -c \"cat {secret}\"; exit $?'"))?;
    shell.may_not(&format!("(setsid sh -c 'cat {secret}')"))?;
    let seen = || events::query(&["--path", &format!("*{secret}")]).unwrap_or_default();
    eventually("the refusals of a moved process are recorded", 10, || {
        seen().iter().any(|event| event.right == "file.read")
    })
    .map_err(|error| {
        let all = events::query(&["--since", "20s"]).unwrap_or_default();
        let all = all
            .iter()
            .map(crate::harness::events::Event::brief)
            .collect::<Vec<_>>()
            .join("; ");
        format!("{error}: {all}")
    })
}

pub(super) fn entered(_: &mut Context) -> Check {
    let (scene, _first, cgroup) = tagged_shell("entered", &[])?;
    let mut late = Shell::unconfined(&[])?;
    late.may(&format!("cat {}", scene.secret))?;
    fs::write(format!("{cgroup}/cgroup.procs"), late.pid.to_string()).doing("move the shell")?;
    late.may_not(&format!("cat {}", scene.secret))?;
    late.may_not("echo 0 > /sys/fs/cgroup/cgroup.procs")?;
    late.may_not(&format!("cat {}", scene.secret)).map(drop)
}

pub(super) fn exec_by_thread(_: &mut Context) -> Check {
    let Scene {
        launch,
        secret,
        world,
    } = scene("thread")?;
    let driver = format!("{}/thread/driver", world.workspace);
    fs::copy("/proc/self/exe", &driver).doing("copy the driver")?;
    let mut shell = Shell::start(&launch)?;
    shell.may(&format!(
        "{driver} exec-by-thread /usr/bin/cat {}/thread/ok || true",
        world.workspace
    ))?;
    shell.may_not(&format!("{driver} exec-by-thread /usr/bin/cat {secret}"))?;
    let ok = format!("{}/thread/ok", world.workspace);
    fs::write(&ok, SECRET).doing("write")?;
    let said = shell.may(&format!("{driver} exec-by-thread /usr/bin/cat {ok}"))?;
    ensure(said.contains("secret"), || {
        format!("expected the granted file's content, saw {said}")
    })
}

/// `bailiff-scenarios exec-by-thread PROGRAM ARGUMENT…`
pub(crate) fn execute_by_thread(words: &[&str]) -> std::io::Result<()> {
    use std::os::unix::process::CommandExt;
    let mut command = std::process::Command::new(words[0]);
    command.args(&words[1..]);
    let failed = std::thread::spawn(move || command.exec()).join();
    Err(failed.unwrap_or_else(|_| std::io::Error::other("the thread panicked")))
}

pub(super) fn earlier_namespace(_: &mut Context) -> Check {
    let words = ["unshare", "--user", "--map-root-user", "--mount"];
    let (scene, mut shell, _cgroup) = tagged_shell("userns", &words)?;
    let place = format!("{}/userns", scene.world.workspace);
    shell.may_not(&format!("mount -t tmpfs none {place}"))?;
    shell.may_not("unshare --user true")?;
    shell.may_not(&format!("cat {}", scene.secret)).map(drop)
}

/// The session sees the granted name over the secret, by a mount that was there before.
pub(super) fn earlier_mounts(_: &mut Context) -> Check {
    let scene = scene("mountns")?;
    let (from, to) = (
        format!("{}/mountns", scene.world.outside),
        format!("{}/mountns", scene.world.workspace),
    );
    let mut shell = Shell::unconfined(&["unshare", "--mount"])?;
    shell.may(&format!("mount --bind {from} {to} && cat {to}/secret"))?;
    let cgroup = "/sys/fs/cgroup/scenario-mountns";
    fs::create_dir_all(cgroup).doing("make a cgroup")?;
    fs::write(format!("{cgroup}/cgroup.procs"), shell.pid.to_string()).doing("move the shell")?;
    process::must(&tag_words(&scene.launch, cgroup))?;
    // One filesystem, so its topmost mount counts: the secret is still outside.
    shell.may_not(&format!("cat {to}/secret"))?;
    shell.may_not(&format!("cat {from}/secret")).map(drop)
}
