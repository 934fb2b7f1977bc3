//! Attachments: what appears under a path comes under a grant, whoever makes it and whether or not a daemon runs.

use std::{fs, os::unix::fs::DirBuilderExt as _};

use super::{
    Context, Single,
    lifecycle::{Scene, scene},
    who::{enter, make_cgroup, remove_cgroup},
};
use crate::harness::{
    Check, Doing,
    daemon::{BAILIFF, Daemon},
    ensure, events, members,
    process::{self, eventually},
    session::Shell,
};

pub(crate) fn scenarios() -> Vec<Single> {
    let new = |name, run| Single::new("attached", name, run);
    vec![
        new(
            "each cgroup that appears is a session of its own, and none after `detach`",
            each_that_appears,
        ),
        new(
            "what appears while no daemon runs is limited, and the next daemon goes on",
            dead_daemon,
        ),
        new(
            "where the grant cannot be put in force nothing is executed until it can",
            refusing,
        ),
        new(
            "a cgroup that was there before is limited from its next program on",
            was_there,
        ),
        new(
            "a hierarchy of cgroup v1 has other cgroups, whatever their paths and ids",
            version_one,
        ),
    ]
}

/// What is attached, for as long as it is.
struct Attachment {
    scene: Scene,
    /// Above its cgroups.
    top: String,
    pattern: String,
}

impl Attachment {
    fn prepare(name: &str) -> Check<Self> {
        let top = make_cgroup(&format!("scenario-{name}"))?;
        Ok(Self {
            scene: scene(name)?,
            pattern: format!("/scenario-{name}/*"),
            top,
        })
    }

    fn make(name: &str) -> Check<Self> {
        let made = Self::prepare(name)?;
        process::must(&made.words())?;
        Ok(made)
    }

    fn words(&self) -> Vec<String> {
        let launch = &self.scene.launch;
        let words = [BAILIFF, "attach", &self.pattern, "--grant", &launch.grant];
        let mut words = words.map(str::to_owned).to_vec();
        for (name, value) in &launch.sets {
            words.extend(["--set".into(), format!("{name}={value}")]);
        }
        words
    }

    /// A cgroup below, and a shell in it.
    fn appear(&self, name: &str) -> Check<(String, Shell)> {
        let cgroup = format!("{}/{name}", self.top);
        fs::create_dir(&cgroup).doing("make a cgroup")?;
        let shell = Shell::unconfined(&[])?;
        enter(&cgroup, shell.pid)?;
        Ok((cgroup, shell))
    }

    /// Refused, and allowed, by programs that it executes.
    fn decides(&self, shell: &mut Shell) -> Check {
        let Scene { secret, world, .. } = &self.scene;
        shell.may(&format!("read -r line < {secret}"))?;
        shell.may_not(&format!("cat {secret}"))?;
        let file = format!("{}/file-of-{}", world.workspace, shell.pid);
        shell
            .may(&format!("cp /dev/null {file} && rm {file}"))
            .map(drop)
    }

    fn detach(&self) -> Check {
        process::must(&[BAILIFF, "detach", &self.pattern]).map(drop)
    }
}

/// The session that a process is in.
fn session_of(pid: i32) -> Check<Option<String>> {
    let all = members::all()?;
    let own = all.into_iter().find(|member| member.tid == pid);
    Ok(own.and_then(|own| own.session))
}

fn in_session(pid: i32) -> Check<String> {
    session_of(pid)?.ok_or_else(|| format!("process {pid} is in no session"))
}

/// Sessions in force whose state is this.
fn sessions(state: &str) -> Check<Vec<String>> {
    let told = process::must(&[BAILIFF, "ps", "--json"])?;
    let page: serde_json::Value = serde_json::from_str(&told.stdout).doing("read `ps --json`")?;
    let items = page["items"].as_array().cloned().unwrap_or_default();
    let named = items
        .iter()
        .filter(|one| one["extent"] == "attached" && one["state"] == state);
    Ok(named
        .filter_map(|one| one["name"].as_str().map(str::to_owned))
        .collect())
}

/// The session that what appears next will be in.
fn next() -> Check<String> {
    let told = process::must(&[BAILIFF, "attachments", "--json"])?;
    let page: serde_json::Value =
        serde_json::from_str(&told.stdout).doing("read `attachments --json`")?;
    let next = page["items"][0]["session"].as_str().map(str::to_owned);
    next.ok_or_else(|| format!("no session waits: {page}"))
}

/// Waits until what appears next is in another session than this.
fn renewed(session: &str) -> Check {
    eventually("another session waits", 20, || {
        next().is_ok_and(|next| next != session)
    })
}

fn leave(shell: Shell, cgroup: &str) -> Check {
    drop(shell);
    remove_cgroup(cgroup)
}

