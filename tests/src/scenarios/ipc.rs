//! System V IPC and POSIX message queues: row 93 of the catalogue.

use std::{fs, process::Command};

use super::{
    Context, Single,
    lifecycle::{Scene, scene, tagged_shell},
};
use crate::harness::{
    Check, Doing, ensure, events,
    matrix::fixture_grant,
    process::{self, eventually},
    session::Shell,
};

pub(crate) fn scenarios() -> Vec<Single> {
    let new = |name, run| Single::new("ipc", name, run);
    vec![
        new("objects of others are out of reach", others),
        new("a session's own objects are free", own),
        new("another session's objects are out of reach", another),
        new("a grant may open the objects of others", granted),
    ]
}

/// `make` makes one object of each kind and tells their ids, `try` does what can be done to them, `look`
/// tells their state, `own` makes, uses and removes some. Of what is refused the error is told.
const PROGRAM: &str = r#"import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
libc.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
class Message(ctypes.Structure): _fields_ = [('kind', ctypes.c_long), ('text', ctypes.c_char * 32)]
class Operation(ctypes.Structure): _fields_ = [('number', ctypes.c_ushort), ('by', ctypes.c_short), ('flags', ctypes.c_short)]
CREAT, RMID, STAT, SET, LOCK, NOWAIT = 0o1000, 0, 2, 1, 11, 0o4000
key = int(sys.argv[2])
queue = b'/queue-%d' % key
def name(value):
    return 'done' if value not in (-1, None, 2**64 - 1) else errno.errorcode.get(ctypes.get_errno(), '?')
def message(text): return ctypes.byref(Message(1, text))
def make():
    shm = libc.shmget(key, 4096, CREAT | 0o600)
    ctypes.memmove(libc.shmat(shm, None, 0), b'mark\0', 5)
    sem = libc.semget(key, 1, CREAT | 0o600)
    msg = libc.msgget(key, CREAT | 0o600)
    libc.msgsnd(msg, message(b'mark'), 32, 0)
    assert libc.mq_open(queue, os.O_CREAT | os.O_RDWR, 0o600, None) >= 0
    return shm, sem, msg
def attempt(shm, sem, msg, remove=True):
    buffer = ctypes.create_string_buffer(512)
    up = ctypes.byref(Operation(0, 1, 0))
    up_until_exit = ctypes.byref(Operation(0, 1, 0o10000))
    is_zero = ctypes.byref(Operation(0, 0, NOWAIT))
    acts = [
        ('shmget', lambda: libc.shmget(key, 4096, 0)),
        ('shmat', lambda: libc.shmat(shm, None, 0)),
        ('shmat-read', lambda: libc.shmat(shm, None, 0o10000)),
        ('shm-stat', lambda: libc.shmctl(shm, STAT, buffer)),
        ('shm-set', lambda: libc.shmctl(shm, SET, buffer)),
        ('shm-lock', lambda: libc.shmctl(shm, LOCK, None)),
        ('semget', lambda: libc.semget(key, 1, 0)),
        ('semop-wait', lambda: libc.semop(sem, is_zero, 1)),
        ('semop', lambda: libc.semop(sem, up, 1)),
        ('semop-undo', lambda: libc.semop(sem, up_until_exit, 1)),
        ('sem-value', lambda: libc.semctl(sem, 0, 16, 7)),
        ('sem-stat', lambda: libc.semctl(sem, 0, STAT, buffer)),
        ('msgget', lambda: libc.msgget(key, 0)),
        ('msgsnd', lambda: libc.msgsnd(msg, message(b'x'), 32, NOWAIT)),
        ('msgrcv', lambda: libc.msgrcv(msg, ctypes.byref(Message()), 32, 0, NOWAIT)),
        ('msg-stat', lambda: libc.msgctl(msg, STAT, buffer)),
        ('mq_open', lambda: libc.mq_open(queue, os.O_RDWR)),
        ('mq_open-create', lambda: libc.mq_open(queue, os.O_CREAT | os.O_RDWR, 0o600, None)),
    ]
    if remove: acts += [
        ('shm-remove', lambda: libc.shmctl(shm, RMID, None)),
        ('sem-remove', lambda: libc.semctl(sem, 0, RMID)),
        ('msg-remove', lambda: libc.msgctl(msg, RMID, None)),
        ('mq_unlink', lambda: libc.mq_unlink(queue)),
    ]
    for word, act in acts: print(word, name(act()), flush=True)
def ids(): return [int(word) for word in sys.argv[3:6]]
what = sys.argv[1]
if what == 'make': print(*make())
elif what == 'try': attempt(*ids())
elif what == 'look':
    shm, sem, msg = ids()
    received = Message()
    print('shm', ctypes.string_at(libc.shmat(shm, None, 0)).decode())
    print('sem', libc.semctl(sem, 0, 12))
    libc.msgrcv(msg, ctypes.byref(received), 32, 0, NOWAIT)
    print('msg', received.text.decode(), name(libc.msgrcv(msg, ctypes.byref(received), 32, 0, NOWAIT)))
    print('mq', name(libc.mq_open(queue, os.O_RDWR)))
elif what == 'own':
    made = make()
    pid = os.fork()
    if not pid:
        attempt(*made)
        os._exit(0)
    os.waitpid(pid, 0)
elif what == 'stale':
    # A queue that could not be made, and then somebody else makes.
    class Attributes(ctypes.Structure): _fields_ = [('words', ctypes.c_long * 8)]
    wrong = Attributes(); wrong.words[1] = -1; wrong.words[2] = -1
    print('make', name(libc.mq_open(queue, os.O_CREAT | os.O_RDWR, 0o600, ctypes.byref(wrong))), flush=True)
    sys.stdin.readline()
    print('open', name(libc.mq_open(queue, os.O_RDWR)), flush=True)
