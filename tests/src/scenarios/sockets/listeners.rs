//! Listeners of a session's own.

use super::{confined, expect, has_event, launch, outside, services};
use crate::{
    harness::{
        Check, ensure,
        process::{self, eventually},
    },
    scenarios::Context,
};

pub(super) fn listeners(_: &mut Context) -> Check {
    let _services = services()?;
    let said = confined(
        r#"
kept = []
def listen(address, port=0, reuse=False, autobind=False):
    s = socket(AF_INET6 if ':' in address else AF_INET, SOCK_STREAM)
    if reuse: s.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1)
    if not autobind: s.bind((address, port))
    s.listen(); kept.append(s)
    return s.getsockname()[1]
def reach(address, port):
    socket(AF_INET6 if ':' in address else AF_INET, SOCK_STREAM).connect((address, port))
ports = [listen('127.0.0.1'), listen('0.0.0.0'), listen('::1'), listen('::'), listen('::ffff:127.0.0.1'), listen('0.0.0.0', autobind=True)]
for word, address, port in [('loopback', '127.0.0.1', ports[0]), ('any', '127.0.0.1', ports[1]), ('any-other', '127.0.0.2', ports[1]),
        ('unspecified', '0.0.0.0', ports[1]), ('loopback6', '::1', ports[2]), ('any6', '::1', ports[3]), ('dual', '127.0.0.1', ports[3]),
        ('mapped', '127.0.0.1', ports[4]), ('to-mapped', '::ffff:127.0.0.1', ports[0]), ('autobind', '127.0.0.1', ports[5])]:
    t(word, lambda: reach(address, port))
if os.fork() == 0:
    t('child', lambda: reach('127.0.0.1', ports[0]))
    os._exit(0)
os.wait()
t('not-loopback', lambda: reach('10.9.8.7', ports[1]))
t('theirs', lambda: reach('127.0.0.1', 7001))
t('theirs6', lambda: reach('::1', 7001))
# At the same port of another address, where theirs is nearer.
reuse = v4(SOCK_STREAM); reuse.bind(('127.0.0.3', 7001)); reuse.listen(); kept.append(reuse)
t('beside', lambda: reach('127.0.0.3', 7001))
t('theirs-beside', lambda: reach('127.0.0.1', 7001))
closed = listen('127.0.0.1'); kept.pop().close()
t('closed', lambda: reach('127.0.0.1', closed))
"#,
    )?;
    expect(
        &said,
        "loopback ok any ok any-other ok unspecified ok loopback6 ok any6 ok dual ok mapped ok
         to-mapped ok autobind ok child ok not-loopback EACCES theirs EACCES theirs6 EACCES
         beside ok theirs-beside EACCES closed EACCES",
    )?;
    has_event("net.connect", "127.0.0.1:7001/tcp")?;
    // A group of SO_REUSEPORT that is shared with somebody outside is not the session's own.
    let _shared = outside(
        "s = v4(SOCK_STREAM); s.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1); s.bind(('127.0.0.1', 7099)); s.listen()
open('/w/shared', 'w').close(); time.sleep(1000)",
    )?;
    eventually("the shared port is listened at", 20, || {
        std::fs::metadata("/w/shared").is_ok()
    })?;
    let said = confined(
        "s = v4(SOCK_STREAM); s.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1); s.bind(('127.0.0.1', 7099)); s.listen()
s.setsockopt(SOL_SOCKET, SO_REUSEPORT, 0)
t('shared', lambda: v4(SOCK_STREAM).connect(('127.0.0.1', 7099)))
a = v4(SOCK_STREAM); a.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1); a.bind(('127.0.0.1', 7098)); a.listen()
b = v4(SOCK_STREAM); b.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1); b.bind(('127.0.0.1', 7098)); b.listen()
t('group', lambda: v4(SOCK_STREAM).connect(('127.0.0.1', 7098)))",
    )?;
    process::shell("rm -f /w/shared /w/services")?;
    expect(&said, "shared EACCES group ok")
}

/// What needs sockets of its own to work at all.
const PROGRAMS: &str = r"
import multiprocessing, os, tempfile
tempfile.tempdir = '/run/own'
def double(n): return 2 * n
if __name__ == '__main__':
    multiprocessing.set_start_method('forkserver')
    with multiprocessing.Manager() as manager:
        d = manager.dict(); d['a'] = 1
        assert d['a'] == 1
    with multiprocessing.Pool(2) as pool:
        assert pool.map(double, [1, 2]) == [2, 4]
    print('python ok')
";

const NODE: &str = "const net = require('net');
const server = net.createServer(c => c.end('x')).listen('/run/own/node.sock', () =>
  net.connect('/run/own/node.sock').on('data', () => { console.log('node ok'); server.close(); }));";

pub(super) fn programs(_: &mut Context) -> Check {
    let launch = launch()?;
    std::fs::write("/w/programs.py", PROGRAMS).map_err(|error| error.to_string())?;
    let ended = launch.run(&["python3", "/w/programs.py"])?;
    ensure(ended.stdout.contains("python ok"), || {
        format!("expected Python's manager to work, saw {}", ended.tail())
    })?;
    if process::run(&["sh", "-c", "command -v node"])?.code != 0 {
        return Ok(());
    }
    let ended = launch.run(&["node", "-e", NODE])?;
    ensure(ended.stdout.contains("node ok"), || {
        format!("expected Node's pipe to work, saw {}", ended.tail())
    })
}
