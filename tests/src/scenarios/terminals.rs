//! Terminals: a session has those that it opened or was started on, and no other.

mod console;
mod started;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    process::{ChildStdout, Command, Stdio},
};

use super::{Context, Single};
use crate::harness::{
    Check, Doing, ensure, events,
    matrix::fixture_grant,
    process::{self, Background},
    session::Launch,
    world::{Place, World},
};

pub(crate) fn scenarios() -> Vec<Single> {
    vec![
        Single::new(
            "terminals",
            "a session opens its own terminals and nobody else's",
            others,
        ),
        Single::new(
            "terminals",
            "a received terminal of others is no way in",
            received,
        ),
        Single::new(
            "terminals",
            "a terminal with a number that was the session's is not its own",
            numbers,
        ),
        Single::new(
            "terminals",
            "what a tagged process was started on stays its own",
            started::started_on,
        ),
        Single::new(
            "terminals",
            "bailiff run on a terminal gives one of its own",
            started::run_on_terminal,
        ),
        Single::new(
            "terminals",
            "one console says nothing about all of them",
            console::all_consoles,
        ),
    ]
}

/// Outside: has a terminal, and gives its slave, its master and its /dev/tty away by a socket at
/// `argv[1]`, one for each who connects, in turns. For every line that it is told says how the terminal is.
const HOST: &str = "import json, os, pty, select, socket, sys, termios, threading
os.setsid()
master, slave = pty.openpty()
name = os.ttyname(slave)
os.close(os.open(name, os.O_RDWR))
tty = os.open('/dev/tty', os.O_RDWR)
os.chmod(name, 0o600)
os.write(master, b'typed secret\\n')
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
def give():
    while True:
        for gift in (slave, master, tty):
            socket.send_fds(listener.accept()[0], [b'x'], [gift])
threading.Thread(target=give, daemon=True).start()
print(name, flush=True)
for line in sys.stdin:
    seen = b''
    while select.select([master], [], [], 0.05)[0]:
        seen += os.read(master, 4096)
    status = os.stat(name)
    print(json.dumps([oct(status.st_mode), status.st_uid, int(status.st_mtime) > 100,
        termios.tcgetattr(slave)[3] & termios.ECHO, list(termios.tcgetwinsize(slave)),
        seen.replace(b'typed secret\\r\\n', b'').decode()]), flush=True)
";

/// Tries everything with the terminal `argv[1]`, then the same with one of its own, and says what came of
/// it: `NAME ERRNO` for each, 0 if it was done.
const TRY: &str = "import ctypes, fcntl, os, pty, struct, sys, termios
libc = ctypes.CDLL(None, use_errno=True)
def watch(name):
    if libc.inotify_add_watch(libc.inotify_init(), name.encode(), 2) < 0:
        raise OSError(ctypes.get_errno(), '')
def read(name):
    fd = os.open(name, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
    os.read(fd, 100)
def write(name):
    os.write(os.open(name, os.O_WRONLY | os.O_NOCTTY), b'INJECTED')
def quiet(name):
    fd = os.open(name, os.O_RDWR | os.O_NOCTTY)
    a = termios.tcgetattr(fd)
    a[3] &= ~termios.ECHO
    termios.tcsetattr(fd, termios.TCSANOW, a)
def resize(name):
    fd = os.open(name, os.O_RDWR | os.O_NOCTTY)
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', 1, 1, 0, 0))
def again(name):
    fd = os.open(name, os.O_PATH)
    os.open(f'/proc/self/fd/{fd}', os.O_RDWR | os.O_NOCTTY)
def control(name):
    if os.fork() == 0:
        try:
            os.setsid()
            os.open(name, os.O_RDWR)
            os.open('/dev/tty', os.O_RDWR)
        except OSError as error:
            os._exit(error.errno)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.wait()[1])
    if code:
        raise OSError(code, '')
def old(name):
    os.utime(name, (1, 1))
acts = [read, write, quiet, resize, again, control, watch,
    ('chmod', lambda name: os.chmod(name, 0o666)),
    ('chown', lambda name: os.chown(name, os.getuid(), os.getgid())),
    ('utime', old), ('touch', os.utime),
    ('truncate', lambda name: os.close(os.open(name, os.O_WRONLY | os.O_NOCTTY | os.O_TRUNC)))]
