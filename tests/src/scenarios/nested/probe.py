import ctypes, fcntl, os, socket, struct, sys, time
# Tries what a sandbox inside a session may do, and what not. `-` is refused in a session, `+` done; what stands
# before `free` cannot be done unconfined either, or must not be tried.
libc = ctypes.CDLL(None, use_errno=True)
what, victim, foreign, root = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == 'caps'
def call(number, *arguments):
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    value = libc.syscall(ctypes.c_long(number), *words)
    if value < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return value
def mount(source, target, kind=None, flags=0, data=None):
    return call(165, source.encode(), target.encode(), kind and kind.encode(), flags, data and data.encode())
BIND, REC, REMOUNT, RDONLY, MOVE, SHARED = 4096, 16384, 32, 1, 8192, 1 << 20
def read(path):
    with open(path, 'rb', 0) as file: return file.read(64)
def write(path, text):
    fd = os.open(path, os.O_WRONLY)
    os.write(fd, text.encode())
def place():
    # Processes have the same numbers in several namespaces.
    return f'/w/at/{time.time_ns()}'
def fresh(kind, act=lambda at: None, data=None):
    at = place()
    os.mkdir(at)
    mount('none', at, kind, 0, data)
    return act(at)
def bound(source, act):
    at = place()
    os.mkdir(at)
    mount(source, at, None, BIND | REC)
    return act(at)
def overlay():
    fresh('overlay', lambda at: read(f'{at}/secret'), 'lowerdir=/srv/outside/nested:/srv/reference')
def overlay_by_parts():
    fd = call(430, b'overlay', 0)
    call(431, fd, 1, b'lowerdir', b'/srv/outside/nested:/srv/reference', 0)
    call(431, fd, 6, None, None, 0)
def by_handle():
    handle, number = ctypes.create_string_buffer(struct.pack('Ii', 128, 0), 136), ctypes.c_int()
    call(303, -100, b'/srv/outside/nested/secret', handle, ctypes.byref(number), 0)
    os.read(call(304, os.open('/', os.O_RDONLY), handle, os.O_RDONLY), 1)
def device():
    fresh('tmpfs', lambda at: os.mknod(f'{at}/zero', 0o20600, os.makedev(1, 5)))
def own_tmpfs(at):
    os.mkdir(f'{at}/d'); os.rename(f'{at}/d', f'{at}/e')
    with open(f'{at}/e/f', 'w') as file: file.write('mine')
    assert read(f'{at}/e/f') == b'mine'
    os.chmod(f'{at}/e/f', 0o600); os.unlink(f'{at}/e/f')
def terminal(at):
    master = os.open(f'{at}/ptmx', os.O_RDWR | os.O_NOCTTY)
    fcntl.ioctl(master, 0x40045431, struct.pack('i', 0))
    number = struct.unpack('i', fcntl.ioctl(master, 0x80045430, bytes(4)))[0]
    os.write(os.open(f'{at}/{number}', os.O_RDWR | os.O_NOCTTY), b'x')
def tree():
    return call(428, -100, b'/srv/outside/nested', 1 | 0x8000)
def detached():
    read(f'/proc/self/fd/{tree()}/secret')
def moved():
    at = place(); os.mkdir(at)
    call(429, tree(), b'', -100, at.encode(), 4)
    read(f'{at}/secret')
def mapped_mount():
    # The host's tree with other owners: of the namespace of the one who calls.
    pid = os.fork()
    call(442, tree(), b'', 0x1000, ctypes.create_string_buffer(struct.pack('4Q', 0x100000, 0, 0, os.open('/proc/self/ns/user', os.O_RDONLY))), 32)
def reconfigure():
    fd = call(433, -100, b'/', 0)
    call(431, fd, 0, b'ro', None, 0)
    call(431, fd, 7, None, None, 0)
def parts(kind):
    call(431, call(430, kind, 0), 6, None, None, 0)
def hosts_cgroups(shared):
    # A context that is opened in a cgroup namespace of its own, and used in the host's.
    here, there = socket.socketpair()
    pid = call(56, 0x400 | 17, 0, 0, 0, 0) if shared else os.fork()
    if pid == 0:
        try:
            call(272, 0x2000000); fd = call(430, b'cgroup2', 0)
            socket.send_fds(there, [b'x'], [fd]) if not shared else there.send(bytes([fd]))
            if shared: time.sleep(3)
            os._exit(0)
        except BaseException: there.send(b''); os._exit(1)
    word, fds, _, _ = socket.recv_fds(here, 1, 1)
    if not shared: os.waitpid(pid, 0)
    try: call(431, fds[0] if fds else word[0], 6, None, None, 0)
    finally:
        if shared: os.waitpid(pid, 0)
