//! A ring of io_uring that a process made before it came into a session: row 153 of the catalogue.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use super::{Context, Single, lifecycle::tagged_shell};
use crate::harness::{
    Check, Doing, ensure, events,
    matrix::fixture_grant,
    process::{self, Background, eventually, shell},
    world::{Place, World},
};

pub(crate) fn scenarios() -> Vec<Single> {
    vec![
        Single::new(
            "descriptors",
            "a ring made before gives no other credentials",
            personality,
        ),
        Single::new(
            "descriptors",
            "a granted ring changes attributes and commands devices within the grant",
            granted,
        ),
    ]
}

/// Sets an attribute (`IORING_OP_SETXATTR`) of each file, as itself, by a worker (`IOSQE_ASYNC`) and under a
/// personality, and sends a command to each device (`IORING_OP_URING_CMD`, which /dev/null takes); last, once its
/// credentials are others than those of the personality, takes ports that need a capability (`IORING_OP_BIND`, from
/// 6.11 on, which no worker does). Says what came of each.
const GRANTED: &str = "import ctypes, mmap, os, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
parameters = ctypes.create_string_buffer(120)
ring = libc.syscall(425, 4, parameters)
assert ring >= 0, os.strerror(ctypes.get_errno())
entries = struct.unpack_from('I', parameters)[0]
head, tail, mask, _, _, _, array = struct.unpack_from('7I', parameters, 40)
done_head, done_tail, done_mask, _, _, done = struct.unpack_from('6I', parameters, 80)
rings = mmap.mmap(ring, max(array + 4 * entries, done + 16 * entries * 2))
requests = mmap.mmap(ring, 64 * entries, offset=0x10000000)
personality = libc.syscall(427, ring, 9, None, 0)
assert personality > 0, ctypes.get_errno()
number = 0
def ask(request):
    global number
    slot = number % entries
    requests[64 * slot:64 * slot + 64] = request
    struct.pack_into('I', rings, array + 4 * slot, slot)
    number += 1
    struct.pack_into('I', rings, tail, number)
    libc.syscall(426, ring, 1, 1, 1, None, 0)
    at = struct.unpack_from('I', rings, done_head)[0]
    mask = struct.unpack_from('I', rings, done_mask)[0]
    result = struct.unpack_from('Qi', rings, done + 16 * (at & mask))[1]
    struct.pack_into('I', rings, done_head, at + 1)
    return result
name, value = ctypes.create_string_buffer(b'user.ring'), ctypes.create_string_buffer(b'set')
def attribute(path, flags, under):
    path = ctypes.create_string_buffer(path.encode())
    return ask(struct.pack('=BBHiQQIIQHHiQQ', 42, flags, 0, 0, ctypes.addressof(value),
        ctypes.addressof(name), 3, 0, 0, 0, under, 0, ctypes.addressof(path), 0))
def command(path):
    device = os.open(path, os.O_RDONLY)
    return ask(struct.pack('=BBHiQQIIQHHiQQ', 46, 0, 0, device, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))
for path in sys.argv[1:3]:
    print(attribute(path, 0, 0), attribute(path, 16, 0), attribute(path, 0, personality))
for path in sys.argv[3:5]:
    print(command(path))
keep_capabilities = 8
libc.prctl(keep_capabilities, 1, 0, 0, 0)
def take(port, under):
    kept = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    address = ctypes.create_string_buffer(struct.pack('=H', 2) + struct.pack('>H8x4x', port), 16)
    return ask(struct.pack('=BBHiQQIIQHHiQQ', 56, 0, 0, kept.fileno(), 16, ctypes.addressof(address),
        0, 0, 0, 0, under, 0, 0, 0))
print(take(81, 0), take(82, personality))
";

