//! A daemon that cannot write: its log, its store.

use std::{fs, process::Command};

use serde::Deserialize;

use super::{Context, Single};
use crate::harness::{
    Check, Doing,
    daemon::{BAILIFF, Daemon},
    ensure, events,
    matrix::fixture_grant,
    process::{self, Background, Ended, eventually},
    session::{Launch, Shell},
    world::{Place, World},
};

pub(crate) fn scenarios() -> Vec<Single> {
    let new = |name, run| Single::new("failures", name, run).alone().once();
    vec![
        new(
            "a daemon whose log takes nothing goes on",
            log_takes_nothing,
        ),
        new(
            "what a killed daemon had read and not stored is told as lost",
            killed_with_events,
        ),
        new(
            "a session that ended while no daemon ran is not called starting",
            ended_unseen,
        ),
        new(
            "a store that is moved, damaged or on a failing disk takes no session",
            store_fails,
        ),
        new(
            "a store that cannot be one is refused with what to do, and limits hold",
            no_store,
        ),
    ]
}

/// A grant under which a session is refused to read `/etc/shadow`.
fn refusing() -> Check<Launch> {
    World::make(Place::Plain)?.launch("fixture", &fixture_grant())
}

const REFUSED: &str = "cat /etc/shadow";

fn log_takes_nothing(_: &mut Context) -> Check {
    let launch = refusing()?;
    for log in ["2>/dev/full", "2> >(true)", ">&- 2>&-"] {
        let mut command = Command::new("bash");
        command.args(["-c", &format!("exec {BAILIFF} daemon {log}")]);
        let mut daemon = Background::start(&mut command)?;
        eventually("the daemon answers", 60, || {
            process::run(&[BAILIFF, "status"]).is_ok_and(|said| said.code == 0)
        })?;
        let ended = launch.run(&["bash", "-c", "cat /etc/shadow; echo $BAILIFF_SESSION"])?;
        let session = ended.stdout.trim();
        ensure(!session.is_empty(), || {
            format!("no session starts: {}", ended.tail())
        })?;
        let told = events::of(session)?;
        ensure(!told.is_empty(), || format!("nothing is told of {session}"))?;
        let running = daemon.child.try_wait().is_ok_and(|ended| ended.is_none());
        ensure(running, || {
            format!("the daemon ended with its log at {log}")
        })?;
        process::must(&[BAILIFF, "status"])?;
    }
    Ok(())
}

/// A filesystem of its own for a store, taken away with this value.
struct Disk {
    at: String,
}

impl Disk {
    fn make(name: &str) -> Check<Self> {
        let at = format!("/run/scenarios/disk-{name}");
        let script = format!("mkdir -p {at} && mount -t tmpfs -o size=16m none {at}");
        process::shell(&script)?;
        Ok(Self { at })
    }

    fn daemon(&self) -> Check<Daemon> {
        Daemon::start_with(&["--state", &self.at])
    }

    fn fill(&self) -> Check {
        let script = format!(
            "dd if=/dev/zero of={}/filler bs=4k 2>/dev/null || true",
            self.at
        );
        process::shell(&script).map(drop)
    }

    fn free(&self) -> Check {
        process::shell(&format!("rm {}/filler", self.at)).map(drop)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = process::shell(&format!("umount -l {}", self.at));
    }
}

#[derive(Debug, Deserialize)]
struct Report {
    lost: u64,
    unrecorded: u64,
    because: String,
}

fn report(session: &str) -> Check<Report> {
    let said = process::must(&[BAILIFF, "report", "--json", session])?;
    serde_json::from_str(&said.stdout).doing("read `bailiff report --json`")
}

fn status() -> String {
    process::run(&[BAILIFF, "status"]).map_or_else(|_| String::new(), |said| said.stdout)
}

fn says(what: &str, words: &[&str]) -> Check {
    let mut said = String::new();
    let all = eventually(what, 30, || {
        said = status();
        words.iter().all(|word| said.contains(word))
    });
    all.map_err(|error| format!("{error}; expected {words:?}, saw {said}"))
}

/// Once while the session goes on, and once after it was stopped: each time more is refused, and stored,
/// before there is room.
fn killed_with_events(_: &mut Context) -> Check {
    let launch = refusing()?;
    for stops in [false, true] {
        let disk = Disk::make("killed")?;
        let mut daemon = disk.daemon()?;
        let mut shell = Shell::start(&launch)?;
        shell.may_not(REFUSED)?;
        disk.fill()?;
        // Until the store takes no more, and some wait in the daemon.
        eventually("the daemon does not record", 60, || {
            (0..20).all(|_| shell.may_not(REFUSED).is_ok()) && status().contains("NOT RECORDING")
        })?;
        // Whatever it was that could not be stored, these are read, and cannot be either: asking has all read.
        for _ in 0..20 {
            shell.may_not(REFUSED)?;
        }
        let _ = report(&shell.session);
        daemon.kill()?;
        let _daemon = disk.daemon()?;
        for _ in 0..200 {
            shell.may_not(REFUSED)?;
        }
        let session = shell.session.clone();
        if stops {
            process::must(&[BAILIFF, "stop", &session])?;
        }
        disk.free()?;
        let mut last = String::new();
        let told = eventually("what is missing is told", 30, || {
            let found = report(&session);
            last = format!("{found:?}");
            found.is_ok_and(|report| report.lost > 0 && report.unrecorded == 0)
        });
        told.map_err(|error| format!("{error} (stopped: {stops}); {last}"))?;
        let because = report(&session)?.because;
        ensure(because.contains("the daemon ended before"), || {
            because.clone()
        })?;
        let rows = events::of(&session)?;
        ensure(rows.iter().any(|row| row.verdict == "lost"), || {
            format!("no row tells it: {rows:?}")
        })?;
    }
    Ok(())
}

