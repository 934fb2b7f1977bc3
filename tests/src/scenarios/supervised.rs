//! A process whose system calls another one answers (`SECCOMP_RET_USER_NOTIF`): the answer may put a
//! descriptor into it. Row 60 of the catalogue.

use std::{fs, process::Command};

use super::{Context, Single};
use crate::{
    acts::SECRET,
    harness::{
        Check, Doing, ensure, events,
        matrix::fixture_grant,
        process::{Background, eventually},
        session::Launch,
        world::{Place, World},
    },
};

pub(crate) fn scenarios() -> Vec<Single> {
    vec![Single::new(
        "descriptors",
        "a supervisor outside puts no file from outside into a session",
        supervised,
    )]
}

/// Outside: answers one `getppid` with a descriptor of the file, or with the error of putting it there.
const SUPERVISOR: &str = "import ctypes, fcntl, os, socket, struct, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
if sys.argv[2] == 'a ring':
    file = ctypes.CDLL(None).syscall(425, 4, ctypes.create_string_buffer(120))
    assert file >= 0
else:
    file = os.open(sys.argv[2], os.O_RDONLY)
calls = socket.recv_fds(listener.accept()[0], 1, 1)[1][0]
call = bytearray(80)
fcntl.ioctl(calls, 0xc0502100, call)
number = struct.unpack_from('Q', call)[0]
value, error = 0, 0
try:
    given = bytearray(struct.pack('QIIII', number, 0, file, 0, 0))
    value = fcntl.ioctl(calls, 0x40182103, given)
except OSError as refused:
    error = -refused.errno
fcntl.ioctl(calls, 0xc0182101, struct.pack('QqiI', number, value, error, 0))
";

/// Inside: lets its `getppid` be answered, and reads what it got.
const SUPERVISED: &str = "import ctypes, os, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
# Load the number of the call; if it is getppid (110), ask; else allow.
rules = b''.join(struct.pack('HBBI', *rule) for rule in
    [(0x20, 0, 0, 0), (0x15, 0, 1, 110), (0x06, 0, 0, 0x7fc00000), (0x06, 0, 0, 0x7fff0000)])
rules = ctypes.create_string_buffer(rules)
program = ctypes.create_string_buffer(struct.pack('HxxxxxxQ', 4, ctypes.addressof(rules)))
calls = libc.syscall(317, 1, 8, program)
assert calls >= 0, os.strerror(ctypes.get_errno())
supervisor = socket.socket(socket.AF_UNIX)
supervisor.connect(sys.argv[1])
socket.send_fds(supervisor, [b'x'], [calls])
given = libc.syscall(110)
if given < 0:
    sys.exit('getppid: ' + os.strerror(ctypes.get_errno()))
print(os.read(given, 100).decode())
";

/// What the supervised process says when the supervisor gives it this file.
fn given(launch: &Launch, socket: &str, path: &str) -> Check<String> {
    let mut command = Command::new("python3");
    let _supervisor = Background::start(command.args(["-c", SUPERVISOR, socket, path]))?;
    eventually("the supervisor listens", 10, || {
        fs::metadata(socket).is_ok()
    })?;
    let ended = launch.run(&["python3", "-c", SUPERVISED, socket])?;
    Ok(format!("{}{}", ended.stdout, ended.stderr))
}

fn supervised(_: &mut Context) -> Check {
    let world = World::make(Place::Plain)?;
    for dir in ["/srv/givers", &world.outside, &world.reference] {
        fs::create_dir_all(dir).doing("make a directory")?;
    }
    let launch = world.launch("fixture", &fixture_grant())?;
    let (outside, reference) = (
        format!("{}/supervised", world.outside),
        format!("{}/supervised", world.reference),
    );
    fs::write(&outside, SECRET).doing("write")?;
    fs::write(&reference, SECRET).doing("write")?;
    let said = given(&launch, "/srv/givers/supervisor-1", &reference)?;
    ensure(said.contains(SECRET), || {
        format!("expected the content of the granted file, saw {said}")
    })?;
    let said = given(&launch, "/srv/givers/supervisor-2", &outside)?;
    let refused = said.contains("getppid: Permission denied") && !said.contains(SECRET);
    ensure(refused, || format!("expected EACCES, saw {said}"))?;
    // A socket carries none (`scm_fp_copy()`), a supervisor would.
    let said = given(&launch, "/srv/givers/supervisor-3", "a ring")?;
    ensure(said.contains("getppid: Operation not permitted"), || {
        format!("expected EPERM, saw {said}")
    })?;
    eventually("the refusal is an event", 10, || {
        let seen = events::query(&["--right", "file.read"]).unwrap_or_default();
        seen.iter().any(|event| event.names(&outside))
    })
}