fn granted(_: &mut Context) -> Check {
    let world = World::make(Place::Plain)?;
    let dirs = [&world.workspace, &world.reference];
    let mut words = vec!["python3".to_owned(), "-c".into(), GRANTED.into()];
    for dir in dirs {
        let dir = format!("{dir}/ring");
        shell(&format!(
            "mkdir -p {dir}; echo x >{dir}/file; rm -f {dir}/null; mknod -m 666 {dir}/null c 1 3"
        ))?;
        words.push(format!("{dir}/file"));
    }
    words.extend(dirs.map(|dir| format!("{dir}/ring/null")));
    let text = format!("{}\n[kernel]\nio_uring = true\n", fixture_grant());
    let ended = world.launch("rings", &text)?.run(&words)?;
    let told = ended.stdout.clone();
    let (tail, left) = (
        ended.tail(),
        shell(&format!("getfattr -d {}/ring/file", world.reference))?,
    );
    ensure(left.stdout.is_empty(), || {
        format!("the file has {}", left.stdout)
    })?;
    let outside = process::run(&words)?;
    let unknown = format!("-{0} -{0}\n", libc::EINVAL);
    let takes_ports = !outside.stdout.ends_with(&unknown);
    let taken = if takes_ports { "0 0\n" } else { &unknown };
    let wanted = format!("0 0 0\n0 0 0\n0\n0\n{taken}");
    ensure(outside.stdout == wanted, || {
        format!("expected everything outside, saw {}", outside.tail())
    })?;
    let refused = libc::EACCES;
    let ports = if takes_ports {
        format!("-{refused} -{refused}\n")
    } else {
        unknown
    };
    let wanted = format!("0 0 0\n-{refused} -{refused} -{refused}\n0\n-{refused}\n{ports}");
    ensure(told == wanted, || {
        format!("expected {wanted:?}, saw {tail}")
    })
}

/// Makes a ring, registers its credentials as a personality, and for every line that it is told asks
/// for nothing (`IORING_OP_NOP`) under that personality, and says what came of it.
const RING: &str = "import ctypes, mmap, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
parameters = ctypes.create_string_buffer(120)
ring = libc.syscall(425, 4, parameters)
entries, results = struct.unpack_from('2I', parameters)
head, tail, mask, _, _, _, array = struct.unpack_from('7I', parameters, 40)
done_head, done_tail, done_mask, _, _, done = struct.unpack_from('6I', parameters, 80)
rings = mmap.mmap(ring, max(array + 4 * entries, done + 16 * results))
requests = mmap.mmap(ring, 64 * entries, offset=0x10000000)
personality = libc.syscall(427, ring, 9, None, 0)
assert personality > 0, ctypes.get_errno()
number = 0
for line in sys.stdin:
    slot = number % entries
    requests[64 * slot:64 * slot + 64] = struct.pack('40xHH20x', 0, personality)
    struct.pack_into('I', rings, array + 4 * slot, slot)
    number += 1
    struct.pack_into('I', rings, tail, number)
    libc.syscall(426, ring, 1, 1, 1, None, 0)
    at = struct.unpack_from('I', rings, done_head)[0]
    mask = struct.unpack_from('I', rings, done_mask)[0]
    print(struct.unpack_from('Qi', rings, done + 16 * (at & mask))[1], flush=True)
    struct.pack_into('I', rings, done_head, at + 1)
";

fn personality(_: &mut Context) -> Check {
    let (_scene, _shell, cgroup) = tagged_shell("rings", &[])?;
    let mut command = Command::new("python3");
    command.args(["-c", RING]).stdout(Stdio::piped());
    let mut ring = Background::start(&mut command)?;
    let output = ring.child.stdout.take().ok_or("no output")?;
    let mut output = BufReader::new(output);
    let mut ask = |ring: &mut Background| -> Check<String> {
        ring.tell("go")?;
        let mut line = String::new();
        output.read_line(&mut line).doing("read")?;
        Ok(line.trim().into())
    };
    let said = ask(&mut ring)?;
    ensure(said == "0", || {
        format!("expected 0 in no session, saw {said:?}")
    })?;
    let pid = ring.pid();
    std::fs::write(format!("{cgroup}/cgroup.procs"), pid.to_string()).doing("move the process")?;
    let said = ask(&mut ring)?;
    ensure(said == format!("-{}", libc::EPERM), || {
        format!("expected EPERM in the session, saw {said:?}")
    })?;
    eventually("the refusal is an event", 10, || {
        let seen = events::query(&["--right", "kernel.io_uring"]).unwrap_or_default();
        seen.iter()
            .any(|event| event.process.pid == pid.cast_unsigned())
    })
}