def attempt(kind, name):
    for act in acts:
        word, act = act if isinstance(act, tuple) else (act.__name__, act)
        try:
            act(name)
            result = 0
        except OSError as error:
            result = error.errno
        print(kind, word, result, flush=True)
attempt('others', sys.argv[1])
for way in ('open', 'peer'):
    master = os.open('/dev/ptmx', os.O_RDWR | os.O_NOCTTY)
    fcntl.ioctl(master, 0x40045431, struct.pack('i', 0))
    if way == 'peer':
        name = os.ttyname(fcntl.ioctl(master, 0x5441, os.O_RDWR | os.O_NOCTTY))
    else:
        name = os.ptsname(master) if hasattr(os, 'ptsname') else '/dev/pts/%d' % struct.unpack('i',
            fcntl.ioctl(master, 0x80045430, bytes(4)))
    os.write(master, b'x\\n')
    attempt('own-' + way, name)
";

/// What was tried, and the error number of each.
fn told(said: &str) -> BTreeMap<String, i32> {
    said.lines()
        .filter_map(|line| {
            let (name, number) = line.rsplit_once(' ')?;
            Some((name.to_owned(), number.parse().ok()?))
        })
        .collect()
}

/// A terminal outside.
struct Host {
    process: Background,
    output: BufReader<ChildStdout>,
    /// The slave's path.
    name: String,
    /// Where its descriptors are given away.
    socket: String,
}

impl Host {
    fn start(name: &str) -> Check<Self> {
        fs::create_dir_all("/srv/givers").doing("make a directory")?;
        let socket = format!("/srv/givers/{name}");
        let mut command = Command::new("python3");
        command.args(["-c", HOST, &socket]).stdout(Stdio::piped());
        let mut process = Background::start(&mut command)?;
        let output = process.child.stdout.take().ok_or("no output")?;
        let mut host = Self {
            process,
            output: BufReader::new(output),
            name: String::new(),
            socket,
        };
        host.name = host.line()?;
        Ok(host)
    }

    fn line(&mut self) -> Check<String> {
        let mut line = String::new();
        self.output.read_line(&mut line).doing("read")?;
        Ok(line.trim().into())
    }

    /// Mode, owner, whether its times are of this age, echo, size, and what was written to it.
    fn state(&mut self) -> Check<String> {
        self.process.tell("how")?;
        self.line()
    }
}

fn session() -> Check<(World, Launch)> {
    let world = World::make(Place::Plain)?;
    let launch = world.launch("fixture", &fixture_grant())?;
    Ok((world, launch))
}

fn others(_: &mut Context) -> Check {
    let (_world, launch) = session()?;
    let mut host = Host::start("others")?;
    let before = host.state()?;
    let ended = launch.run(&["python3", "-c", TRY, &host.name])?;
    let told_inside = told(&ended.stdout);
    let own = told_inside
        .keys()
        .filter(|name| name.starts_with("own-"))
        .count();
    ensure(told_inside.len() == 36 && own == 24, || {
        format!("expected 36 acts, saw {}", ended.tail())
    })?;
    for (name, errno) in &told_inside {
        // Who may not change owners is told EPERM for its own terminal, too.
        let is_owner = name.ends_with("chown");
        let wanted = if name.starts_with("others") && is_owner {
            libc::EPERM
        } else if name.starts_with("others") {
            libc::EACCES
        } else {
            0
        };
        ensure(
            *errno == wanted || (is_owner && wanted == 0 && *errno == libc::EPERM),
            || format!("expected {wanted} of `{name}`, saw {errno}"),
        )?;
    }
    let after = host.state()?;
    ensure(after == before, || {
        format!("the terminal was {before}, and is {after}")
    })?;
    let seen = events::query(&["--since", "60s", "--path", &host.name])?;
    let rights = ["file.read", "file.write", "file.attr"];
    for right in rights {
        ensure(
            seen.iter()
                .any(|event| event.right == right && event.reason == "outside-session"),
            || format!("no event of {right}"),
        )?;
    }
    // The same in no session.
    let ended = process::run(&["python3", "-c", TRY, &host.name])?;
    let refused = told(&ended.stdout)
        .into_iter()
        // It is the controlling terminal of its host already, and so does not become another's.
        .filter(|(name, errno)| *errno != 0 && (name != "others control" || *errno != libc::ENXIO))
        .collect::<Vec<_>>();
    ensure(refused.is_empty(), || {
        format!("expected everything to be done outside, saw {refused:?}")
    })?;
    let after = host.state()?;
    ensure(after.contains("INJECTED") && after != before, || {
        format!("expected traces on the terminal, saw {after}")
    })
}

