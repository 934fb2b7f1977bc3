//! What each switch and capability opens when it is granted alone, and what not: every one against
//! everything that another would open.

mod limits;
mod rows;
mod stolen;
mod uncounted;

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    sync::Mutex,
    thread,
};

use super::{Context, Single};
use crate::harness::{
    Check, Doing, ensure,
    process::{self, Background, Ended},
    session::Launch,
};

pub(crate) fn scenarios() -> Vec<Single> {
    vec![
        Single::new(
            "switches",
            "a switch or a capability opens what it says and nothing else",
            alone,
        ),
        Single::new(
            "switches",
            "bpf with every capability reaches nothing of Bailiff",
            stolen::steal,
        ),
        Single::new(
            "switches",
            "bpf takes nothing of the host that no cgroup counts",
            uncounted::hold,
        ),
        Single::new(
            "switches",
            "a limit that kills is a signal to a process outside",
            limits::kill,
        ),
    ]
}

/// Tries everything that some switch or capability opens, each in a child, and says what was done. A call
/// that gets past the check of who asks and fails for what it was given counts as done.
const PROBE: &str = r#"import ctypes, fcntl, mmap, os, resource, socket, struct, sys, time
victim, terminal = int(sys.argv[1]), sys.argv[2]
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments, passed=()):
    arguments = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    value = libc.syscall(ctypes.c_long(number), *arguments)
    if value < 0 and ctypes.get_errno() not in passed:
        raise OSError(ctypes.get_errno(), '')
    return value
def unshare(flag):
    return lambda: call(272, flag)
def clone3():
    arguments = ctypes.create_string_buffer(struct.pack('11Q', 0x20000, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0))
    if call(435, arguments, 88) == 0:
        os._exit(0)
def fsmount():
    fd = call(430, b'tmpfs', 0)
    call(431, fd, 6, None, None, 0)
    call(432, fd, 0, 0)
def mount_setattr():
    call(442, -100, b'/dev/shm', 0, ctypes.create_string_buffer(struct.pack('4Q', 2, 0, 0, 0)), 32)
def bpf(command, *words, passed=()):
    attributes = ctypes.create_string_buffer(struct.pack(f'{len(words)}I', *words), 72)
    return call(321, command, attributes, 72, passed=passed)
def perf(kind, flags, process, processor=-1):
    attributes = struct.pack('IIQQQQQIIQQ', kind, 128, 0, 1, 0, 0, flags, 0, 0, probed, 0)
    return call(298, ctypes.create_string_buffer(attributes, 128), process, processor, -1, 0)
def uprobes():
    return int(open('/sys/bus/event_source/devices/uprobe/type').read())
program = ctypes.create_string_buffer(b'/usr/bin/bailiff')
probed = ctypes.addressof(program)
def other():
    # Whoever it is dies of it.
    return int(sys.argv[3])
def tracer():
    # A program of a tracepoint, which somebody outside has loaded, by its number.
    return bpf(13, int(sys.argv[4]))
def fanotify(where, events):
    fd = call(300, 4 if events & 0xf0000 else 0, 0)
    return call(301, fd, 1 | where, ctypes.c_long(events), -100, b'/w/probe.py')
def trace():
    call(101, 16, victim, 0, 0)
    os.waitpid(victim, 0)
    call(101, 17, victim, 0, 0)
def code():
    mmap.mmap(-1, 4096, prot=7)
def own_uts():
    call(308, os.open('/proc/self/ns/uts', os.O_RDONLY), 0)
def read(path):
    return lambda: os.read(os.open(path, os.O_RDONLY), 1)
def raise_limit():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard + 1))
def limit_to_now(kind):
    return lambda: resource.prlimit(victim, kind, resource.prlimit(victim, kind))
def ring_memory(setup, flags):
    # An openat in a ring, by a worker (IOSQE_ASYNC) or the ring's own thread (IORING_SETUP_SQPOLL).
    parameters = ctypes.create_string_buffer(120)
    struct.pack_into('I', parameters, 8, setup)
    struct.pack_into('I', parameters, 16, 1000)
    fd = call(425, 4, parameters)
    tail, array = (struct.unpack_from('I', parameters, at)[0] for at in (44, 64))
    done, entries = (struct.unpack_from('I', parameters, at)[0] for at in (84, 100))
    ring, queue = mmap.mmap(fd, 4096), mmap.mmap(fd, 4096, offset=0x10000000)
    path = ctypes.create_string_buffer(f'/proc/{victim}/environ'.encode())
    struct.pack_into('BBHiQQIIQ', queue, 0, 18, flags, 0, -100, 0, ctypes.addressof(path), 0, 0, 1)
    struct.pack_into('I', ring, array, 0)
    struct.pack_into('I', ring, tail, 1)
    call(426, fd, 0 if setup else 1, 0, 2 if setup else 0, None, 0)
    until = time.time() + 10
    while struct.unpack_from('I', ring, done)[0] == 0:
        if time.time() > until: raise OSError(110, '')
        time.sleep(0.01)
    opened = struct.unpack_from('i', ring, entries + 8)[0]
    if opened < 0: raise OSError(-opened, '')
    os.read(opened, 1)
