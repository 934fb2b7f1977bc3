//! Signals that the kernel sends for input, past every hook on signals.

use super::{Context, Single};
use crate::harness::{
    Check, ensure,
    matrix::fixture_grant,
    process,
    world::{Place, World},
};

pub(crate) fn scenarios() -> Vec<Single> {
    vec![
        Single::new(
            "terminals",
            "input at a terminal kills nobody who is in front of it",
            in_front,
        )
        .once(),
    ]
}

/// A user's terminal: `sleep` is in front, `bailiff run` (`argv[1..]`) behind, on the terminal itself.
/// Then somebody types. Says how each act went, and what became of `sleep`.
const USER: &str = r#"import os, pty, signal, subprocess, sys, time
TRY = '''import fcntl, os, struct, sys, termios, time
def flags(fd): fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)
def own():
    read, write = os.pipe()
    fcntl.fcntl(read, fcntl.F_SETOWN, os.getpid())
    flags(read)
def keys():
    modes = termios.tcgetattr(0)
    modes[6][termios.VINTR] = b'x'
    termios.tcsetattr(0, termios.TCSANOW, modes)
acts = {'signal': lambda: fcntl.fcntl(0, 10, 9), 'flags': lambda: flags(0),
    'ioctl': lambda: fcntl.ioctl(0, 0x5452, struct.pack('i', 1)), 'own': own,
    'size': lambda: fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 11, 22, 0, 0)),
    'hold': lambda: fcntl.ioctl(0, termios.TCXONC, 1), 'flush': lambda: termios.tcflush(0, termios.TCIFLUSH),
    'only': lambda: fcntl.ioctl(0, termios.TIOCEXCL), 'keys': keys, 'look': lambda: termios.tcgetattr(0)}
for name, act in acts.items():
    try:
        act()
        print(name, 0)
    except (OSError, termios.error) as error:
        print(name, error.args[0])
sys.stdout.flush()
os.close(1)
time.sleep(3)
'''
told, tell = os.pipe()
pid, master = pty.fork()
if pid == 0:
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    group = lambda: os.setpgid(0, 0)
    victim = subprocess.Popen(['sleep', '1000'], preexec_fn=group)
    os.tcsetpgrp(0, victim.pid)
    run = subprocess.Popen(sys.argv[1:] + ['--no-pty', '--', 'python3', '-c', TRY],
        stdout=subprocess.PIPE, preexec_fn=group)
    os.write(tell, run.stdout.read() + b'type')
    time.sleep(2)
    os.write(tell, f'victim {victim.poll()}\nend'.encode())
    victim.kill()
    run.wait()
    os._exit(0)
said = b''
while not said.endswith(b'end'):
    said += os.read(told, 4096)
    if said.endswith(b'type'):
        said = said[:-4]
        os.write(master, b'x\n')
os.waitpid(pid, 0)
print(said[:-3].decode(), end='')
"#;

fn in_front(_: &mut Context) -> Check {
    let world = World::make(Place::Plain)?;
    let any = |key: &str| {
        let own = format!("{key} = \"session\"");
        fixture_grant().replace(&own, &format!("{key} = \"any\""))
    };
    let signals = |errno: i32| format!("signal {errno}\nflags {errno}\nioctl {errno}\nown 0\n");
    let modes = |errno: i32| {
        let acts = ["size", "hold", "flush", "only", "keys"];
        acts.map(|act| format!("{act} {errno}\n")).concat() + "look 0\n"
    };
    for (grant, expected) in [
        (fixture_grant(), signals(1) + &modes(1) + "victim None\n"),
        // It can fail: with the right it kills.
        (any("signal"), signals(0) + &modes(1) + "victim -9\n"),
        (any("control"), signals(1) + &modes(0) + "victim -2\n"),
    ] {
        let launch = world.launch("fixture", &grant)?;
        let mut words = vec!["python3".to_owned(), "-c".into(), USER.into()];
        let run = launch.words::<&str>(&[]);
        words.extend(run.into_iter().filter(|word| word != "--"));
        let ended = process::run(&words)?;
        ensure(ended.code == 0 && ended.stdout == expected, || {
            format!("expected {expected:?}, saw {}", ended.tail())
        })?;
    }
    Ok(())
}
