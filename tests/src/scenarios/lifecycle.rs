//! Sessions and the daemon through their lives.

pub(crate) mod tagged;
mod told;

use std::{fs, os::fd::AsRawFd};

use super::{Context, Single, leavings::end};
use crate::{
    acts::SECRET,
    harness::{
        Check, Doing,
        daemon::{BAILIFF, Daemon},
        ensure, events,
        process::{self, Background, eventually},
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
            tagged::tag_running,
        ),
        new(
            "a process that was moved to another cgroup stays refused, and its grandchildren",
            tagged::moved,
        ),
        new(
            "a process that enters a tagged cgroup is refused",
            tagged::entered,
        ),
        new(
            "exec by a thread that is not the leader stays labelled",
            tagged::exec_by_thread,
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
            tagged::earlier_namespace,
        ),
        new(
            "a mount namespace made before gives no access",
            tagged::earlier_mounts,
        ),
        new(
            "a session cannot kill, trace or command the daemon",
            against_daemon,
        ),
        new("a session may ask why it was refused", told::ask_why),
        new(
            "a refused move is explained by the command that why names",
            told::explain_move,
        ),
        new(
            "a directory that is moved out of a bind mount is judged where it is",
            disconnected,
        ),
        new("an exit code and a signal are passed on", told::exit_codes),
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

pub(super) fn tag_words(launch: &Launch, cgroup: &str) -> Vec<String> {
    let mut words = vec![BAILIFF.to_owned(), "tag".into(), cgroup.into()];
    words.extend(["--grant".into(), launch.grant.clone()]);
    for (name, value) in &launch.sets {
        words.extend(["--set".into(), format!("{name}={value}")]);
    }
    words
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
