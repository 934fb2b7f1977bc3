//! The terminal that a session is started on.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use super::{Host, session};
use crate::{
    harness::{
        Check, Doing, ensure,
        process::{self, Background},
    },
    scenarios::{Context, lifecycle::tag_words},
};

/// Has a terminal as its input, which is its controlling one only if it is told so. Waits for a line from
/// its tester, then does what programs do with their terminal.
const STARTED: &str = "import os, pty, sys, termios, threading
controlling = sys.argv[1] == 'controlling'
master, slave = pty.openpty()
pid = os.fork()
if pid == 0:
    os.close(master)
    os.setsid()
    if controlling:
        os.close(os.open(os.ttyname(slave), os.O_RDWR))
    print(os.getpid(), flush=True)
    sys.stdin.readline()
    failed = 0
    for act in (lambda: termios.tcsetattr(slave, termios.TCSANOW, termios.tcgetattr(slave)),
            lambda: os.isatty(slave) or 1 / 0,
            lambda: os.write(slave, b'written'),
            lambda: os.open(os.ttyname(slave), os.O_RDWR | os.O_NOCTTY),
            lambda: os.open('/proc/self/fd/%d' % slave, os.O_RDWR | os.O_NOCTTY),
            lambda: os.chmod(os.ttyname(slave), 0o622),
            lambda: controlling and os.open('/dev/tty', os.O_RDWR),
            lambda: controlling and os.tcsetpgrp(slave, os.getpgrp())):
        failed <<= 1
        try:
            act()
        except (OSError, ZeroDivisionError, termios.error) as error:
            print(error, file=sys.stderr)
            failed |= 1
    print('failed', failed, flush=True)
    try:
        os.open(sys.argv[2], os.O_RDWR | os.O_NOCTTY)
        print('others', 0, flush=True)
    except OSError as error:
        print('others', error.errno, flush=True)
    os._exit(0)
os.wait()
";

pub(super) fn started_on(_: &mut Context) -> Check {
    let (_world, launch) = session()?;
    let host = Host::start("started")?;
    for kind in ["controlling", "plain"] {
        let mut command = Command::new("python3");
        command
            .args(["-c", STARTED, kind, &host.name])
            .stdout(Stdio::piped());
        let mut process = Background::start(&mut command)?;
        let output = process.child.stdout.take().ok_or("no output")?;
        let mut output = BufReader::new(output);
        let mut line = || -> Check<String> {
            let mut line = String::new();
            output.read_line(&mut line).doing("read")?;
            Ok(line.trim().into())
        };
        let pid = line()?;
        let cgroup = format!("/sys/fs/cgroup/scenario-terminal-{kind}");
        fs::create_dir_all(&cgroup).doing("make a cgroup")?;
        fs::write(format!("{cgroup}/cgroup.procs"), &pid).doing("move the process")?;
        process::must(&tag_words(&launch, &cgroup))?;
        process.tell("go")?;
        let (own, others) = (line()?, line()?);
        ensure(own == "failed 0" && others == "others 13", || {
            format!("with a {kind} terminal: {own}, {others}")
        })?;
    }
    Ok(())
}

/// Plays a user at a terminal: starts `bailiff run` (`argv[1..]` up to the command), types, and looks.
const USER: &str = r#"import fcntl, os, pty, re, select, signal, struct, sys, termios, time
run = sys.argv[1:]
def size(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))
class User:
    def __init__(self, words):
        self.said = b''
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            size(0, 33, 91)
            os.execvp(words[0], words)
        self.before = termios.tcgetattr(self.master)
    def look(self, wanted, seconds=20):
        until = time.time() + seconds
        while not re.search(wanted, self.said):
            left = until - time.time()
            if left < 0 or not select.select([self.master], [], [], left)[0]:
                sys.exit(f'line {sys._getframe(1).f_lineno}: waited in vain for {wanted} in {self.said[-500:]}')
            try:
                part = os.read(self.master, 65536)
            except OSError:
                part = b''
            if not part:
                sys.exit(f'it ended without {wanted}: {self.said[-500:]}')
            self.said += part
        found = re.search(wanted, self.said)
        self.said = self.said[found.end():]
        return found
    def type(self, keys):
        os.write(self.master, keys)
    def end(self):
        rest = self.said
        while True:
            try:
                part = os.read(self.master, 65536)
            except OSError:
                break
            if not part:
                break
            rest += part
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return code, rest
    def modes(self):
        return termios.tcgetattr(self.master)
def start(*words):
    return User(run + ['--', *words])
def same(what, seen, wanted):
    if seen != wanted:
        sys.exit(f'{what}: expected {wanted}, saw {seen}')

user = start('bash', '-c', 'tty; stty size; echo end; read line; echo "line $line"; exit 3')
user.look(rb'/dev/pts/\d+\r\n33 91\r\nend')
same('echo of the raw terminal', user.modes()[3] & (termios.ECHO | termios.ICANON | termios.ISIG), 0)
user.type(b'typed\r')
user.look(rb'line typed')
same('exit code', user.end()[0], 3)

# The user's own terminal is nobody's but theirs.
user = User(['bash', '--norc', '-c', 'echo at $(tty); exec "$@" $(tty)', 'x', *run, '--', 'bash', '-c',
    'tty; echo INJECTED >$0; cat <$0; echo end'])
outer, inner = user.look(rb'at (/dev/pts/\d+)\r\n(/dev/pts/\d+)').groups()
same('a terminal of its own', outer != inner, True)
code, rest = user.end()
same('both refused', rest.count(b'Permission denied'), 2)
same('nothing written', b'INJECTED\r' in rest, False)