def pidfd(pid): return call(434, pid, 0)
def enter(pid, kinds): call(308, pidfd(pid), kinds)
def enter_by_file(path): call(308, os.open(path, os.O_RDONLY), 0)
def trace(pid): call(101, 16, pid, 0, 0); os.waitpid(pid, 0); call(101, 17, pid, 0, 0)
def loopback_down():
    sock = socket.socket(); fcntl.ioctl(sock, 0x8914, struct.pack('16sH14x', b'lo', 0x49))
def set_hostname(): call(170, b'nested', 6)
def key(): call(248, b'user', b'nested', b'v', 1, -1)
def connect(address):
    sock = socket.socket(); sock.settimeout(5); sock.connect(address)
def own_network():
    call(272, 0x40000000)
    sock = socket.socket(); fcntl.ioctl(sock, 0x8914, struct.pack('16sH14x', b'lo', 0x49))
    listener = socket.socket(); listener.bind(('127.0.0.1', 10001)); listener.listen()
    connect(('127.0.0.1', 10001))
def unrelated_network():
    call(272, 0x40000000)
    sock = socket.socket(); fcntl.ioctl(sock, 0x8914, struct.pack('16sH14x', b'lo', 0x49))
    connect(('127.0.0.9', 10001))
def sysctl_of_own_network():
    call(272, 0x40000000); write('/proc/sys/net/ipv4/ip_forward', '1')
def raw_in_own_network():
    call(272, 0x40000000); socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
def own_hostname():
    call(272, 0x4000000); set_hostname()
def own_sysfs(act):
    call(272, 0x40000000); fresh('sysfs', act)
def own_ipc():
    call(272, 0x8000000); fresh('mqueue')
    if libc.mq_open(b'/nested', os.O_CREAT | os.O_RDWR, 0o600, None) < 0:
        raise OSError(ctypes.get_errno(), 'mq_open')
def shared_memory(): call(29, 0x6e657374, 4096, 0)
def below():
    # A namespace below, whose maps the one above writes.
    ready, go = os.pipe(), os.pipe()
    pid = call(56, 0x10000000 | 0x20000 | 17, 0, 0, 0, 0)
    if pid == 0:
        try:
            os.read(go[0], 1); fresh('tmpfs', own_tmpfs); os._exit(0)
        except BaseException: os._exit(1)
    for name, text in ('setgroups', 'deny'), ('uid_map', f'{os.getuid()} {os.getuid()} 1'), ('gid_map', f'{os.getgid()} {os.getgid()} 1'):
        with open(f'/proc/{pid}/{name}', 'w') as file: file.write(text)
    os.write(go[1], b'x')
    # Entered from outside of it.
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code: raise OSError(1, 'the child was refused')
def below_and_entered():
    go = os.pipe()
    pid = call(56, 0x10000000 | 0x20000 | 17, 0, 0, 0, 0)
    if pid == 0: os.read(go[0], 1); os._exit(0)
    try: enter(pid, 0x10000000 | 0x20000)
    finally: os.write(go[1], b'x'); os.waitpid(pid, 0)
def capable_program():
    os.setxattr('/w/program', 'security.capability', struct.pack('<5I', 0x2000001, 1 << 21, 0, 0, 0))
def chrooted():
    os.chroot('/proc/self/fdinfo'); os.chdir('/')
