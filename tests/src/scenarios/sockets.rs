//! What a session does with sockets besides connecting them: options, control messages, addresses of its own,
//! listeners of its own.

mod listeners;
mod unspecified;

use std::process::{Command, Stdio};

use super::{Context, Single};
use crate::harness::{
    Check, ensure, events,
    process::{self, Background, eventually},
    session::Launch,
    world::{Place, World},
};

pub(crate) fn scenarios() -> Vec<Single> {
    let new = |name, run| Single::new("sockets", name, run);
    vec![
        new(
            "options that send elsewhere, lie about the source or speak to the network are refused",
            options,
        ),
        new("control messages that do the same are refused", messages),
        new(
            "an unspecified address is judged by where it leads",
            unspecified::unspecified,
        ),
        new(
            "no race with IPV6_ADDRFORM carries a datagram past the grant",
            unspecified::race,
        ),
        new("Unix sockets of the session need no rule", unix),
        new(
            "TCP listeners of the session on the loopback need no rule",
            listeners::listeners,
        ),
        new(
            "Python's manager and forkserver work, and a pipe of Node.js",
            listeners::programs,
        ),
    ]
}

/// What every program here begins with. `t` prints what came of an act.
const HEAD: &str = r#"
import errno, os, socket, struct, sys, threading, time
from socket import *
def t(name, act):
    try:
        act()
        print(name, 'ok', flush=True)
    except OSError as error:
        print(name, errno.errorcode.get(error.errno, error.errno), flush=True)
v4, v6 = (lambda kind=SOCK_DGRAM: socket(AF_INET, kind)), (lambda kind=SOCK_DGRAM: socket(AF_INET6, kind))
"#;

const GRANT: &str = r#"version = 1
name = "sockets"
include = ["base"]
[[file]]
allow = ["read", "write", "create", "delete", "list", "exec", "connect"]
path = ["/w/**"]
[[file]]
allow = ["read", "write", "create", "delete", "list", "attr"]
path = ["/dev/shm/**", "/run/own/**"]
[process]
jit = true
[[net]]
id = "some"
allow = ["connect"]
to = ["127.0.0.1:7001/udp", "[::1]:7002/tcp", "127.0.0.1:7003/tcp", "127.0.0.1:7005-7006",
      "127.0.0.1:7010/udp", "[::1]:7010/udp"]
"#;

fn launch() -> Check<Launch> {
    let world = World::make(Place::Plain)?;
    process::shell("mkdir -p /run/own /dev/shm; chmod 1777 /run/own")?;
    world.launch("sockets", GRANT)
}

/// Runs a program in a session and says what each act came to, one in a line.
fn confined(program: &str) -> Check<String> {
    let ended = launch()?.run(&["python3", "-c", &format!("{HEAD}{program}")])?;
    ensure(ended.code == 0, || {
        format!("the program ended with {}: {}", ended.code, ended.tail())
    })?;
    Ok(ended.stdout)
}

fn unconfined(program: &str) -> Check<String> {
    let ended = process::must(&["python3", "-c", &format!("{HEAD}{program}")])?;
    Ok(ended.stdout)
}