/// Receives what is given three times, and says which came; then passes a terminal of its own, slave and
/// master, and its /dev/tty.
const RECEIVE: &str = "import os, pty, socket, sys
for kind in ('slave', 'master', 'tty'):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    print('others', kind, 0 if socket.recv_fds(s, 1, 1)[1] else 13, flush=True)
pid, master = pty.fork()
if pid == 0:
    os.read(0, 1)
    os._exit(0)
own = pty.openpty()
a, b = socket.socketpair()
for kind, fd in (('master', master), ('slave', own[1]), ('other-master', own[0])):
    socket.send_fds(a, [b'x'], [fd])
    print('own', kind, 0 if socket.recv_fds(b, 1, 1)[1] else 13, flush=True)
";

fn received(_: &mut Context) -> Check {
    let (_world, launch) = session()?;
    let host = Host::start("given")?;
    let ended = launch.run(&["python3", "-c", RECEIVE, &host.socket])?;
    let told_inside = told(&ended.stdout);
    ensure(told_inside.len() == 6, || {
        format!("expected six gifts, saw {}", ended.tail())
    })?;
    for (name, errno) in &told_inside {
        let wanted = if name.starts_with("others") {
            libc::EACCES
        } else {
            0
        };
        ensure(*errno == wanted, || {
            format!("expected {wanted} of `{name}`, saw {errno}")
        })?;
    }
    let ended = process::run(&["python3", "-c", RECEIVE, &host.socket])?;
    ensure(
        told(&ended.stdout).values().all(|errno| *errno == 0),
        || format!("expected every gift to come outside, saw {}", ended.tail()),
    )
}

/// Opens terminals and unlocks them; for every line that it is told closes them all at once, and says
/// what opening the name that it is told gives.
const REUSE: &str = "import fcntl, os, struct, sys
masters = []
def take():
    for _ in range(8):
        master = os.open('/dev/ptmx', os.O_RDWR | os.O_NOCTTY)
        fcntl.ioctl(master, 0x40045431, struct.pack('i', 0))
        masters.append(master)
take()
print('ready', flush=True)
for line in sys.stdin:
    if line == 'close\\n':
        while masters:
            os.close(masters.pop())
        print('closed', flush=True)
        continue
    refused = 0
    for name in line.split():
        try:
            os.open(name, os.O_RDWR | os.O_NOCTTY)
        except PermissionError:
            refused += 1
    take()
    print(refused, flush=True)
";

fn numbers(_: &mut Context) -> Check {
    let (_world, launch) = session()?;
    let mut command = launch.command(&["python3", "-c", REUSE]);
    let mut inside = Background::start(&mut command)?;
    let output = inside.child.stdout.take().ok_or("no output")?;
    let mut output = BufReader::new(output);
    let mut line = || -> Check<String> {
        let mut line = String::new();
        output.read_line(&mut line).doing("read")?;
        Ok(line.trim().into())
    };
    line()?;
    for round in 0..50 {
        inside.tell("close")?;
        line()?;
        // What was the session's a moment ago is given to us.
        let masters = (0..8)
            .map(|_| {
                // SAFETY: no pointers but a static string.
                let fd =
                    unsafe { libc::open(c"/dev/ptmx".as_ptr(), libc::O_RDWR | libc::O_NOCTTY) };
                crate::acts::raw::check(fd).map(crate::acts::raw::owned)
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(|fault| format!("cannot open a terminal: {fault:?}"))?;
        let mut names = Vec::new();
        for master in &masters {
            use std::os::fd::AsRawFd;
            let (mut number, unlock) = (0_u32, 0_i32);
            // SAFETY: live integers.
            unsafe {
                libc::ioctl(master.as_raw_fd(), libc::TIOCGPTN, &raw mut number);
                libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlock);
            }
            let name = format!("/dev/pts/{number}");
            fs::set_permissions(&name, fs::Permissions::from_mode(0o666)).doing("chmod")?;
            names.push(name);
        }
        inside.tell(&names.join(" "))?;
        let refused = line()?;
        ensure(refused == "8", || {
            format!("in round {round} {refused} of 8 were refused")
        })?;
    }
    Ok(())
}