fn each_that_appears(_: &mut Context) -> Check {
    let attachment = Attachment::make("attached")?;
    ensure(sessions("waiting")?.len() == 1, || {
        "expected one session that waits".into()
    })?;
    // Another pattern whose file would have the same name takes nothing away.
    let mut other = attachment.words();
    other[2] = other[2].replace('*', "?");
    let refused = process::run(&other)?;
    ensure(
        refused.code != 0 && refused.stderr.contains("--name"),
        || {
            format!(
                "one attachment took the place of another: {}",
                refused.tail()
            )
        },
    )?;
    let (one, mut first) = attachment.appear("one")?;
    attachment.decides(&mut first)?;
    let session = in_session(first.pid)?;
    let seen = events::of(&session)?;
    let secret = &attachment.scene.secret;
    ensure(seen.iter().any(|event| event.names(secret)), || {
        format!("expected the refusal among the events of {session}, saw {seen:?}")
    })?;
    // What is below belongs to it, and what comes next does not.
    let below = format!("{one}/below");
    fs::create_dir(&below).doing("make a cgroup")?;
    enter(&below, first.pid)?;
    attachment.decides(&mut first)?;
    renewed(&session)?;
    let (two, mut second) = attachment.appear("two")?;
    attachment.decides(&mut second)?;
    let other = in_session(second.pid)?;
    ensure(other != session, || format!("both are in {session}"))?;
    // Others are as free as ever: beside the pattern, and where it names something else.
    let free = make_cgroup("scenario-attached-not")?;
    let mut outside = Shell::unconfined(&[])?;
    enter(&free, outside.pid)?;
    outside.may(&format!("cat {secret}"))?;
    // A session ends with its cgroup.
    drop(first);
    remove_cgroup(&below)?;
    remove_cgroup(&one)?;
    eventually("the first session has ended", 20, || {
        sessions("running").is_ok_and(|running| running == [other.clone()])
    })?;
    // The same path again.
    let (one, mut again) = attachment.appear("one")?;
    attachment.decides(&mut again)?;
    members::agree("after cgroups came and went")?;
    attachment.detach()?;
    attachment.decides(&mut again)?;
    let (three, mut third) = attachment.appear("three")?;
    third.may(&format!("cat {secret}"))?;
    leave(again, &one)?;
    leave(second, &two)?;
    leave(third, &three)?;
    leave(outside, &free)?;
    eventually("nothing is left", 20, || {
        sessions("running").is_ok_and(|all| all.is_empty())
            && sessions("waiting").is_ok_and(|all| all.is_empty())
    })?;
    remove_cgroup(&attachment.top)
}

fn dead_daemon(context: &mut Context) -> Check {
    let attachment = Attachment::make("attached-dead")?;
    let (zero, mut earlier) = attachment.appear("zero")?;
    attachment.decides(&mut earlier)?;
    let session = in_session(earlier.pid)?;
    renewed(&session)?;
    context.daemon()?.kill()?;
    let (one, mut first) = attachment.appear("one")?;
    attachment.decides(&mut first)?;
    let (two, mut second) = attachment.appear("two")?;
    attachment.decides(&mut second)?;
    leave(first, &one)?;
    // The service is started again, and again.
    let (one, mut again) = attachment.appear("one")?;
    attachment.decides(&mut again)?;
    context.daemon = Some(Daemon::start()?);
    for shell in [&mut earlier, &mut second, &mut again] {
        attachment.decides(shell)?;
    }
    let (three, mut third) = attachment.appear("three")?;
    attachment.decides(&mut third)?;
    let sessions_of = [earlier.pid, second.pid, again.pid, third.pid].map(in_session);
    let [first_session, second_session, again_session, third_session] = sessions_of;
    let (first_session, second_session) = (first_session?, second_session?);
    let third_session = third_session?;
    ensure(
        first_session == session && again_session? == second_session,
        || "what came while no daemon ran is not in the one session that waited".into(),
    )?;
    ensure(
        third_session != second_session && third_session != session,
        || format!("what came under the next daemon is in {third_session} too"),
    )?;
    members::agree("after a daemon was away")?;
    attachment.detach()?;
    for (shell, cgroup) in [(earlier, zero), (again, one), (second, two), (third, three)] {
        leave(shell, &cgroup)?;
    }
    remove_cgroup(&attachment.top)
}

