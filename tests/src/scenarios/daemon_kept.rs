//! The daemon before sessions that may signal and control any process: nothing reaches it.

use std::fs;

use serde::Deserialize;

use super::{
    Context, Single,
    lifecycle::{Scene, scene},
};
use crate::harness::{
    Check, Doing,
    daemon::{BAILIFF, Daemon},
    ensure, events,
    matrix::everything_grant,
    process::{self, Background},
    session::Shell,
};

pub(crate) fn scenarios() -> Vec<Single> {
    vec![
        Single::new(
            "processes",
            "what may be done to any process may not be done to the daemon",
            kept,
        ),
        Single::new(
            "processes",
            "a daemon that starts is as far from sessions as one that runs",
            starting,
        ),
    ]
}

/// By system call number, with the process and one of its threads; fails as the call does.
const CALL: &str = "python3 -c 'import ctypes, os, sys; l = ctypes.CDLL(None, use_errno=True); \
    r = l.syscall(*[ctypes.c_long(int(a)) for a in sys.argv[1:]]); \
    sys.exit(0 if r >= 0 else os.strerror(ctypes.get_errno()))'";

/// Each of these ends, halts or starves a process.
const ACTS: &[&str] = &[
    "prlimit --pid PID --cpu=1:1",
    "prlimit --pid PID --fsize=0:0",
    "prlimit --pid PID --nofile=3:3",
    "kill -URG PID",
    "CALL 234 PID TID 23",
    "python3 -c 'import os, signal; signal.pidfd_send_signal(os.pidfd_open(PID), signal.SIGURG)'",
    "renice -n 19 -p PID",
    "ionice -c 3 -p PID",
    "chrt --idle -p 0 PID",
    "taskset -p 1 PID",
    "echo 1000 > /proc/PID/oom_score_adj",
    "echo 1000 > /proc/PID/task/TID/oom_score_adj",
    "echo 1 > /proc/PID/clear_refs",
    "kill -STOP PID",
    "kill -KILL PID",
];

/// Has the kernel kill the owner of a socket, which is `PID`; the session itself lives on.
const BY_OWNER: &str = "python3 -c 'import fcntl, os, signal, socket, struct; a, b = socket.socketpair(); \
    how; fcntl.fcntl(b, fcntl.F_SETSIG, signal.SIGKILL); fcntl.fcntl(b, fcntl.F_SETFL, os.O_ASYNC); a.send(b\"x\")'";

/// How that is said.
const OWNERS: &[&str] = &[
    "fcntl.fcntl(b, fcntl.F_SETOWN, PID)",
    "fcntl.fcntl(b, 15, struct.pack(\"ii\", 1, PID))",
    "fcntl.ioctl(b, 0x8901, struct.pack(\"i\", PID))",
];

fn kept(context: &mut Context) -> Check {
    let Scene { world, .. } = scene("kept")?;
    let pid = context.daemon()?.pid();
    let thread = thread_of(pid)?;
    let limits = || fs::read_to_string(format!("/proc/{pid}/limits")).doing("read limits");
    let before = limits()?;
    let mut session = Shell::start(&world.launch("everything", &everything_grant())?)?;
    for act in ACTS {
        let on = |pid: i32, thread: i32| {
            let act = act.replace("CALL", CALL).replace("PID", &pid.to_string());
            act.replace("TID", &thread.to_string())
        };
        session.may_not(&on(pid, thread))?;
        answers(pid)?;
        let mut twin = sleeper()?;
        session.may(&on(twin.pid(), twin.pid()))?;
        twin.child.kill().doing("kill the twin")?;
    }
    for owner in OWNERS {
        let of = |pid: i32| {
            BY_OWNER
                .replace("how", owner)
                .replace("PID", &pid.to_string())
        };
        session.may(&of(pid))?;
        answers(pid)?;
        let mut twin = sleeper()?;
        session.may(&of(twin.pid()))?;
        process::eventually("the owner is killed", 10, || {
            twin.child.try_wait().is_ok_and(|ended| ended.is_some())
        })?;
    }
    let now = limits()?;
    ensure(now == before, || {
        format!("the daemon's limits were {before}, and are {now}")
    })?;
    told(&session.session, pid)
}