outside = '/srv/outside/nested'
files = [
    ('- read the secret', 'free', lambda: read(f'{outside}/secret')),
    ('+ read what is granted', 'free', lambda: read('/srv/reference/nested')),
    ('- read it through process 1', '', lambda: read(f'/proc/1/root{outside}/secret')),
    ('- read it through its own root', 'free', lambda: read(f'/proc/self/root{outside}/secret')),
    ('- read it by handle', '', by_handle),
    ('- write a setting of the kernel', '', lambda: write('/proc/sys/kernel/core_pattern', 'x')),
    ('- ask by sysrq', '', lambda: write('/proc/sysrq-trigger', 'h')),
    ('- make a cgroup', '', lambda: os.mkdir('/sys/fs/cgroup/nested')),
    ('- open a device', '', lambda: read('/dev/kmsg')),
    ('- add a key', '', key),
    ('- leave a set-user-id program', '', lambda: os.chmod('/w/program', 0o4755)),
    ('+ make another namespace', 'free', lambda: call(272, 0x10000000)),
]
mounts = [
    ('- bind its directory elsewhere', 'free', lambda: bound(outside, lambda at: read(f'{at}/secret'))),
    ('- bind everything elsewhere', 'free', lambda: bound('/', lambda at: read(f'{at}{outside}/secret'))),
    ('+ bind what is granted', 'free', lambda: bound('/srv/reference', lambda at: read(f'{at}/nested'))),
    ('- clone its tree', 'free', detached),
    ('- clone its tree and attach it', 'free', moved),
    ('- put an overlay over it', 'free', overlay),
    ('- put an overlay over it by parts', 'free', overlay_by_parts),
    ('- make a device', '', device),
    ('- mount a disk', '', lambda: mount('/dev/vda', '/mnt', 'ext4', RDONLY)),
    ('- mount FUSE', '', lambda: mount('none', '/mnt', 'fuse', 0, 'fd=0,rootmode=40000,user_id=0,group_id=0')),
    ('- mount ramfs', 'free', lambda: fresh('ramfs')),
    ('- mount binfmt_misc', '', lambda: mount('none', '/mnt', 'binfmt_misc')),
    ('- remount the host\'s filesystem', '', lambda: mount('none', '/', None, REMOUNT | RDONLY)),
    ('- reconfigure the host\'s filesystem', '', reconfigure),
    ('- give the host\'s tree other owners', '', mapped_mount),
    ('- a cgroup by a mount of its own', '', lambda: fresh('cgroup2', lambda at: os.mkdir(f'{at}/nested'))),
    ('+ a tmpfs by parts', 'free', lambda: parts(b'tmpfs')),
    ('- a setting by a sysfs of its own', '', lambda: own_sysfs(lambda at: write(f'{at}/kernel/mm/ksm/run', '0'))),
    ('+ a tmpfs of its own', 'free', lambda: fresh('tmpfs', own_tmpfs)),
    ('+ terminals of its own', 'free', lambda: fresh('devpts', terminal, 'newinstance,ptmxmode=0666')),
    ('+ queues of its own', 'free', own_ipc),
    ('+ a root of its own', 'free', chrooted),
    ('+ a namespace below, mapped by the one above', 'free', below),
    ('+ a namespace below, entered', 'free', below_and_entered),
    ('+ a network of its own', 'free', own_network),
    ('- what its network denies', '', unrelated_network),
    ('- a setting of its own network', 'free', sysctl_of_own_network),
    ('- packets in its own network', 'free', raw_in_own_network),
    ('+ a name of its own', 'free', own_hostname),
    ('- a program with capabilities', '', capable_program),
]
host = [
    ('- kill a process outside', '', lambda: os.kill(victim, 9)),
    ('- trace a process outside', '', lambda: trace(victim)),
    ('- read the memory of a process outside', '', lambda: read(f'/proc/{victim}/environ')),
    ('- enter the mounts of process 1', '', lambda: enter(1, 0x20000)),
    ('- enter the mounts of a process outside', '', lambda: enter(victim, 0x20000)),
    ('- enter all namespaces of a process outside', '', lambda: enter(foreign, 0x10000000)),
    ('- open a namespace of a process outside', '', lambda: enter_by_file(f'/proc/{victim}/ns/net')),
    ('- enter a user namespace of others by a file', '', lambda: enter_by_file('/w/foreign')),
    ('- enter the host\'s network by a file', '', lambda: enter_by_file('/w/network')),
    ('- map users of a process outside', '', lambda: write(f'/proc/{foreign}/uid_map', '0 0 1')),
    ('- the host\'s name', '', set_hostname),
    ('- the host\'s network', '', loopback_down),
    ('- connect to what is not granted', '', lambda: connect(('127.0.0.1', 20001))),
    ('- memory that others share', '', shared_memory),
    ('- a time of the host', '', lambda: call(227, 0, ctypes.create_string_buffer(struct.pack('qq', 1000000000, 0)))),
    ('- restart the host', '', lambda: call(169, 0xfee1dead, 672274793, 0, None)),
    ('- a performance counter', '', lambda: call(298, ctypes.create_string_buffer(struct.pack('IIQ', 1, 128, 0), 128), -1, 0, -1, 0)),
    ('- the host\'s cgroups by a context of another namespace', '', lambda: hosts_cgroups(False)),
    ('- the same by descriptors that are shared', '', lambda: hosts_cgroups(True)),
    ('- a BPF map', '', lambda: call(321, 0, ctypes.create_string_buffer(struct.pack('4I', 2, 4, 4, 1), 72), 72)),
]
acts = files + (mounts if root else []) + (host if what == 'host' else [])
free = what == 'free'
# Sandboxes leave things out, or show them to be read.
refusals = (1, 13) if what == 'host' else (1, 2, 13, 30)
for name, is_free, act in acts:
    if free and not is_free: continue
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try: act(); os._exit(0)
        except OSError as error: os._exit(1 if error.errno in refusals else 2)
        except BaseException: os._exit(3)
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    expected = 0 if free or name[0] == '+' else 1
    if ended != expected: print('WRONG:', name, 'ended with', ended)
print('tried', len(acts))