/// Each act came to what stands after its name.
fn expect(said: &str, expected: &str) -> Check {
    let lines = |text: &str| {
        text.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let (said, expected) = (lines(said), lines(expected));
    for pair in expected.chunks(2) {
        let found = said.chunks(2).find(|found| found.first() == pair.first());
        ensure(found == Some(pair), || {
            format!("expected {}, saw {found:?} in {said:?}", pair.join(" "))
        })?;
    }
    ensure(said.len() == expected.len(), || {
        format!("expected {expected:?}, saw {said:?}")
    })
}

/// Somebody outside whose listeners answer by their names.
fn outside(program: &str) -> Check<Background> {
    let mut command = Command::new("python3");
    command
        .args(["-c", &format!("{HEAD}{program}")])
        .stdout(Stdio::null());
    Background::start(&mut command)
}

fn has_event(right: &str, text: &str) -> Check {
    eventually(&format!("{text} is an event"), 10, || {
        let seen = events::query(&["--right", right]).unwrap_or_default();
        seen.iter().any(|event| event.names(text))
    })
}

const OPTIONS: &str = r#"
lo = struct.pack('i', if_nametoindex('lo'))
group = bytes([239, 1, 2, 3]) + bytes([127, 0, 0, 1])
group6 = inet_pton(AF_INET6, 'ff02::4711') + lo
source6 = struct.pack('I4xH2xI16s104xH2xI16s104x', if_nametoindex('lo'), 10, 0, inet_pton(AF_INET6, 'ff15::1'), 10, 0, inet_pton(AF_INET6, '2001::1'))
route = struct.pack('BBBBBBH', 0, 4, 4, 1, 1, 0, 0) + inet_pton(AF_INET6, '::1') * 2
one = struct.pack('i', 1)
peer = v6(); peer.connect(('::ffff:127.0.0.1', 7001))
refused = [
    ('IP_OPTIONS', v4(), 0, 4, bytes([131, 7, 4, 127, 0, 0, 1, 0])),
    ('IP_FREEBIND', v4(), 0, 15, one), ('IP_TRANSPARENT', v4(), 0, 19, one),
    ('IP_UNICAST_IF', v4(), 0, 50, one), ('IP_MULTICAST_IF', v4(), 0, 32, group),
    ('IP_ADD_MEMBERSHIP', v4(), 0, 35, group), ('MCAST_JOIN_SOURCE_GROUP', v6(), 41, 46, source6),
    ('SO_BINDTODEVICE', v4(), 1, 25, b'lo'), ('SO_BINDTOIFINDEX', v4(), 1, 62, lo),
    ('SO_MARK', v4(), 1, 36, one), ('SO_ATTACH_FILTER', v4(), 1, 26, bytes(16)),
    ('IPV6_RTHDR', v6(), 41, 57, route), ('IPV6_ADDRFORM', peer, 41, 1, struct.pack('i', 2)),
    ('IPV6_FREEBIND', v6(), 41, 78, one), ('IPV6_TRANSPARENT', v6(), 41, 75, one),
    ('IP_FREEBIND-on-6', v6(), 0, 15, one), ('IPV6_JOIN_GROUP', v6(), 41, 20, group6),
    ('IPV6_PKTINFO', v6(), 41, 50, inet_pton(AF_INET6, '::1') + lo),
    ('IPV6_DSTOPTS', v6(), 41, 59, bytes(8)), ('IPV6_2292PKTOPTIONS', v6(), 41, 6, b''),
    ('IPV6_UNICAST_IF', v6(), 41, 76, one), ('TCP_ULP', v4(SOCK_STREAM), 6, 31, b'tls'),
    ('TCP_REPAIR', v4(SOCK_STREAM), 6, 19, one), ('UDP_ENCAP', v4(), 17, 100, struct.pack('i', 2)),
    ('level-of-nothing', v4(), 200, 1, one), ('number-beyond', v4(), 1, 1000, one)]
for name, s, level, option, value in refused:
    t(name, lambda: s.setsockopt(level, option, value))
"#;

/// What ordinary programs set: curl, Node.js, Go, Java, nginx, PostgreSQL.
const ORDINARY: &str = r#"
ordinary = [(v4, 1, 2), (v4, 1, 6), (v4, 1, 7), (v4, 1, 8), (v4, 1, 9), (v4, 1, 15), (v4, 0, 8), (v4, 0, 10), (v4, 0, 11), (v4, 0, 13), (v4, 0, 24), (v4, 0, 33), (v6, 41, 25), (v6, 41, 26), (v6, 41, 49), (v6, 41, 66), (v6, 41, 67), (v4, 17, 104)]
for make, level, option in ordinary:
    make().setsockopt(level, option, 1)
for option, value in [(1, 1), (3, 1), (4, 60), (5, 10), (6, 3), (9, 1), (12, 1), (18, 1000), (23, 5), (25, 16384), (30, 1)]:
    v6(SOCK_STREAM).setsockopt(6, option, value)
v4(SOCK_STREAM).setsockopt(1, 13, struct.pack('ii', 1, 0))
v4().setsockopt(1, 20, struct.pack('ll', 1, 0))
v4(SOCK_STREAM).setsockopt(6, 13, b'cubic')
socket(AF_NETLINK, SOCK_RAW).setsockopt(270, 11, 1)
socket(AF_UNIX).setsockopt(1, 16, 1)
print('ordinary', 'ok')
"#;

fn options(_: &mut Context) -> Check {
    let before = memberships()?;
    let said = confined(&format!("{OPTIONS}{ORDINARY}time.sleep(0)"))?;
    let (mut refused, mut others) = (0, Vec::new());
    for line in said.lines() {
        match line.split_once(' ') {
            Some((_, "EACCES")) => refused += 1,
            _ => others.push(line),
        }
    }
    ensure(refused == 26 && others == ["ordinary ok"], || {
        format!("expected 26 refusals and the ordinary options, saw {said}")
    })?;
    ensure(memberships()? == before, || {
        "the session joined a group".into()
    })?;
    for name in [
        "IPV6_ADDRFORM",
        "MCAST_JOIN_SOURCE_GROUP",
        "SO_BINDTODEVICE",
        "IPV6_RTHDR",
    ] {
        has_event("net.option", name)?;
    }
    // The same in no session; not every kernel has each of them, and some need others first.
    let free = unconfined(&format!("{OPTIONS}{ORDINARY}"))?;
    for name in [
        "IP_OPTIONS",
        "IP_FREEBIND",
        "IP_ADD_MEMBERSHIP",
        "MCAST_JOIN_SOURCE_GROUP",
        "SO_BINDTODEVICE",
        "IPV6_ADDRFORM",
        "IPV6_FREEBIND",
        "IPV6_JOIN_GROUP",
        "ordinary",
    ] {
        ensure(free.contains(&format!("{name} ok")), || {
            format!("expected {name} to be done unconfined, saw {free}")
        })?;
    }
    Ok(())
}

/// The groups that the host's interfaces are in.
fn memberships() -> Check<String> {
    let ended = process::shell("cat /proc/net/igmp /proc/net/igmp6 | awk '{print $1, $2, $3}'")?;
    Ok(ended.stdout)
}

const MESSAGES: &str = r#"
lo = struct.pack('i', if_nametoindex('lo'))
to, to6 = ('127.0.0.1', 7001), ('::1', 7010)
route = bytes([131, 7, 4, 127, 0, 0, 9, 0])
rthdr = struct.pack('BBBBI16s', 0, 2, 2, 1, 0, inet_pton(AF_INET6, '::1'))
def send(s, level, kind, data, to):
    s.sendmsg([b'x'], [(level, kind, data)], 0, to)
def connected():
    s = v4(); s.connect(to); s.sendmsg([b'x'], [(0, 7, route)])
t('route', lambda: send(v4(), 0, 7, route, to))
t('route-connected', connected)
t('route-behind', lambda: v4().sendmsg([b'x'], [(0, 1, struct.pack('i', 4)), (0, 7, route)], 0, to))
t('header', lambda: send(v6(), 41, 57, rthdr, to6))
t('interface', lambda: send(v4(), 0, 8, lo + bytes(8), to))
t('interface6', lambda: send(v6(), 41, 50, bytes(16) + lo, to6))
t('mark', lambda: send(v4(), 1, 36, struct.pack('I', 1), to))
t('many', lambda: v4().sendmsg([b'x'], [(0, 1, struct.pack('i', 4))] * 40, 0, to))
# By sendmmsg: the kernel asks nobody about a second message to the same address.
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def batch(s, control, name, count=2):
    part = ctypes.create_string_buffer(b'x')
    iov = ctypes.create_string_buffer(struct.pack('QQ', ctypes.addressof(part), 1))
    where = ctypes.create_string_buffer(struct.pack('!HH4s8x', 0x200, 7001, inet_aton('127.0.0.1')))
    told = ctypes.create_string_buffer(struct.pack('Qii', 16 + len(control), 0, 7) + control)
    message = lambda with_control: struct.pack('QI4xQQQQi4xI4x', ctypes.addressof(where) if name else 0, 16 if name else 0,
        ctypes.addressof(iov), 1, ctypes.addressof(told) if with_control else 0, 24 if with_control else 0, 0, 0)
    all = ctypes.create_string_buffer(message(False) + message(bool(control)))
    if libc.sendmmsg(s.fileno(), all, count, 0) != count:
        raise OSError(ctypes.get_errno() or errno.EACCES, '')
t('batch-route', lambda: batch(v4(), route, True))
def joined(control):
    s = v4(); s.connect(to); batch(s, control, False)
t('batch-connected-route', lambda: joined(route))
"#;

const HARMLESS: &str = r#"
t('tos', lambda: send(v4(), 0, 1, struct.pack('i', 4), to))
t('source', lambda: send(v4(), 0, 8, bytes(4) + inet_aton('127.0.0.1') + bytes(4), to))
t('source6', lambda: send(v6(), 41, 50, inet_pton(AF_INET6, '::1') + bytes(4), to6))
t('class', lambda: send(v6(), 41, 67, struct.pack('i', 4), to6))
t('batch-connected', lambda: joined(b''))
t('batch-of-one', lambda: batch(v4(), b'', True, 1))
def passed():
    a, b = socketpair()
    send_fds(a, [b'x'], [0])
    assert len(recv_fds(b, 1, 1)[1]) == 1
t('descriptor', passed)
"#;

fn messages(_: &mut Context) -> Check {
    let _services = services()?;
    let said = confined(&format!("{MESSAGES}{HARMLESS}"))?;
    expect(
        &said,
        "route EACCES route-connected EACCES route-behind EACCES header EACCES interface EACCES
         interface6 EACCES mark EACCES many EACCES batch-route EACCES batch-connected-route EACCES
         tos ok source ok source6 ok class ok batch-connected ok batch-of-one ok descriptor ok",
    )?;
    has_event("net.option", "IP_RETOPTS")?;
    has_event("net.option", "IPV6_RTHDR")?;
    has_event("net.option", "sendmmsg")?;
    let free = unconfined(&format!("{MESSAGES}{HARMLESS}"))?;
    for name in [
        "route",
        "interface",
        "interface6",
        "mark",
        "batch-route",
        "batch-connected-route",
    ] {
        ensure(free.contains(&format!("{name} ok")), || {
            format!("expected {name} to be done unconfined, saw {free}")
        })?;
    }
    Ok(())
}

/// Listeners at 127.0.0.1, ::1 and 10.9.8.7 of every port that is asked for below.
const SERVICES: &str = r#"
kept = []
for address in ['127.0.0.1', '10.9.8.7', '::1']:
    for port in range(7001, 7011):
        for kind in [SOCK_STREAM, SOCK_DGRAM]:
            s = socket(AF_INET6 if ':' in address else AF_INET, kind)
            s.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
            s.bind((address, port))
            if kind == SOCK_STREAM: s.listen(50)
            kept.append(s)
open('/w/services', 'w').close()
time.sleep(1000)
"#;

fn services() -> Check<Background> {
    process::shell("mkdir -p /w; rm -f /w/services")?;
    let services = outside(SERVICES)?;
    eventually("the services listen", 20, || {
        std::fs::metadata("/w/services").is_ok()
    })?;
    Ok(services)
}

fn unix(_: &mut Context) -> Check {
    process::shell("mkdir -p /run/own; rm -f /run/own/*")?;
    let _others = outside(
        r#"
kept = []
for kind, name in [(SOCK_STREAM, '/run/own/theirs'), (SOCK_DGRAM, '/run/own/theirs-too'), (SOCK_STREAM, '\0theirs')]:
    s = socket(AF_UNIX, kind); s.bind(name); kept.append(s)
    if kind == SOCK_STREAM: s.listen()
open('/run/own/ready', 'w').close()
time.sleep(1000)
"#,
    )?;
    eventually("others listen", 20, || {
        std::fs::metadata("/run/own/ready").is_ok()
    })?;
    let program = r#"
kept = []
def bound(kind, name):
    s = socket(AF_UNIX, kind); s.bind(name); kept.append(s)
    if kind != SOCK_DGRAM: s.listen()
def reach(kind, name):
    s = socket(AF_UNIX, kind)
    if kind == SOCK_DGRAM: s.sendto(b'x', name)
    else: s.connect(name)
for word, kind, name in [('path', SOCK_STREAM, '/run/own/mine'), ('datagram', SOCK_DGRAM, '/run/own/mine-too'),
        ('packets', SOCK_SEQPACKET, '/run/own/mine-packets'), ('abstract', SOCK_STREAM, '\0mine-N'), ('abstract-datagram', SOCK_DGRAM, '\0mine-too-N')]:
    name = name.replace('N', str(os.getpid()))
    bound(kind, name)
    t(word, lambda: reach(kind, name))
os.rename('/run/own/mine', '/run/own/renamed')
t('renamed', lambda: reach(SOCK_STREAM, '/run/own/renamed'))
if os.fork() == 0:
    t('child', lambda: reach(SOCK_STREAM, '/run/own/renamed'))
    os._exit(0)
os.wait()
t('theirs', lambda: reach(SOCK_STREAM, '/run/own/theirs'))
t('theirs-datagram', lambda: reach(SOCK_DGRAM, '/run/own/theirs-too'))
t('theirs-abstract', lambda: reach(SOCK_STREAM, '\0theirs'))
"#;
    let said = confined(&format!("{program}time.sleep(0)"))?;
    expect(
        &said,
        "path ok datagram ok packets ok abstract ok abstract-datagram ok renamed ok child ok
         theirs EACCES theirs-datagram EACCES theirs-abstract EACCES",
    )?;
    process::shell("rm -f /run/own/mine* /run/own/renamed")?;
    // Another session's is not the session's own, and one that was handed in stays whose it is.
    let mut first = launch()?.command(&[
        "python3",
        "-c",
        &format!(
            "{HEAD}s = socket(AF_UNIX); s.bind('/run/own/first'); s.listen(); time.sleep(1000)"
        ),
    ]);
    let _first = Background::start(first.stdout(Stdio::null()))?;
    eventually("another session listens", 20, || {
        std::fs::metadata("/run/own/first").is_ok()
    })?;
    let said = confined(
        "def reach(name): socket(AF_UNIX).connect(name)
t('first', lambda: reach('/run/own/first'))
t('again', lambda: reach('/run/own/first'))",
    )?;
    expect(&said, "first EACCES again EACCES")?;
    has_event("file.connect", "/run/own/first")?;
    // A socket that somebody outside bound and handed in is theirs, however often it is bound again.
    let _giver = outside(
        "given = socket(AF_UNIX); given.bind('/run/own/given'); given.listen()
door = socket(AF_UNIX); door.bind('/w/door'); door.listen()
while True: send_fds(door.accept()[0], [b'x'], [given.fileno()])",
    )?;
    eventually("the giver listens", 20, || {
        std::fs::metadata("/w/door").is_ok()
    })?;
    let said = confined(
        "door = socket(AF_UNIX); door.connect('/w/door')
given = socket(fileno=recv_fds(door, 1, 1)[1][0])
try: given.bind('/run/own/elsewhere')
except OSError: pass
given.listen()
t('given', lambda: socket(AF_UNIX).connect('/run/own/given'))",
    )?;
    process::shell("rm -f /w/door")?;
    expect(&said, "given EACCES")
}
