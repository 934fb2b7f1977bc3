//! Job control: the kernel signals process groups as a whole, so that who joins one, or says which is in
//! the foreground, stops what is in it. Row 90 of the catalogue.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    process::{Command, Stdio},
};

use super::{
    Context, Single,
    lifecycle::{scene, tag_words},
};
use crate::harness::{
    Check, Doing,
    daemon::BAILIFF,
    ensure, events, members,
    process::{self, Background, eventually},
    session::Launch,
};

pub(crate) fn scenarios() -> Vec<Single> {
    let new = |name, run| Single::new("processes", name, run);
    vec![
        new("a session stops no job of the terminal it is at", member),
        new(
            "a session controls the jobs of a terminal that it leads",
            leader,
        ),
        new(
            "a session that stopped itself can be continued or ended, and its runner ends with it",
            stopped,
        )
        .once(),
    ]
}

/// Without a terminal, where nobody would wake `bailiff run`. With one: `terminals: …`.
fn stopped(_: &mut Context) -> Check {
    let stop = ["sh", "-c", "echo $BAILIFF_SESSION; kill -STOP $$; exit 7"];
    let grant = "/etc/bailiff/grants/stopped.toml";
    fs::write(
        grant,
        "version = 1\nname = \"stopped\"\ninclude = [\"base\"]\n",
    )
    .doing("write the grant")?;
    for (what, expected) in [("continued", 7), ("ended", 128 + libc::SIGKILL)] {
        let mut command = Launch::grant(grant).command(&stop);
        // SAFETY: a call that takes nothing from this process.
        unsafe {
            command.pre_exec(|| {
                libc::setsid();
                Ok(())
            });
        }
        let mut runner = Background::start(command.stdout(Stdio::piped()))?;
        let output = runner.child.stdout.take().ok_or("no output")?;
        let mut session = String::new();
        BufReader::new(output)
            .read_line(&mut session)
            .doing("read the session's name")?;
        let session = session.trim();
        let mut shell = 0;
        eventually("the session has stopped", 30, || {
            let all = members::all().unwrap_or_default();
            let found = all.iter().find(|member| {
                let stat = fs::read_to_string(format!("/proc/{}/stat", member.pid));
                member.session.as_deref() == Some(session)
                    && stat.is_ok_and(|stat| stat.contains(") T "))
            });
            shell = found.map_or(0, |member| member.pid);
            shell != 0
        })?;
        match what {
            // As somebody outside does it.
            "continued" => process::must(&["kill", "-CONT", &shell.to_string()])?,
            _ => process::must(&[BAILIFF, "stop", session])?,
        };
        let mut code = None;
        let ended = eventually("`bailiff run` has ended", 30, || {
            code = runner.child.try_wait().ok().flatten();
            code.is_some()
        });
        ended.map_err(|error| format!("{what}: {error}"))?;
        let code = code.and_then(|status| status.code());
        ensure(code == Some(expected), || {
            format!("{what}: expected exit code {expected}, saw {code:?}")
        })?;
    }
    Ok(())
}

/// A terminal's session with a job in the background. Its leader, or another process of it, then tries to
/// join the job, to control the foreground, and to make jobs of its own.
const JOBS: &str = "import os, pty, signal, sys
out, go = os.dup(1), os.dup(0)
def say(*words): os.write(out, (' '.join(map(str, words)) + '\\n').encode())
def attempt(name, act):
    try: act(); say(name, 'done')
    except OSError as error: say(name, error.errno)
def child():
    pid = os.fork()
    if not pid:
        while True: signal.pause()
    return pid
pid, master = pty.fork()
if pid:
    while True:
        try:
            if not os.read(master, 1000): break
        except OSError: break
    sys.exit()
signals = [signal.SIGTTOU, signal.SIGTTIN, signal.SIGHUP]
for number in signals: signal.signal(number, signal.SIG_IGN)
job = os.fork()
if not job:
    os.setpgid(0, 0)
    for number in signals: signal.signal(number, signal.SIG_DFL)
    os.execvp('sleep', ['sleep', '60'])
