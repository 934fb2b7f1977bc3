//! Addresses that say nothing: a socket's own decides.

use super::{confined, expect, has_event, services, unconfined};
use crate::{
    harness::{Check, ensure},
    scenarios::Context,
};

const UNSPECIFIED: &str = r#"
def connect(to, bound=None, kind=SOCK_STREAM):
    s = socket(AF_INET6 if ':' in to[0] else AF_INET, kind)
    if bound: s.bind((bound, 0))
    s.connect(to)
def send(to, bound=None):
    s = socket(AF_INET6 if ':' in to[0] else AF_INET, SOCK_DGRAM)
    if bound: s.bind((bound, 0))
    s.sendto(b'x', to)
"#;

pub(super) fn unspecified(_: &mut Context) -> Check {
    let _services = services()?;
    let said = confined(&format!(
        "{UNSPECIFIED}{}",
        r#"
t('tcp', lambda: connect(('0.0.0.0', 7003)))
t('tcp-mapped', lambda: connect(('::ffff:0.0.0.0', 7003)))
t('tcp6', lambda: connect(('::', 7002)))
t('tcp-other', lambda: connect(('0.0.0.0', 7002)))
t('tcp6-other', lambda: connect(('::', 7003)))
t('bound', lambda: connect(('0.0.0.0', 7003), '10.9.8.7'))
t('bound-mapped', lambda: connect(('::ffff:0.0.0.0', 7003), '::ffff:10.9.8.7'))
t('bound-loopback', lambda: connect(('0.0.0.0', 7003), '127.0.0.1'))
t('bound6-mapped', lambda: connect(('::', 7002), '::ffff:127.0.0.1'))
t('bound6-mapped-granted', lambda: connect(('::', 7003), '::ffff:127.0.0.1'))
t('udp', lambda: send(('0.0.0.0', 7001)))
t('udp-connect', lambda: connect(('0.0.0.0', 7001), None, SOCK_DGRAM))
t('udp-bound', lambda: send(('0.0.0.0', 7001), '10.9.8.7'))
t('udp-bound-loopback', lambda: send(('0.0.0.0', 7001), '127.0.0.1'))
t('udp6', lambda: send(('::', 7010)))
t('udp6-other', lambda: send(('::', 7001)))
def later():
    s = v4(SOCK_STREAM)
    try: s.sendto(b'x', MSG_FASTOPEN, ('0.0.0.0', 7003))
    except OSError: pass
    s = v4(); s.sendto(b'x', ('0.0.0.0', 7001)); s.bind(('10.9.8.7', 0))
t('bind-afterwards', later)
def source():
    v4().sendmsg([b'x'], [(0, 8, bytes(4) + inet_aton('10.9.8.7') + bytes(4))], 0, ('0.0.0.0', 7001))
t('udp-source', source)
def moved():
    s = v4(); s.connect(('127.0.0.1', 7001)); s.sendto(b'x', ('0.0.0.0', 7001))
t('udp-connected', moved)
# Only 24 bytes of an IPv6 address: no scope.
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def short(port, length):
    where = struct.pack('=H', 10) + struct.pack('!HI', port, 0) + inet_pton(AF_INET6, '::1') + bytes(4)
    s = v6(SOCK_STREAM)
    if libc.connect(s.fileno(), where, length) < 0: raise OSError(ctypes.get_errno(), '')
for length in [24, 25, 27, 28]:
    t(f'short-{length}', lambda: short(7003, length))
t('short-granted', lambda: short(7002, 24))
# Each port of a range, and the second of two ranges at one address.
t('range-first', lambda: connect(('127.0.0.1', 7005)))
t('range-last', lambda: connect(('127.0.0.1', 7006)))
t('range-before', lambda: connect(('127.0.0.1', 7004)))
t('range-behind', lambda: connect(('127.0.0.1', 7007)))
"#
    ))?;
    expect(
        &said,
        "tcp ok tcp-mapped ok tcp6 ok tcp-other EACCES tcp6-other EACCES bound EACCES
         bound-mapped EACCES bound-loopback ok bound6-mapped EACCES bound6-mapped-granted ok
         udp ok udp-connect ok udp-bound EACCES udp-bound-loopback ok udp6 ok udp6-other EACCES
         bind-afterwards EACCES udp-source EACCES udp-connected EACCES
         short-24 EACCES short-25 EACCES short-27 EACCES short-28 EACCES short-granted ok
         range-first ok range-last ok range-before EACCES range-behind EACCES",
    )?;
    has_event("net.connect", "10.9.8.7:7003/tcp")?;
    let free = unconfined(&format!(
        "{UNSPECIFIED}t('bound', lambda: connect(('0.0.0.0', 7004), '10.9.8.7'))\n\
         t('bound6', lambda: connect(('::', 7004), '::ffff:127.0.0.1'))"
    ))?;
    expect(&free, "bound ok bound6 ok")
}

const RACE: &str = r#"
granted, other = ('::ffff:127.0.0.1', 7001), struct.pack('=H', 0) + struct.pack('!H4s8x', 7009, inet_aton('127.0.0.1'))
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
current, sent = [None], [0]
def toss():
    while current is not None and current[0] != 'end':
        s = current[0]
        if s is not None and libc.sendto(s, b'RACE', 4, 64, other, 16) > 0: sent[0] += 1
thread = threading.Thread(target=toss); thread.start()
until = time.time() + float(SECONDS)
formed = 0
while time.time() < until:
    s = v6(); s.connect(granted); current[0] = s.fileno()
    try: s.setsockopt(41, 1, struct.pack('i', 2)); formed += 1
    except OSError: pass
    current[0] = None; time.sleep(0); s.close()
current[0] = 'end'; thread.join()
print('formed', 'yes' if formed else 'no')
print('sent', 'yes' if sent[0] else 'no')
"#;

pub(super) fn race(_: &mut Context) -> Check {
    let listener = std::net::UdpSocket::bind(("127.0.0.1", 7009)).map_err(|e| e.to_string())?;
    listener.set_nonblocking(true).map_err(|e| e.to_string())?;
    let said = confined(&RACE.replace("SECONDS", "3"))?;
    expect(&said, "formed no sent no")?;
    let mut bytes = [0; 16];
    ensure(listener.recv(&mut bytes).is_err(), || {
        "a datagram came to a port that is not granted".into()
    })?;
    let free = unconfined(&RACE.replace("SECONDS", "1"))?;
    ensure(free.contains("formed yes"), || {
        format!("expected the option to work unconfined, saw {free}")
    })
}
