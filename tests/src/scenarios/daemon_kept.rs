//! The daemon before sessions that may signal and control any process: nothing reaches it.

use std::fs;

use serde::Deserialize;

use super::{
    Context, Single,
    lifecycle::{Scene, scene},
};
use crate::harness::{
    Check, Doing,
    daemon::BAILIFF,
    ensure, events,
    matrix::everything_grant,
    process::{self, Background},
    session::Shell,
};

pub(crate) fn scenarios() -> Vec<Single> {
    vec![Single::new(
        "processes",
        "what may be done to any process may not be done to the daemon",
        kept,
    )]
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