EINVAL, ENOENT, ENOEXEC, EFAULT, ESRCH = 22, 2, 8, 14, 3
probes = {
    'userns': unshare(0x10000000), 'newns': unshare(0x20000), 'newuts': unshare(0x4000000),
    'newipc': unshare(0x8000000), 'newnet': unshare(0x40000000), 'newpid': unshare(0x20000000),
    'newcgroup': unshare(0x2000000), 'newtime': unshare(0x80), 'clone3': clone3, 'setns': own_uts,
    'open_tree': lambda: call(428, -100, b'/usr', 1), 'fsmount': fsmount,
    'mount_setattr': mount_setattr, 'bind': lambda: call(165, b'/usr', b'/mnt', None, 4096, None),
    'umount': lambda: call(166, b'/mnt', 0, passed=(EINVAL,)),
    'pivot_root': lambda: call(155, b'/', b'/', passed=(EINVAL, 16)),
    'bpf_map': lambda: bpf(0, 2, 4, 4, 1), 'bpf_trace': lambda: bpf(5, 26, passed=(EINVAL, EFAULT, 7)),
    'bpf_lsm': lambda: bpf(5, 29, passed=(EINVAL, EFAULT, 7)),
    'bpf_socket': lambda: bpf(5, 1, passed=(EINVAL, EFAULT, 7)),
    'bpf_kprobe': lambda: bpf(5, 2, passed=(EINVAL, EFAULT, 7)),
    'bpf_tracepoint': lambda: bpf(5, 17, passed=(EINVAL, EFAULT, 7)),
    'bpf_syscall': lambda: bpf(5, 31, passed=(EINVAL, EFAULT, 7)),
    'bpf_attach': lambda: bpf(8, 0, 0, 0, passed=(EINVAL, 9)),
    'bpf_detach': lambda: bpf(9, 0, 0, 0, passed=(EINVAL, 9)),
    'bpf_run': lambda: bpf(10, 0, passed=(EINVAL, 9)), 'bpf_stats': lambda: bpf(32, 0),
    'bpf_map_of_others': lambda: bpf(14, 1, passed=(ENOENT,)),
    'bpf_at_tasks': lambda: bpf(0, 29, 4, 4, 0, passed=(EINVAL,)),
    'bpf_scheduler': lambda: bpf(0, 26, 4, 4, 1, passed=(EINVAL, 524)),
    'bpf_cgroup': lambda: bpf(5, 18, passed=(EINVAL, EFAULT, 7)), 'bpf_tracer': tracer,
    'perf_own': lambda: perf(1, 1 << 5 | 1 << 6, 0), 'perf_kernel': lambda: perf(1, 0, 0),
    'perf_other': lambda: perf(1, 1 << 5 | 1 << 6, victim),
    'perf_processor': lambda: perf(1, 1 << 5 | 1 << 6, -1, 0),
    'perf_signal': lambda: perf(1, 1 << 5 | 1 << 6 | 1 << 36 | 1 << 37, other()),
    'perf_probe': lambda: perf(uprobes(), 0, victim),
    'fanotify_file': lambda: fanotify(0, 2), 'fanotify_filesystem': lambda: fanotify(0x100, 2),
    'fanotify_mount': lambda: fanotify(0x10, 2), 'fanotify_permission': lambda: fanotify(0, 0x10000),
    'io_uring': lambda: call(425, 4, ctypes.create_string_buffer(120)),
    'worker_memory': lambda: ring_memory(0, 16), 'thread_memory': lambda: ring_memory(2, 0),
    'userfaultfd': lambda: call(323, 1), 'userfaultfd_kernel': lambda: call(323, 0),
    'add_key': lambda: call(248, b'user', b'k', b'v', 1, -1),
    'delete_module': lambda: call(176, b'nonexistent', 0x800, passed=(ENOENT,)),
    'init_module': lambda: call(175, b'x' * 64, 64, b'', passed=(ENOEXEC, EINVAL)),
    'kexec_load': lambda: call(246, 0, 0, None, 0), 'iopl': lambda: call(172, 3),
    'hostname': lambda: call(170, socket.gethostname().encode(), len(socket.gethostname())),
    'kill': lambda: os.kill(victim, 0), 'ptrace': trace,
    'limit': lambda: resource.prlimit(victim, resource.RLIMIT_NOFILE, resource.prlimit(victim, resource.RLIMIT_NOFILE)),
    'nice': lambda: os.setpriority(os.PRIO_PROCESS, victim, 1),
    'schedule': lambda: os.sched_setscheduler(victim, os.SCHED_OTHER, os.sched_param(0)),
    'schedule_by_attributes': lambda: call(314, victim, ctypes.create_string_buffer(struct.pack('IIQiIQQQ', 48, 0, 0, 1, 0, 0, 0, 0)), 0),
    'limit_cpu': limit_to_now(0), 'limit_fsize': limit_to_now(1), 'limit_stack': limit_to_now(3),
    'limit_memlock': limit_to_now(8), 'limit_as': limit_to_now(9), 'limit_rttime': limit_to_now(15),
    'shadow': read('/etc/shadow'), 'memory': read(f'/proc/{victim}/environ'),
    'create': lambda: os.close(os.open('/etc/switch-probe', os.O_CREAT | os.O_WRONLY)),
    'terminal': lambda: os.open(terminal, os.O_RDWR | os.O_NOCTTY),
    'mknod': lambda: os.mknod(f'/w/node-{os.getpid()}', 0o20600, os.makedev(1, 3)),
    'raw': lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
    'packet': lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0),
    'chown': lambda: os.chown('/w/probe.py', 1, 1) or os.chown('/w/probe.py', 0, 0),
    'set_id': lambda: os.chmod('/w/probe.py', 0o4644) or os.chmod('/w/probe.py', 0o644),
    'setuid': lambda: os.setuid(1), 'setgroups': lambda: os.setgroups([1]), 'chroot': lambda: os.chroot('/w'),
    'time': lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()),
    'syslog': lambda: call(103, 10, None, 0),
    'realtime': lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
    'raise_limit': raise_limit, 'jit': code,
}
for name, probe in probes.items():
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            probe()
            os._exit(0)
        except OSError as error:
            os._exit(error.errno or 255)
        except BaseException:
            os._exit(254)
    code_of = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(name, code_of)