fn refusing(_: &mut Context) -> Check {
    let attachment = Attachment::prepare("attached-refusing")?;
    let broken = "/run/scenarios/broken.toml";
    fs::write(broken, "version = 1\nname = \"broken\"\nfiles = 3\n").doing("write a grant")?;
    // The command refuses it, and leaves nothing behind.
    let words = [BAILIFF, "attach", &attachment.pattern, "--grant", broken];
    let refused = process::run(&words)?;
    ensure(
        refused.code != 0 && refused.stderr.contains("files"),
        || format!("expected the grant's mistake, saw {}", refused.tail()),
    )?;
    let none = process::must(&[BAILIFF, "attachments"])?;
    ensure(none.stdout.contains("nothing is attached"), || none.tail())?;
    // Written by hand, it is in force as what refuses.
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create("/etc/bailiff/attach.d")
        .doing("make a directory")?;
    let file = "/etc/bailiff/attach.d/by-hand.toml";
    let text = format!(
        "cgroup = \"{}\"\ngrant = \"{broken}\"\n",
        attachment.pattern
    );
    fs::write(file, &text).doing("write an attachment")?;
    let told = process::run(&[BAILIFF, "attachments", "--reload"])?;
    ensure(told.code == 1 && told.stdout.contains("refusing"), || {
        format!("expected it to be refusing, saw {}", told.tail())
    })?;
    let (one, mut shell) = attachment.appear("one")?;
    shell.may("read -r line < /dev/null; true")?;
    shell.may_not("cat /dev/null")?;
    shell.may_not("/usr/bin/true")?;
    // An unreadable file lets nothing go that holds.
    fs::write(file, "cgroup = ").doing("write an attachment")?;
    let told = process::run(&[BAILIFF, "attachments", "--reload"])?;
    ensure(told.code == 1, || told.tail())?;
    let (two, mut other) = attachment.appear("two")?;
    other.may_not("cat /dev/null")?;
    // With a grant that can be: what comes next is limited, and what runs from its next program on.
    fs::write(file, &text).doing("write an attachment")?;
    fs::write(broken, crate::harness::matrix::fixture_grant()).doing("write a grant")?;
    fs::remove_file(file).doing("remove an attachment")?;
    process::must(&attachment.words())?;
    let told = process::must(&[BAILIFF, "events", "--right", "file.exec"])?;
    ensure(told.stdout.contains(" refusing "), || {
        format!(
            "expected what was refused among the events, saw {}",
            told.tail()
        )
    })?;
    let (three, mut third) = attachment.appear("three")?;
    attachment.decides(&mut third)?;
    attachment.decides(&mut shell)?;
    attachment.decides(&mut other)?;
    attachment.detach()?;
    for (shell, cgroup) in [(shell, one), (other, two), (third, three)] {
        leave(shell, &cgroup)?;
    }
    remove_cgroup(&attachment.top)
}

fn was_there(_: &mut Context) -> Check {
    let attachment = Attachment::prepare("attached-early")?;
    let (one, mut shell) = attachment.appear("one")?;
    let secret = &attachment.scene.secret;
    shell.may(&format!("cat {secret}"))?;
    let said = process::must(&attachment.words())?;
    ensure(
        said.stderr.contains("1 of its processes ran before"),
        || said.tail(),
    )?;
    attachment.decides(&mut shell)?;
    // The session of what was there is not that of what comes.
    let (two, mut second) = attachment.appear("two")?;
    attachment.decides(&mut second)?;
    ensure(in_session(shell.pid)? != in_session(second.pid)?, || {
        "both are in one session".into()
    })?;
    attachment.detach()?;
    leave(shell, &one)?;
    leave(second, &two)?;
    remove_cgroup(&attachment.top)
}

fn version_one(_: &mut Context) -> Check {
    let attachment = Attachment::make("attached-v1")?;
    let mount = "/run/scenarios/v1";
    fs::create_dir_all(mount).doing("make a directory")?;
    let words = [
        "mount",
        "-t",
        "cgroup",
        "-o",
        "none,name=scenario",
        "none",
        mount,
    ];
    if process::run(&words)?.code != 0 {
        // This kernel has none.
        attachment.detach()?;
        return remove_cgroup(&attachment.top);
    }
    let waiting = sessions("waiting")?;
    let below = format!("{mount}/scenario-attached-v1/one");
    fs::create_dir_all(&below).doing("make a cgroup of version 1")?;
    let mut shell = Shell::unconfined(&[])?;
    enter(&below, shell.pid)?;
    let secret = &attachment.scene.secret;
    shell.may(&format!("cat {secret}"))?;
    // Ids come by counting: one of these has that of the cgroup that is tagged.
    let (one, mut held) = attachment.appear("one")?;
    attachment.decides(&mut held)?;
    let number = |path: &str| -> Check<u64> {
        use std::os::unix::fs::MetadataExt as _;
        Ok(fs::metadata(path).doing("look at a cgroup")?.ino())
    };
    let tagged = number(&one)?;
    let mut met = false;
    for count in 0..2000 {
        let path = format!("{mount}/c{count}");
        fs::create_dir(&path).doing("make a cgroup of version 1")?;
        let own = number(&path)?;
        if own == tagged {
            enter(&path, shell.pid)?;
            met = true;
        } else {
            fs::remove_dir(&path).doing("remove it")?;
        }
        if own >= tagged {
            break;
        }
    }
    shell.may(&format!("cat {secret}"))?;
    ensure(session_of(shell.pid)?.is_none(), || {
        format!("a cgroup of version 1 put it into a session (the same id was met: {met})")
    })?;
    attachment.decides(&mut held)?;
    ensure(
        sessions("running")?.len() == 1 && !sessions("waiting")?.is_empty(),
        || format!("expected one session beside {waiting:?}"),
    )?;
    drop(shell);
    // The hierarchy itself may stay for as long as the machine: its last cgroups are let go of at leisure.
    process::shell(&format!(
        "find {mount} -mindepth 1 -depth -type d -exec rmdir {{}} + ; umount {mount}"
    ))?;
    attachment.detach()?;
    leave(held, &one)?;
    remove_cgroup(&attachment.top)
}