os.setpgid(job, job)
leads = sys.argv[1] == 'leader'
if not leads and os.fork():
    while True: signal.pause()
tty = os.open('/dev/tty', os.O_RDWR)
say(os.getpid(), job)
os.read(go, 1)
if leads: attempt('join', lambda: os.setpgid(child(), job))
else:
    # Not ignored: the kernel signals the whole group.
    signal.signal(signal.SIGTTOU, lambda *_: None)
    attempt('join', lambda: os.setpgid(0, job))
attempt('foreground', lambda: os.tcsetpgrp(tty, os.getpgrp()))
attempt('job', lambda: os.tcsetpgrp(tty, job))
first = child()
attempt('own', lambda: os.setpgid(first, first))
attempt('pipeline', lambda: os.setpgid(child(), first))
attempt('own-foreground', lambda: os.tcsetpgrp(tty, first))
say('state', open('/proc/%d/stat' % job).read().rpartition(')')[2].split()[0])
os.killpg(first, signal.SIGKILL)
say('end')
while True: signal.pause()
";

/// What came of it, in order; in a tagged cgroup or in no session.
fn tried(mode: &str, tagged: bool) -> Check<(u32, Vec<String>)> {
    let mut command = Command::new("python3");
    command.args(["-c", JOBS, mode]).stdout(Stdio::piped());
    let mut program = Background::start(&mut command)?;
    let output = program.child.stdout.take().ok_or("no output")?;
    let mut lines = BufReader::new(output).lines();
    let mut line = move || -> Check<String> {
        let line = lines.next().ok_or("the program ended")?;
        line.doing("read")
    };
    let ready = line()?;
    let mut pids = ready.split(' ').map_while(|word| word.parse::<u32>().ok());
    let (pid, job) = (pids.next(), pids.next());
    let (pid, job) = pid.zip(job).ok_or_else(|| format!("saw {ready:?}"))?;
    if tagged {
        let scene = scene("jobs")?;
        let cgroup = format!("/sys/fs/cgroup/scenario-jobs-{mode}");
        std::fs::create_dir_all(&cgroup).doing("make a cgroup")?;
        std::fs::write(format!("{cgroup}/cgroup.procs"), pid.to_string()).doing("move it")?;
        process::must(&tag_words(&scene.launch, &cgroup))?;
    }
    program.tell("go")?;
    let mut said = Vec::new();
    loop {
        let line = line()?;
        if line == "end" {
            break;
        }
        said.push(line);
    }
    process::shell(&format!("kill -KILL {pid} {job}; kill -KILL {job} || true"))?;
    Ok((pid, said))
}

fn expect(mode: &str, tagged: bool, expected: &[&str]) -> Check<u32> {
    let (pid, said) = tried(mode, tagged)?;
    ensure(said == expected, || {
        format!("expected {expected:?}, saw {said:?}")
    })?;
    Ok(pid)
}

fn member(_: &mut Context) -> Check {
    // The job is stopped (T) as soon as a process that joined it touches the terminal.
    let (_, free) = tried("member", false)?;
    ensure(
        free.contains(&"join done".into()) && free.contains(&"state T".into()),
        || format!("expected the job to be joined and stopped in no session, saw {free:?}"),
    )?;
    let pid = expect(
        "member",
        true,
        &[
            "join 1",
            "foreground 1",
            "job 1",
            "own done",
            "pipeline done",
            "own-foreground 1",
            "state S",
        ],
    )?;
    process::eventually("the refusals are events", 10, || {
        let seen = events::query(&["--right", "process.control"]).unwrap_or_default();
        seen.iter()
            .any(|event| event.process.pid == pid && event.names("process group"))
    })
}

fn leader(_: &mut Context) -> Check {
    expect(
        "leader",
        true,
        &[
            "join 1",
            "foreground done",
            // Its own terminal: which job reads there is its leader's business.
            "job done",
            "own done",
            "pipeline done",
            "own-foreground done",
            "state S",
        ],
    )
    .map(drop)
}