print('end 0')
"#;

/// A terminal that stays open outside; its name.
fn terminal() -> Check<(std::os::fd::OwnedFd, String)> {
    use std::os::fd::AsRawFd;
    let master = crate::acts::raw::open("/dev/ptmx", libc::O_RDWR | libc::O_NOCTTY)
        .map_err(|fault| format!("cannot open a terminal: {fault:?}"))?;
    let (mut number, unlock) = (0_u32, 0_i32);
    // SAFETY: live integers.
    unsafe {
        libc::ioctl(master.as_raw_fd(), libc::TIOCGPTN, &raw mut number);
        libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlock);
    }
    Ok((master, format!("/dev/pts/{number}")))
}

fn grant(process: &str, kernel: &str) -> String {
    format!(
        "version = 1\nname = \"switch\"\ninclude = [\"base\"]\n\n[[file]]\nid = \"workspace\"\n\
         allow = [\"all\"]\npath = [\"/w/**\"]\n\n[process]\n{process}\n\n[kernel]\n{kernel}\n"
    )
}

/// Names of the probes that were done.
fn done(ended: &Ended) -> Check<BTreeSet<String>> {
    ensure(ended.stdout.contains("end 0"), || {
        format!("the probes did not end: {}", ended.tail())
    })?;
    Ok(ended
        .stdout
        .lines()
        .filter_map(|line| line.strip_suffix(" 0"))
        .filter(|name| *name != "end")
        .map(str::to_owned)
        .collect())
}

/// Loads a program of a tracepoint that does nothing, and says its number.
const TRACER: &str = r#"import ctypes, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def bpf(command, attributes):
    attributes = ctypes.create_string_buffer(attributes, 128)
    value = libc.syscall(ctypes.c_long(321), ctypes.c_long(command), attributes, ctypes.c_long(128))
    assert value >= 0, ctypes.get_errno()
    return value
code = ctypes.create_string_buffer(bytes.fromhex('b700000000000000' '9500000000000000'), 16)
license = ctypes.create_string_buffer(b'GPL')
info = ctypes.create_string_buffer(256)
fd = bpf(5, struct.pack('IIQQ', 17, 2, ctypes.addressof(code), ctypes.addressof(license)))
bpf(15, struct.pack('IIQ', fd, 256, ctypes.addressof(info)))
print(struct.unpack_from('II', info)[1], flush=True)
sys.stdin.read()
"#;