"#;

const FILE: &str = "/usr/local/lib/scenario-ipc.py";

/// Runs the program outside.
fn outside(words: &str) -> Check<String> {
    fs::create_dir_all("/usr/local/lib").doing("make a directory")?;
    fs::write(FILE, PROGRAM).doing("write a program")?;
    Ok(process::shell(&format!("python3 {FILE} {words}"))?
        .stdout
        .trim()
        .to_owned())
}

fn inside(shell: &mut Shell, words: &str) -> Check<Vec<String>> {
    let said = shell.may(&format!("python3 {FILE} {words}"))?;
    Ok(said.lines().map(str::to_owned).collect())
}

const UNTOUCHED: &str = "shm mark\nsem 0\nmsg mark ENOMSG\nmq done";

/// Every act was refused, and the objects are as they were.
fn refused(shell: &mut Shell, key: u32, ids: &str) -> Check {
    let said = inside(shell, &format!("try {key} {ids}"))?;
    let refused = |line: &String| line.ends_with(" EACCES") || line.ends_with(" EPERM");
    ensure(said.len() == 22 && said.iter().all(refused), || {
        format!("expected 22 refusals, saw {said:?}")
    })?;
    let now = outside(&format!("look {key} {ids}"))?;
    ensure(now == UNTOUCHED, || {
        format!("expected the objects untouched, saw {now:?}")
    })
}

fn others(_: &mut Context) -> Check {
    let Scene { launch, .. } = scene("ipc")?;
    let ids = outside("make 7001")?;
    let mut shell = Shell::start(&launch)?;
    refused(&mut shell, 7001, &ids)?;
    for right in ["process.ipc", "file.read", "file.delete"] {
        eventually(&format!("{right} is an event"), 10, || {
            let events = events::of(&shell.session).unwrap_or_default();
            events.iter().any(|event| event.right == right)
        })?;
    }
    let ids = outside("make 7002")?;
    let (_scene, mut tagged, _cgroup) = tagged_shell("ipc", &[])?;
    refused(&mut tagged, 7002, &ids)?;
    stale(&mut shell)?;
    let done = outside(&format!("try 7002 {ids}"))?;
    let done = done.lines().filter(|line| line.ends_with(" done")).count();
    ensure(done >= 18, || {
        format!("expected all to be done outside, saw {done}")
    })
}

/// What a session failed to make is not its own when somebody else makes it.
fn stale(shell: &mut Shell) -> Check {
    let fifo = "/w/ipc/go";
    process::shell(&format!("mkdir -p /w/ipc; rm -f {fifo}; mkfifo {fifo}"))?;
    shell.may(&format!(
        "(python3 {FILE} stale 7003 <{fifo} >/w/ipc/said 2>&1 &) ; sleep 1"
    ))?;
    let writer = fs::OpenOptions::new().write(true).open(fifo);
    let writer = writer.doing("open a fifo")?;
    let said = || fs::read_to_string("/w/ipc/said").unwrap_or_default();
    eventually("the queue could not be made", 10, || {
        said().contains("make EINVAL")
    })?;
    outside("make 7003")?;
    drop(writer);
    eventually("the queue of others is refused", 10, || {
        said().contains("open E")
    })
    .map_err(|error| format!("{error}: {}", said()))
}

fn own(_: &mut Context) -> Check {
    let Scene { launch, .. } = scene("ipc-own")?;
    outside("look 1 0 0 0").ok();
    let mut shell = Shell::start(&launch)?;
    let said = inside(&mut shell, "own 7010")?;
    let failed = said.iter().filter(|line| !line.ends_with(" done"));
    let failed = failed.collect::<Vec<_>>();
    // The buffer is not what is set; locking needs a capability or a limit.
    let may_fail = |line: &&&String| line.starts_with("shm-set") || line.starts_with("shm-lock");
    ensure(failed.iter().all(|line| may_fail(&line)), || {
        format!("expected all to be done, saw {failed:?}")
    })?;
    let left = process::run_with(&["ipcs"], &mut |_: &mut Command| {})?.stdout;
    ensure(!left.contains("0x00001b62"), || {
        format!("expected nothing left, saw {left}")
    })
}

fn another(_: &mut Context) -> Check {
    let Scene { launch, .. } = scene("ipc-another")?;
    outside("look 1 0 0 0").ok();
    let mut first = Shell::start(&launch)?;
    let ids = inside(&mut first, "make 7020")?.join(" ");
    let mut second = Shell::start(&launch)?;
    refused(&mut second, 7020, &ids)?;
    // Its own again, in another process.
    let said = inside(&mut first, &format!("try 7020 {ids}"))?;
    let done = said.iter().filter(|line| line.ends_with(" done")).count();
    ensure(done >= 17, || {
        format!("expected all to be done, saw {said:?}")
    })
}

fn granted(_: &mut Context) -> Check {
    let Scene { world, .. } = scene("ipc-granted")?;
    let text = fixture_grant().replace("jit = false", "jit = false\nipc = \"any\"");
    let ids = outside("make 7030")?;
    let mut shell = Shell::start(&world.launch("ipc", &text)?)?;
    let said = inside(&mut shell, &format!("try 7030 {ids}"))?;
    let done = said.iter().filter(|line| line.ends_with(" done")).count();
    ensure(done >= 18, || {
        format!("expected all to be done, saw {said:?}")
    })
}
