//! Sessions and the daemon through their lives.

use std::{fs, os::fd::AsRawFd, process::Stdio};

use super::{Context, Single, leavings::end};
use crate::{
    acts::SECRET,
    harness::{
        Check, Doing,
        daemon::{BAILIFF, Daemon},
        ensure, events,
        process::{self, Background, eventually, shell},
        report::skip,
        session::{Launch, Shell},
        world::{Place, World},
    },
};

pub(crate) fn scenarios() -> Vec<Single> {
    let new = |name, run| Single::new("lifecycle", name, run);
    vec![
        new(
            "a killed daemon changes no verdict, and the next one takes over",
            killed_daemon,
        ),
        new("a second daemon is refused", second_daemon),
        new(
            "tagging a running cgroup reaches every thread and child cgroup at once",
            tag_running,
        ),
        new(
            "a process that was moved to another cgroup stays refused, and its grandchildren",
            moved,
        ),
        new("a process that enters a tagged cgroup is refused", entered),
        new(
            "exec by a thread that is not the leader stays labelled",
            exec_by_thread,
        ),
        new("no descriptor is inherited", inherited),
        new("a deleted file is judged by the name that it had", deleted),
        new(
            "standard input from outside cannot be truncated",
            truncate_input,
        ),
        new(
            "a set-user-id or set-group-id program in a tagged cgroup is refused",
            set_user_id,
        ),
        new(
            "a user namespace made before gives no mount",
            earlier_namespace,
        ),
        new(
            "a mount namespace made before gives no access",
            earlier_mounts,
        ),
        new(
            "a session cannot kill, trace or command the daemon",
            against_daemon,
        ),
        new("a session may ask why it was refused", ask_why),
        new(
            "a refused move is explained by the command that why names",
            explain_move,
        ),
        new(
            "a directory that is moved out of a bind mount is judged where it is",
            disconnected,
        ),
        new("an exit code and a signal are passed on", exit_codes),
        new("audit mode records and refuses nothing", audit_mode),
    ]
}

pub(super) struct Scene {
    pub(super) world: World,
    pub(super) launch: Launch,
    /// A file that no session may read.
    pub(super) secret: String,
}

pub(super) fn scene(name: &str) -> Check<Scene> {
    let world = World::make(Place::Plain)?;
    let launch = world.launch("fixture", &crate::harness::matrix::fixture_grant())?;
    let secret = format!("{}/{name}/secret", world.outside);
    fs::create_dir_all(format!("{}/{name}", world.outside)).doing("make a directory")?;
    fs::create_dir_all(format!("{}/{name}", world.workspace)).doing("make a directory")?;
    fs::write(&secret, SECRET).doing("write a secret")?;
    Ok(Scene {
        world,
        launch,
        secret,
    })
}

/// Whether the session's events hold a refusal of reading this file.
fn has_refusal(session: &str, right: &str, path: &str) -> bool {
    let events = events::of(session).unwrap_or_default();
    events
        .iter()
        .any(|event| event.right == right && event.names(path))
}

fn killed_daemon(context: &mut Context) -> Check {
    let Scene {
        launch,
        secret,
        world,
    } = scene("killed")?;
    let mut shell = Shell::start(&launch)?;
    shell.may_not(&format!("cat {secret}"))?;
    context.daemon()?.kill()?;
    let during = format!("{}/killed/during", world.outside);
    fs::write(&during, SECRET).doing("write a secret")?;
    shell.may_not(&format!("cat {during}"))?;
    shell.may_not(&format!("bash -c 'exec cat {during}'"))?;
    shell.may(&format!("echo x > {}/killed/new", world.workspace))?;
    shell.may_not(&format!("kill -9 {}", std::process::id()))?;
    context.daemon = Some(Daemon::start()?);
    let listed = process::must(&[BAILIFF, "ps", "--json"])?.stdout;
    ensure(listed.contains(&format!("\"{}\"", shell.session)), || {
        format!(
            "expected `bailiff ps` to list {}, saw {listed}",
            shell.session
        )
    })?;
    let session = shell.session.clone();
    eventually("the refusal that no daemon heard is recorded", 10, || {
        has_refusal(&session, "file.read", &during)
    })?;
    let after = format!("{}/killed/after", world.outside);
    fs::write(&after, SECRET).doing("write a secret")?;
    shell.may_not(&format!("cat {after}"))?;
    eventually("a refusal after the restart is recorded", 10, || {
        has_refusal(&session, "file.read", &after)
    })?;
    // And a new session is a session.
    let mut other = Shell::start(&launch)?;
    other.may_not(&format!("cat {after}"))?;
    shell
        .may(&format!("cat {}/killed/new", world.workspace))
        .map(drop)
}