fn words(victim: i32, terminal: &str, signalled: i32, tracer: &str) -> Vec<String> {
    let (victim, signalled) = (victim.to_string(), signalled.to_string());
    [
        "python3",
        "/w/probe.py",
        &victim,
        terminal,
        &signalled,
        tracer,
    ]
    .map(str::to_owned)
    .into()
}

fn alone(_: &mut Context) -> Check {
    fs::create_dir_all("/w").doing("make a directory")?;
    fs::write("/w/probe.py", PROBE).doing("write the probes")?;
    let victim = Background::victim("switches")?;
    // A host that lets everybody: what a grant leaves shut is shut all the same.
    let settings = [
        ("/proc/sys/kernel/perf_event_paranoid", "-1"),
        ("/proc/sys/vm/unprivileged_userfaultfd", "1"),
    ];
    let mut kept = Vec::new();
    for (path, open) in settings {
        kept.push((path, fs::read_to_string(path).doing("read a setting")?));
        fs::write(path, open).doing("write a setting")?;
    }
    let tried = try_all(&victim);
    for (path, was) in kept {
        fs::write(path, was).doing("write a setting")?;
    }
    tried
}

fn try_all(victim: &Background) -> Check {
    let (_master, terminal) = terminal()?;
    let signalled = Background::victim("signalled")?;
    let mut tracer = Command::new("python3");
    tracer.args(["-c", TRACER]).stdin(Stdio::piped());
    let mut tracer = Background::start(tracer.stdout(Stdio::piped()))?;
    let mut number = String::new();
    if let Some(output) = tracer.child.stdout.take() {
        BufReader::new(output)
            .read_line(&mut number)
            .doing("read")?;
    }
    let words = words(victim.pid(), &terminal, signalled.pid(), number.trim());
    // Everything is done by root in no session, in namespaces that nobody sees.
    let mut free = vec!["unshare".to_owned(), "--mount".into(), "--uts".into()];
    free.extend(words.clone());
    let outside = done(&process::run(&free)?)?;
    for name in [
        "newns",
        "open_tree",
        "fsmount",
        "mount_setattr",
        "bpf_map",
        "worker_memory",
        "thread_memory",
        "ptrace",
        "terminal",
        "schedule",
        "schedule_by_attributes",
        "limit_cpu",
        "limit_fsize",
        "limit_stack",
        "limit_memlock",
        "limit_as",
        "limit_rttime",
        "bpf_tracepoint",
        "bpf_syscall",
        "bpf_tracer",
        "bpf_attach",
        "bpf_detach",
        "bpf_run",
        "bpf_stats",
        "bpf_map_of_others",
        "bpf_at_tasks",
        "bpf_scheduler",
        "perf_other",
        "perf_processor",
        "perf_kernel",
        "perf_signal",
        "perf_probe",
        "fanotify_filesystem",
        "fanotify_mount",
        "fanotify_permission",
        "userfaultfd_kernel",
    ] {
        ensure(outside.contains(name), || {
            format!("`{name}` is not done outside")
        })?;
    }
    let work = Mutex::new(rows::rows().into_iter().enumerate());
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let next = work.lock().ok().and_then(|mut work| work.next());
                    let Some((number, (name, row))) = next else {
                        break;
                    };
                    if let Err(error) = try_row(number, &row, &words, &outside)
                        && let Ok(mut failures) = failures.lock()
                    {
                        failures.push(format!("{name}: {error}"));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().map_err(|_| "a thread panicked")?;
    let _ = fs::remove_file("/etc/switch-probe");
    ensure(failures.is_empty(), || failures.join("; "))
}

fn try_row(number: usize, row: &rows::Row, words: &[String], outside: &BTreeSet<String>) -> Check {
    let path = format!("/grant-switch-{number}.toml");
    fs::write(&path, grant(row.process, row.kernel)).doing("write the grant")?;
    let ended = Launch::grant(&path).run(words)?;
    let seen = done(&ended)?;
    let must = row.must.iter().filter(|name| outside.contains(**name));
    let missing = must
        .filter(|name| !seen.contains(**name))
        .collect::<Vec<_>>();
    let excess = seen
        .iter()
        .filter(|name| !row.must.contains(&name.as_str()) && !row.may.contains(&name.as_str()))
        .collect::<Vec<_>>();
    ensure(missing.is_empty() && excess.is_empty(), || {
        let said = ended.stdout.lines();
        let said = said.filter(|line| missing.iter().any(|name| line.starts_with(**name)));
        format!(
            "opened {excess:?} as well, and did not open {missing:?} ({})",
            said.collect::<Vec<_>>().join(", ")
        )
    })
}