user = start('bash', '-c', 'trap "stty size; exit 4" WINCH; echo ready; while :; do sleep 0.05; done')
user.look(rb'ready')
size(user.master, 40, 100)
user.look(rb'40 100')
same('exit code after the new size', user.end()[0], 4)

user = start('bash', '-c', 'trap "echo interrupted; exit 7" INT; echo ready; while :; do sleep 0.05; done')
user.look(rb'ready')
user.type(b'\x03')
user.look(rb'interrupted')
same('exit code after Ctrl-C', user.end()[0], 7)

user = start('cat')
user.type(b'one line\r')
user.look(rb'one line\r\none line')
user.type(b'\x04')
same('exit code after Ctrl-D', user.end()[0], 0)

user = start('seq', '1', '100000')
code, rest = user.end()
lines = rest.split(b'\r\n')
same('a lot of output', [code, len(lines), lines[0], lines[-2]], [0, 100001, b'1', b'100000'])

# What it leaves behind and is never silent holds nobody up.
leavings = os.environ['LEAVINGS']
for says in ('while :; do echo x; sleep 0.02; done', 'yes'):
    user = start('bash', '-c', f'(trap "" HUP INT TERM; echo $BASHPID >$0; {says}) & sleep 0.5; echo la""st; exit 5', leavings)
    ended = user.end()
    same('exit code with a background process', [ended[0], b'last' in ended[1]], [5, True])
    same('modes after it', user.modes()[3] & (termios.ECHO | termios.ICANON) != 0, True)
    try:
        os.kill(int(open(leavings).read()), signal.SIGKILL)
    except ProcessLookupError:
        pass  # It could not write any more.

# Job control, by the user's shell.
user = User(['bash', '--norc', '--noediting', '-i'])
user.type(b'PS1=; ' + ' '.join(run).encode() + b' -- bash -c "echo rea""dy; sleep 1000; echo not-yet"\r')
user.look(rb'ready\r\n')
user.type(b'\x1a')
user.look(rb'Stopped')
same('modes while it is stopped', user.modes()[3] & (termios.ECHO | termios.ICANON | termios.ISIG) != 0, True)
user.type(b'echo sh""ell\r')
user.look(rb'\nshell|shell\r\n')
user.type(b'fg\r')
time.sleep(1)
user.type(b'\x03')
time.sleep(0.5)
user.type(b'echo co""de $?\r')
user.look(rb'code 130')
user.type(b'exit\r')
user.end()

# Job control, by a shell in the session.
user = start('bash', '--norc', '--noediting', '-i')
user.type(b'PS1=; echo rea""dy\r')
same('job control', b'no job control' in user.look(rb'(?s)(.*)ready\r\n')[1], False)
# (`sh` would start it by vfork, and wait for a child that is stopped.)
user.type(b'cat\r')
user.type(b'lin\r')
user.look(rb'lin\r\nlin\r\n')
user.type(b'\x1a')
user.look(rb'Stopped')
user.type(b'fg\r')
user.look(rb'fg\r\n')
time.sleep(1)
user.type(b'\x03')
time.sleep(0.5)
user.type(b'echo co""de $?\r')
user.look(rb'code 130')
user.type(b'exit\r')
same('exit code of the shell', user.end()[0], 0)

# The command is killed; then `bailiff run` itself is.
user = start('bash', '-c', 'echo pid $$; sleep 1000')
pid = int(user.look(rb'pid (\d+)')[1])
os.kill(pid, signal.SIGKILL)
same('exit code of a killed command', user.end()[0], 137)
user = start('bash', '-c', 'trap "" HUP; echo pid $$; sleep 1000')
pid = int(user.look(rb'pid (\d+)')[1])
same('raw meanwhile', user.modes()[3] & termios.ICANON, 0)
keep = os.open(os.ptsname(user.master), os.O_RDWR | os.O_NOCTTY)
os.kill(user.pid, signal.SIGKILL)
os.waitpid(user.pid, 0)
until = time.time() + 40
while user.modes() != user.before and time.time() < until:
    time.sleep(0.05)
same('modes after bailiff run was killed', user.modes() == user.before, True)
os.kill(pid, signal.SIGKILL)

# In and out of pipes nothing is between.
user = User(['bash', '--norc', '-c', 'echo piped | "$@"', 'x', *run, '--', 'bash', '-c', 'cat; test -t 1 && test ! -t 0 && echo end'])
user.look(rb'piped\r\nend')
same('exit code behind a pipe', user.end()[0], 0)
user = User(run + ['--no-pty', '--', 'bash', '-c', 'tty; stty size; stty -echo; stty echo'])
name = user.look(rb'(/dev/pts/\d+)\r\n33 91')[1].decode()
same('the terminal itself', [name, user.end()[0]], [name, 0])
print('all done')
"#;

pub(super) fn run_on_terminal(_: &mut Context) -> Check {
    let (world, launch) = session()?;
    let mut words = vec!["python3".to_owned(), "-c".into(), USER.into()];
    let run = launch.words::<&str>(&[]);
    words.extend(run.into_iter().filter(|word| word != "--"));
    let ended = process::run_with(&words, &mut |command| {
        command.env("LEAVINGS", format!("{}/leavings", world.workspace));
    })?;
    ensure(
        ended.code == 0 && ended.stdout.ends_with("all done\n"),
        || ended.tail(),
    )
}