fn ended_unseen(_: &mut Context) -> Check {
    let launch = refusing()?;
    let mut daemon = Daemon::start()?;
    let mut shell = Shell::start(&launch)?;
    shell.may_not(REFUSED)?;
    let session = shell.session.clone();
    daemon.kill()?;
    drop(shell);
    let _daemon = Daemon::start()?;
    let mut last = String::new();
    let ended = eventually("the session has ended", 10, || {
        last = process::run(&[BAILIFF, "status", &session])
            .map_or_else(|error| error, |said| said.stdout);
        last.contains("finished")
    });
    ended.map_err(|error| format!("{error}; {last}"))
}

/// No session starts, and the daemon says why; who is limited stays so.
fn records_nothing(launch: &Launch, shell: &mut Shell, words: &[&str]) -> Check {
    let more = launch.run(&["true"])?;
    ensure(more.code != 0, || "a session started".into())?;
    says(
        "the daemon tells of it",
        &[&["NOT RECORDING"], words].concat(),
    )?;
    ensure(more.stderr.contains("could not be recorded"), || {
        more.tail()
    })?;
    shell.may_not(REFUSED).map(drop)
}

fn store_fails(_: &mut Context) -> Check {
    let launch = refusing()?;
    let disk = Disk::make("failing")?;
    let at = &disk.at;
    {
        let _daemon = disk.daemon()?;
        let mut shell = Shell::start(&launch)?;
        process::shell(&format!("mkdir {at}/away && mv {at}/bailiff.db* {at}/away"))?;
        records_nothing(&launch, &mut shell, &["moved", "restart the daemon"])?;
        process::shell(&format!("mv {at}/away/* {at}"))?;
        eventually("sessions start again", 30, || {
            launch.run(&["true"]).is_ok_and(|more| more.code == 0)
        })?;
        process::shell(&format!(
            "for f in {at}/bailiff.db {at}/bailiff.db-wal; do \
             head -c $(stat -c %s $f) /dev/urandom | dd of=$f conv=notrunc status=none; done"
        ))?;
        records_nothing(&launch, &mut shell, &["damaged", "move it away"])?;
        process::shell(&format!("mv {at}/bailiff.db* {at}/away"))?;
        let session = format!("session-{}", shell.session.rsplit('-').next().unwrap_or(""));
        drop(_daemon);
        let _daemon = disk.daemon()?;
        shell.may_not(REFUSED)?;
        eventually("what is gone is told as lost", 30, || {
            report(&session).is_ok_and(|report| report.lost > 0)
        })?;
    }
    failing_disk(&launch)
}

/// A disk that fails to write, and then does again.
fn failing_disk(launch: &Launch) -> Check {
    let at = "/run/scenarios/disk-broken";
    let made = process::run(&[
        "bash",
        "-c",
        &format!(
            "modprobe loop; modprobe dm-mod; command -v dmsetup && mkdir -p {at} && truncate -s 24M {at}.img && \
             mke2fs -q -F {at}.img && l=$(losetup -f --show {at}.img) && \
             dmsetup create broken --table \"0 49152 linear $l 0\" && dmsetup mknodes && \
             mount /dev/mapper/broken {at} && echo $l > {at}.loop"
        ),
    ])?;
    if made.code != 0 {
        return Err(format!("no disk: {}", made.tail()));
    }
    let table = |table: &str| -> Check<Ended> {
        process::shell(&format!(
            "dmsetup suspend --noflush --nolockfs broken; dmsetup load broken --table \"0 49152 {table}\"; \
             dmsetup resume broken"
        ))
    };
    let mut daemon = Daemon::start_with(&["--state", at])?;
    let mut shell = Shell::start(launch)?;
    table("error")?;
    records_nothing(launch, &mut shell, &["dmesg"])?;
    let device = fs::read_to_string(format!("{at}.loop")).doing("read")?;
    table(&format!("linear {} 0", device.trim()))?;
    daemon.kill()?;
    drop(shell);
    process::shell(&format!(
        "umount -l {at}; dmsetup remove -f broken; losetup -d {}; rm {at}.img {at}.loop",
        device.trim()
    ))
    .map(drop)
}

fn no_store(_: &mut Context) -> Check {
    let launch = refusing()?;
    let disk = Disk::make("wrong")?;
    let at = &disk.at;
    let mut shell = {
        let _daemon = disk.daemon()?;
        Shell::start(&launch)?
    };
    let kinds = [
        ("head -c 9000 /dev/urandom > ", "damaged"),
        ("mkdir ", "a directory"),
        ("mkfifo ", "a pipe"),
    ];
    for (make, word) in kinds {
        process::shell(&format!(
            "rm -rf {at}/bailiff.db* && {make} {at}/bailiff.db"
        ))?;
        let daemon = process::run(&["timeout", "60", BAILIFF, "daemon", "--state", at])?;
        let said = &daemon.stderr;
        ensure(daemon.code == 1, || format!("{word}: {}", daemon.tail()))?;
        ensure(said.contains(word) && said.contains("move it away"), || {
            said.clone()
        })?;
        shell.may_not(REFUSED)?;
        shell.may("true")?;
    }
    process::shell(&format!("rm -rf {at}/bailiff.db*"))?;
    let _daemon = disk.daemon()?;
    shell.may_not(REFUSED).map(drop)
}
