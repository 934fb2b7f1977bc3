//! Who is in: births, moves and executions while a cgroup is tagged or untagged.
//!
//! `ps --tasks` tells what the kernel holds of every thread; beside it every process tries for itself
//! what a session may not.

pub(crate) mod births;
pub(crate) mod executions;
pub(crate) mod failed_forks;
mod unseen;

use std::{fs, path::Path, thread, time::Duration};

use super::{
    Context, Single,
    lifecycle::{Scene, scene, tag_words},
};
use crate::harness::{
    Check, Doing, daemon::BAILIFF, ensure, events, members, process, process::eventually,
    session::Shell,
};

pub(crate) fn scenarios() -> Vec<Single> {
    let new = |name, run| Single::new("who", name, run);
    vec![
        new(
            "a child that is being born while its cgroup is tagged is refused",
            births::born_while_tagged,
        ),
        new(
            "a child that is being born while its cgroup is untagged is free",
            births::born_while_untagged,
        ),
        new(
            "a child whose parent is moved into a tagged cgroup while it is born is refused",
            births::born_while_moved,
        ),
        new(
            "a child born into a tagged cgroup from outside is refused, and below it",
            births::born_into,
        ),
        new(
            "a child whose birth goes unseen has no label of a session that was untagged, and that of one that ended",
            unseen::keeps_a_label,
        ),
        new(
            "a thread that executes keeps what its process was given, or lost, while it lived",
            executions::thread_executes,
        ),
        new(
            "a process whose fork fails keeps its label, and what it becomes",
            failed_forks::keeps_its_label,
        ),
        new(
            "an armed process whose fork fails is limited once it executes",
            failed_forks::keeps_an_armed_label,
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
            "a tag is filled in with what is so for the processes, and not for who asks",
            filled_in,
        ),
        new(
            "a cgroup of the same path is another one, and the end of the first is an event",
            same_path,
        ),
    ]
}

/// What tells processes of a scenario when to go on.
pub(crate) struct Flags(pub(crate) String);

impl Flags {
    pub(crate) fn new(name: &str) -> Check<Self> {
        let directory = format!("/run/scenarios/who-{name}");
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).doing("make a directory")?;
        Ok(Self(directory))
    }

    pub(crate) fn raise(&self, flag: &str) -> Check {
        fs::write(format!("{}/{flag}", self.0), "").doing("raise a flag")
    }
}

fn await_flag(directory: &str, flag: &str) {
    let path = format!("{directory}/{flag}");
    while !Path::new(&path).exists() {
        thread::sleep(Duration::from_millis(10));
    }
}

pub(super) fn make_cgroup(name: &str) -> Check<String> {
    let path = format!("/sys/fs/cgroup/{name}");
    fs::create_dir_all(&path).doing("make a cgroup")?;
    Ok(path)
}

pub(super) fn enter(cgroup: &str, pid: i32) -> Check {
    fs::write(format!("{cgroup}/cgroup.procs"), pid.to_string()).doing("move a process")
}

/// Waits until a cgroup has no process, then removes it.
pub(super) fn remove_cgroup(path: &str) -> Check {
    let mut error = None;
    eventually(&format!("{path} is removed"), 20, || {
        error = fs::remove_dir(path).err();
        error.is_none()
    })
    .map_err(|text| format!("{text}: {error:?}"))
}

fn sleep(milliseconds: u64) {
    thread::sleep(Duration::from_millis(milliseconds));
}

fn tag(scene: &Scene, cgroup: &str) -> Check {
    process::must(&tag_words(&scene.launch, cgroup)).map(drop)
}

pub(super) fn untag(cgroup: &str) -> Check {
    process::must(&[BAILIFF, "untag", cgroup]).map(drop)
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
    let mut toiler = super::lifecycle::tagged::Toiler::start(&scene.secret)?;
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

fn filled_in(_: &mut Context) -> Check {
    let scene = scene("filled-in")?;
    let grant = "/run/scenarios/filled-in.toml";
    let rules = "[[file]]\nid = \"work\"\nallow = [\"read\"]\npath = [\"${cwd}/**\"]\n";
    let text = format!("version = 1\nname = \"filled-in\"\ninclude = [\"base\"]\n{rules}");
    fs::write(grant, text).doing("write a grant")?;
    let work = format!("{}/filled-in", scene.world.workspace);
    for file in ["/root/notes", &format!("{work}/notes")] {
        fs::write(file, "x").doing("write a file")?;
    }
    process::must(&["chmod", "-R", "a+rX", &scene.world.workspace])?;
    let top = make_cgroup("scenario-filled-in")?;
    let mut shell =
        Shell::unconfined(&["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"])?;
    shell.may(&format!("cd {work}"))?;
    enter(&top, shell.pid)?;
    let script = format!("cd /root && {BAILIFF} tag {top} --grant {grant} --json");
    let tagged = process::must(&["sh", "-c", &script])?;
    let session: serde_json::Value =
        serde_json::from_str(&tagged.stdout).doing("read `bailiff tag --json`")?;
    let filled = &session["variables"];
    ensure(
        filled["cwd"] == work.as_str()
            && filled["home"] == "/home/agent"
            && filled["user"] == "agent",
        || format!("expected what is so for the shell, saw {filled}"),
    )?;
    shell.may("cat notes")?;
    untag(&top)?;
    // What is said counts.
    let script = format!("{BAILIFF} tag {top} --grant {grant} --set cwd=/srv");
    let tagged = process::must(&["sh", "-c", &script])?;
    ensure(tagged.stderr.contains("cwd=/srv"), || tagged.tail())?;
    shell.may_not("cat /root/notes")?;
    untag(&top)?;
    // Nobody is there whose it could be.
    drop(shell);
    remove_cgroup(&top)?;
    let top = make_cgroup("scenario-filled-in")?;
    let refused = process::run(&[BAILIFF, "tag", &top, "--grant", grant])?;
    ensure(
        refused.code != 0 && refused.stderr.contains("--set cwd="),
        || refused.tail(),
    )?;
    remove_cgroup(&top)
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