/// Does to every new daemon, and to every new `sleep 1234`, what would keep it from starting.
const CATCH: &str = r#"import os, resource, signal, sys, time
known, until = set(os.listdir('/proc')), time.time() + 200
while time.time() < until and not os.path.exists(sys.argv[1]):
    for pid in set(os.listdir('/proc')) - known:
        try: words = open(f'/proc/{pid}/cmdline', 'rb').read().split(b'\0')
        except OSError: continue
        name = 'daemon' if b'daemon' in words else 'sleep' if b'1234' in words else None
        if name is None: continue
        known.add(pid)
        for act in (
            lambda: resource.prlimit(int(pid), resource.RLIMIT_FSIZE, (0, 0)),
            lambda: os.setpriority(os.PRIO_PROCESS, int(pid), 19),
            lambda: os.kill(int(pid), signal.SIGKILL),
        ):
            try: act(); print(name, 'done', flush=True)
            except OSError as error: print(name, error.errno, flush=True)
    time.sleep(0.002)
"#;

fn starting(context: &mut Context) -> Check {
    let Scene { world, .. } = scene("starting")?;
    context.daemon()?;
    let (program, end) = (
        format!("{}/catch.py", world.workspace),
        format!("{}/end", world.workspace),
    );
    fs::write(&program, CATCH).doing("write a program")?;
    let launch = world.launch("everything", &everything_grant())?;
    let mut session = Shell::start(&launch)?;
    let said = format!("{}/said", world.workspace);
    session.may(&format!("python3 -u {program} {end} >{said} & sleep 1"))?;
    let first = context.daemon()?.pid();
    context.daemon()?.kill()?;
    context.daemon = Some(Daemon::start()?);
    // The twin, and the first process of all.
    let mut twin = Background::start(std::process::Command::new("sleep").arg("1234"))?;
    process::eventually("another process is killed", 20, || {
        twin.child.try_wait().is_ok_and(|ended| ended.is_some())
    })?;
    for act in [
        "kill -URG 1",
        "prlimit --pid 1 --fsize=0:0",
        "renice -n 19 -p 1",
    ] {
        session.may_not(act)?;
    }
    fs::write(&end, "").doing("write")?;
    let pid = context.daemon()?.pid();
    answers(pid)?;
    let said = fs::read_to_string(&said).doing("read what was tried")?;
    let tried = said.lines().filter(|line| line.starts_with("daemon"));
    let tried = tried.collect::<Vec<_>>();
    // Until it runs its program it is whatever started it. The daemon's own children have its words, and end
    // by themselves between two acts (ESRCH).
    let is_refused = |line: &&&str| **line == "daemon 1";
    ensure(
        tried.iter().filter(is_refused).count() >= 3
            && tried
                .iter()
                .all(|line| ["daemon 1", "daemon 3"].contains(line)),
        || format!("expected everything to be refused, saw {said}"),
    )?;
    ensure(pid != first, || "it is the same daemon".into())
}

fn sleeper() -> Check<Background> {
    Background::start(std::process::Command::new("sleep").arg("1000"))
}

/// Another thread of a process than its first.
fn thread_of(pid: i32) -> Check<i32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).doing("list threads")?;
    let numbers = tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let other = numbers.into_iter().find(|number| *number != pid);
    other.ok_or_else(|| format!("{pid} has one thread"))
}

/// The same daemon is there and works.
fn answers(pid: i32) -> Check {
    #[derive(Deserialize)]
    struct Status {
        pid: i32,
    }
    let said = process::must(&["timeout", "20", BAILIFF, "status", "--json"])?;
    let status = serde_json::from_str::<Status>(&said.stdout).doing("read the status")?;
    ensure(status.pid == pid, || {
        format!("the daemon was {pid}, and is {}", status.pid)
    })
}

fn told(session: &str, pid: i32) -> Check {
    let told = events::of(session)?;
    for right in ["process.signal", "process.control"] {
        let named = told.iter().any(|event| {
            event.right == right
                && event.reason == "self-protection"
                && event.object.contains(&pid.to_string())
        });
        ensure(named, || format!("no {right} names {pid}: {told:?}"))?;
    }
    Ok(())
}