fn second_daemon(_: &mut Context) -> Check {
    let second = process::run(&[BAILIFF, "daemon"])?;
    ensure(
        second.code != 0 && second.stderr.to_lowercase().contains("already"),
        || {
            format!(
                "expected a refusal that says that one runs already, saw {}: {}",
                second.code,
                second.tail()
            )
        },
    )?;
    process::must(&[BAILIFF, "status"]).map(drop)
}

/// A process with threads that try to read a file whenever they are asked.
pub(super) struct Toiler {
    pub(super) process: Background,
    answers: std::io::BufReader<std::process::ChildStdout>,
}

const THREADS: u32 = 6;

impl Toiler {
    pub(super) fn start(secret: &str) -> Check<Self> {
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
    pub(super) fn ask(&mut self) -> Check<u32> {
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

fn tag_running(_: &mut Context) -> Check {
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

pub(super) fn tag_words(launch: &Launch, cgroup: &str) -> Vec<String> {
    let mut words = vec![BAILIFF.to_owned(), "tag".into(), cgroup.into()];
    words.extend(["--grant".into(), launch.grant.clone()]);
    for (name, value) in &launch.sets {
        words.extend(["--set".into(), format!("{name}={value}")]);
    }
    words
}

fn moved(_: &mut Context) -> Check {
    let Scene { launch, secret, .. } = scene("moved")?;
    let mut shell = Shell::start(&launch)?;
    // Somebody stays: a session whose cgroup is empty has ended.
    shell.may("sleep 300 >/dev/null 2>&1 &")?;
    let root = "/sys/fs/cgroup/cgroup.procs";
    fs::write(root, shell.pid.to_string()).doing("move the shell to the root cgroup")?;
    let cgroup =
        fs::read_to_string(format!("/proc/{}/cgroup", shell.pid)).doing("read a cgroup")?;
    ensure(cgroup.trim() == "0::/", || {
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

/// A shell in a cgroup of its own that is tagged.
pub(super) fn tagged_shell(name: &str, before: &[&str]) -> Check<(Scene, Shell, String)> {
    let scene = scene(name)?;
    let cgroup = format!("/sys/fs/cgroup/scenario-{name}");
    fs::create_dir_all(&cgroup).doing("make a cgroup")?;
    let shell = Shell::unconfined(before)?;
    fs::write(format!("{cgroup}/cgroup.procs"), shell.pid.to_string()).doing("move the shell")?;
    process::must(&tag_words(&scene.launch, &cgroup))?;
    Ok((scene, shell, cgroup))
}

fn entered(_: &mut Context) -> Check {
    let (scene, _first, cgroup) = tagged_shell("entered", &[])?;
    let mut late = Shell::unconfined(&[])?;
    late.may(&format!("cat {}", scene.secret))?;
    fs::write(format!("{cgroup}/cgroup.procs"), late.pid.to_string()).doing("move the shell")?;
    late.may_not(&format!("cat {}", scene.secret))?;
    late.may_not("echo 0 > /sys/fs/cgroup/cgroup.procs")?;
    late.may_not(&format!("cat {}", scene.secret)).map(drop)
}

fn exec_by_thread(_: &mut Context) -> Check {
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

fn inherited(_: &mut Context) -> Check {
    let Scene { launch, secret, .. } = scene("inherited")?;
    let file = fs::File::open(&secret).doing("open the secret")?;
    let fd = file.as_raw_fd();
    let mut command = launch.command(&["bash", "-c", "ls /proc/self/fd; cat <&9"]);
    use std::os::unix::process::CommandExt;
    // SAFETY: `dup2` may be called between fork and exec.
    unsafe {
        command.pre_exec(move || {
            if libc::dup2(fd, 9) < 0 {
                Err(std::io::Error::last_os_error())
            } else {
                Ok(())
            }
        });
    }
    let child = command.spawn().doing("start bailiff run")?;
    let ended = process::finish(child, "bailiff run")?;
    ensure(!ended.stdout.contains("secret"), || {
        format!("the descriptor was inherited: {}", ended.stdout)
    })?;
    ensure(ended.stderr.contains("Bad file descriptor"), || {
        format!("expected descriptor 9 to be closed, saw {}", ended.tail())
    })
}

/// Opens a path with `O_PATH`, which nothing refuses, waits until it is deleted, and reads it.
fn deleted(_: &mut Context) -> Check {
    let Scene {
        launch,
        secret,
        world,
    } = scene("deleted")?;
    let inside = format!("{}/deleted/file", world.workspace);
    let opened = format!("{}/deleted/opened", world.workspace);
    fs::write(&inside, SECRET).doing("write")?;
    let mut shell = Shell::start(&launch)?;
    let mut read_deleted = |path: &str, may: bool| -> Check<String> {
        let read = format!(
            "python3 -c 'import os, time\nfile = os.open(\"{path}\", os.O_PATH)\n\
             open(\"{opened}\", \"w\")\n\
             while os.path.exists(\"{path}\"): time.sleep(0.05)\n\
             print(open(f\"/proc/self/fd/{{file}}\").read())'"
        );
        let read = read.replace('\n', "\\n").replacen("-c '", "-c $'", 1);
        let delete = format!("until test -e {opened}; do sleep 0.1; done; rm {opened} {path}");
        let mut command = std::process::Command::new("sh");
        let _deleting = Background::start(command.args(["-c", &delete]))?;
        if may {
            shell.may(&read)
        } else {
            shell.may_not(&read)
        }
    };
    let said = read_deleted(&inside, true)?;
    ensure(said.contains(SECRET), || {
        format!("expected the content of the granted file, saw {said}")
    })?;
    let said = read_deleted(&secret, false)?;
    ensure(!said.contains(SECRET), || said.clone())
}

fn truncate_input(_: &mut Context) -> Check {
    let Scene {
        launch,
        secret,
        world,
    } = scene("input")?;
    let driver = format!("{}/input/driver", world.workspace);
    fs::copy("/proc/self/exe", &driver).doing("copy the driver")?;
    let truncate = |path: &str| -> Check<String> {
        let file = fs::File::options()
            .read(true)
            .write(true)
            .open(path)
            .doing("open")?;
        let mut command = launch.command(&[driver.as_str(), "truncate-input"]);
        let child = command.stdin(file).spawn().doing("start bailiff run")?;
        Ok(process::finish(child, "bailiff run")?.stdout)
    };
    let said = truncate(&secret)?;
    let kept = fs::read_to_string(&secret).doing("read")?;
    ensure(kept == SECRET && said.trim() == "errno 13", || {
        format!("expected EACCES and the content intact, saw {said:?} and {kept:?}")
    })?;
    let inside = format!("{}/input/file", world.workspace);
    fs::write(&inside, SECRET).doing("write")?;
    let said = truncate(&inside)?;
    let kept = fs::read_to_string(&inside).doing("read")?;
    ensure(kept.is_empty() && said.trim() == "ok", || {
        format!("expected the granted file to be empty, saw {said:?} and {kept:?}")
    })
}

/// `bailiff-scenarios truncate-input`
pub(crate) fn truncate_standard_input() {
    // SAFETY: no pointers.
    if unsafe { libc::ftruncate(0, 0) } == 0 {
        println!("ok");
    } else {
        println!(
            "errno {}",
            std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
        );
    }
}

fn set_user_id(_: &mut Context) -> Check {
    let (scene, mut shell, _cgroup) = tagged_shell("setuid", &[])?;
    let program = format!("{}/setuid/id", scene.world.workspace);
    process::shell(&format!("cp /usr/bin/id {program} && {program}"))?;
    shell.may(&program)?;
    for mode in ["u+s", "u-s,g+s"] {
        process::shell(&format!("chmod {mode} {program} && {program}"))?;
        shell.may_not(&program)?;
    }
    let listed = events::query(&["--right", "process.capability"])?;
    let found = listed.iter().any(|event| event.reason == "privilege-gain");
    ensure(found, || {
        "expected an event with the reason privilege-gain".into()
    })
}

fn earlier_namespace(_: &mut Context) -> Check {
    let words = ["unshare", "--user", "--map-root-user", "--mount"];
    let (scene, mut shell, _cgroup) = tagged_shell("userns", &words)?;
    let place = format!("{}/userns", scene.world.workspace);
    shell.may_not(&format!("mount -t tmpfs none {place}"))?;
    shell.may_not("unshare --user true")?;
    shell.may_not(&format!("cat {}", scene.secret)).map(drop)
}

/// The session sees the granted name over the secret, by a mount that was there before.
fn earlier_mounts(_: &mut Context) -> Check {
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

fn against_daemon(context: &mut Context) -> Check {
    let Scene { launch, .. } = scene("daemon")?;
    let pid = context.daemon()?.pid();
    let mut shell = Shell::start(&launch)?;
    shell.may_not(&format!("kill -9 {pid}"))?;
    shell.may_not(&format!("/bin/kill -STOP {pid}"))?;
    shell.may_not(&format!("cat /proc/{pid}/environ"))?;
    shell.may_not("ls /sys/fs/bpf/bailiff")?;
    shell.may_not("bpftool map show 2>&1")?;
    for command in [
        "stop $BAILIFF_SESSION",
        "untag $BAILIFF_SESSION",
        "ps",
        "events",
        "run --grant coder -- true",
        "tag nothing --grant coder",
        "doctor --self-test",
    ] {
        let (code, said) = shell.run(&format!("{BAILIFF} {command}"))?;
        ensure(code != 0 && said.contains("from inside"), || {
            format!("expected `bailiff {command}` to be refused, saw {said}")
        })?;
    }
    shell.may("true")?;
    process::must(&[BAILIFF, "status"]).map(drop)
}

fn ask_why(_: &mut Context) -> Check {
    let Scene {
        launch,
        secret,
        world,
    } = scene("why")?;
    let mut shell = Shell::start(&launch)?;
    shell.may_not(&format!("cat {secret}"))?;
    why_says(&mut shell, &[&secret, "file.read"])?;
    let env = format!("{}/why/.env", world.workspace);
    fs::write(&env, SECRET).doing("write")?;
    shell.may_not(&format!("cat {env}"))?;
    why_says(
        &mut shell,
        &["secrets", "Credentials are outside this grant."],
    )
    .map(drop)
}

/// Waits until `bailiff why` holds these words; all that it says.
pub(super) fn why_says(shell: &mut Shell, words: &[&str]) -> Check<String> {
    let mut said = String::new();
    let what = format!("`bailiff why` says {}", words.join(" and "));
    eventually(&what, 10, || {
        said = shell
            .run(&format!("{BAILIFF} why"))
            .map_or_else(|error| error, |(_, said)| said);
        words.iter().all(|word| said.contains(word))
    })
    .map_err(|error| format!("{error}: {said}"))?;
    Ok(said)
}

/// The command that `bailiff why` names finds what the kernel found.
fn explain_move(_: &mut Context) -> Check {
    let Scene { launch, world, .. } = scene("why-move")?;
    let above = format!("{}/why-move", world.workspace);
    let (git, moved) = (format!("{above}/.git"), format!("{above}/git"));
    process::shell(&format!(
        "mkdir -p {git}/hooks && touch {git}/hooks/commit-msg"
    ))?;
    let mut shell = Shell::start(&launch)?;
    let (code, said) = shell.run(&format!("mv --no-copy {git} {moved}"))?;
    ensure(
        code != 0 && said.contains("Invalid cross-device link"),
        || said,
    )?;
    let said = why_says(&mut shell, &["Invalid cross-device link", &moved])?;
    let mut lines = said.lines().map(str::trim);
    let command = lines.find(|line| line.starts_with("bailiff grant explain"));
    let command = command.ok_or(format!("expected a command, saw {said}"))?;
    let told = process::shell(&command.replace("PRESENT-NAME", &git))?.stdout;
    let expected = format!("{git}/hooks would gain");
    ensure(told.contains("refused") && told.contains(&expected), || {
        format!("expected `{expected}`, saw {told}")
    })?;
    ensure(fs::exists(&git).doing("look")?, || format!("{git} is gone"))
}

fn disconnected(_: &mut Context) -> Check {
    let scene = scene("bound")?;
    process::shell(
        "mkdir -p /moved/w/dir /moved/out /moved/bind && echo 'the secret of this file' > /moved/w/dir/f
         mount --bind /moved/w /moved/bind",
    )?;
    let text = crate::harness::matrix::fixture_grant();
    let mut launch = scene.world.launch("bound", &text)?;
    for (name, value) in &mut launch.sets {
        if name == "workspace" {
            *value = "/moved/bind".into();
        }
    }
    let checked = (|| {
        let mut shell = Shell::start(&launch)?;
        shell.may("cd /moved/bind/dir && cat f")?;
        process::shell("mv /moved/w/dir /moved/out/dir")?;
        shell.may_not("cat f")?;
        process::shell("mv /moved/out/dir /moved/w/dir")?;
        shell.may("cat f").map(drop)
    })();
    process::shell("umount /moved/bind; rm -rf /moved")?;
    checked
}

fn exit_codes(_: &mut Context) -> Check {
    let Scene { launch, .. } = scene("codes")?;
    let code = |script: &str| Ok::<_, String>(launch.run(&["bash", "-c", script])?.code);
    for (script, expected) in [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143)] {
        let seen = code(script)?;
        ensure(seen == expected, || {
            format!("`{script}`: expected exit code {expected}, saw {seen}")
        })?;
    }
    if launch.run(&["/nonexistent"])?.code == 127 {
        return Ok(());
    }
    skip("a command that is not there has another exit code")
}

fn audit_mode(_: &mut Context) -> Check {
    let Scene { secret, world, .. } = scene("audit")?;
    let text = crate::harness::matrix::fixture_grant();
    let text = text.replacen("version = 1", "version = 1\nmode = \"audit\"", 1);
    let mut shell = Shell::start(&world.launch("audit", &text)?)?;
    shell.may(&format!("cat {secret}"))?;
    shell.may(&format!("echo x > {}/audit/new", world.outside))?;
    shell.may(&format!("kill -0 {}", std::process::id()))?;
    let session = shell.session.clone();
    for (right, object) in [("file.read", secret.as_str()), ("process.signal", "")] {
        eventually(&format!("{right} is recorded as would-deny"), 10, || {
            let events = events::of(&session).unwrap_or_default();
            events.iter().any(|event| {
                event.verdict == "would-deny" && event.right == right && event.names(object)
            })
        })?;
    }
    let events = events::of(&session)?;
    ensure(events.iter().all(|event| event.verdict != "deny"), || {
        let seen = events.iter().map(events::Event::brief).collect::<Vec<_>>();
        format!("expected nothing but would-deny, saw {}", seen.join("; "))
    })?;
    end(shell)
}
