//! Random system calls with arguments that mean something: descriptors, paths outside, numbers of
//! other processes, flags. Run inside a session; what they do there is not judged, what they change
//! outside is.

use std::{
    ffi::{CStr, CString},
    io,
    os::fd::{IntoRawFd, RawFd},
    time::{Duration, Instant},
};

/// Calls of one child before it ends.
const CALLS: u32 = 200;
/// Beyond the last call of the newest kernel of the matrix.
const HIGHEST: i64 = 480;
/// `exit`, `exit_group`, `rt_sigreturn`: they only end the child.
const POINTLESS: [i64; 3] = [60, 231, 15];

/// A small generator of numbers (SplitMix64): a seed repeats a run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap_or(0)
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// What arguments are drawn from.
struct Material {
    descriptors: Vec<RawFd>,
    paths: Vec<CString>,
    processes: Vec<i64>,
    /// Memory that calls may write to.
    buffer: Vec<u64>,
}

const PATHS: [&str; 26] = [
    "/etc/passwd",
    "/etc/shadow",
    "/etc",
    "/usr/bin/true",
    "/srv/outside/file",
    "/srv/outside",
    "/srv/outside/socket",
    "/root",
    "/",
    "/proc/sys/kernel/core_pattern",
    "/proc/1/mem",
    "/proc/self/mem",
    "/proc/sysrq-trigger",
    "/sys/fs/cgroup/cgroup.procs",
    "/sys/fs/bpf/bailiff",
    "/run/bailiff/bailiff.sock",
    "/dev/vda",
    "/dev/kmsg",
    "/dev/console",
    "/dev/pts/0",
    "/dev/mqueue/outside",
    "/storm/file",
    "/storm/dir",
    "tmpfs",
    "proc",
    "",
];

const NUMBERS: [u64; 36] = [
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    9,
    16,
    19,
    32,
    64,
    100,
    0o644,
    512,
    1000,
    1024,
    2048,
    4096,
    0x8000,
    0x1_0000,
    0x2_0000,
    0x10_0000,
    0x41_0000,
    0x1000_0000,
    0x2000_0000,
    0x5412,
    0x541c,
    0x8901,
    0x4004_6602,
    0x4008_6602,
    u64::MAX,
    u64::MAX - 99,
    0x7fff_ffff,
    0x8000_0000,
    1 << 63,
];

/// What is printed after each round.
pub(crate) const ROUND: &str = "round";

/// `bailiff-scenarios random-calls SECONDS SEED OUTSIDER…`, inside the session. `OUTSIDER` is the
/// number of a process outside.
pub(crate) fn run(seconds: &str, seed: &str, outsiders: &[&str]) -> io::Result<()> {
    let until = Instant::now() + Duration::from_secs(seconds.parse().unwrap_or(1));
    let mut seeds = Random(seed.parse().unwrap_or(0));
    let mut outside: Vec<i64> = outsiders
        .iter()
        .filter_map(|pid| pid.parse().ok())
        .collect();
    outside.extend([0, 1, -1, -100]);
    while Instant::now() < until {
        let child_seed = seeds.next();
        // SAFETY: this process has one thread.
        match unsafe { libc::fork() } {
            0 => {
                child(child_seed, outside.clone());
                // SAFETY: ends the child.
                unsafe { libc::_exit(0) };
            }
            pid if pid > 0 => reap(pid),
            _ => return Err(io::Error::last_os_error()),
        }
        // At once: a child can end everybody in the session.
        println!("{ROUND}");
    }
    Ok(())
}

/// Waits for a child for three seconds at most: a call may block, and its alarm may be off. One that is free
/// stops itself, to be looked at.
fn reap(pid: i32) {
    let until = Instant::now() + Duration::from_secs(3);
    loop {
        // SAFETY: no status is wanted.
        let ended = unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) };
        if ended != 0 {
            return;
        }
        if Instant::now() > until && !is_anybody_free() {
            // SAFETY: a child of this process that was not waited for.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn child(seed: u64, processes: Vec<i64>) {
    let mut random = Random(seed);
    let mut material = Material::gather(processes);
    // SAFETY: plain system calls on this process.
    let own = unsafe {
        libc::alarm(2);
        libc::getpid()
    };
    tell_if_free(own, -1, [0; 6]);
    for _ in 0..CALLS {
        let number = i64::try_from(random.next() % HIGHEST as u64).unwrap_or(0);
        if POINTLESS.contains(&number) {
            continue;
        }
        let arguments = [(); 6].map(|()| material.argument(&mut random));
        let [a, b, c, d, e, f] = arguments;
        // SAFETY: none is claimed: whatever it does to this child, the child is given up for it.
        unsafe { libc::syscall(number, a, b, c, d, e, f) };
        tell_if_free(own, number, arguments);
        // SAFETY: as above. A copy of this child ends at once.
        unsafe {
            if libc::getpid() != own {
                libc::_exit(0);
            }
        }
    }
}

/// Where who is free says after which call. What the session may not read is read by nobody of it.
pub(crate) const FREED: &CStr = c"/storm/freed";
/// What the session of a storm may not read, and root outside may.
pub(crate) const SECRET: &CStr = c"/etc/shadow";

fn is_anybody_free() -> bool {
    // SAFETY: a plain system call with a text that lives on.
    unsafe { libc::access(FREED.as_ptr(), libc::F_OK) == 0 }
}

fn tell_if_free(parent: i32, number: i64, arguments: [u64; 6]) {
    // SAFETY: plain system calls with texts that live on.
    unsafe {
        let secret = libc::open(SECRET.as_ptr(), libc::O_RDONLY);
        if secret < 0 {
            return;
        }
        libc::close(secret);
        let said = format!(
            "{} (child {parent}) read what it may not after call {number} {arguments:x?}\n",
            libc::getpid()
        );
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND;
        let file = libc::open(FREED.as_ptr(), flags, 0o600);
        libc::write(file, said.as_ptr().cast(), said.len());
        libc::close(file);
        libc::kill(libc::getpid(), libc::SIGSTOP);
    }
}

impl Material {
    fn gather(processes: Vec<i64>) -> Self {
        let mut descriptors = vec![-1, -100, 0, 1, 2];
        let opened = [
            "/storm/file",
            "/storm/dir",
            "/etc/passwd",
            "/",
            "/proc/self",
            "/dev/null",
        ];
        for path in opened {
            descriptors.extend(std::fs::File::open(path).map(IntoRawFd::into_raw_fd));
        }
        let writable = std::fs::File::options()
            .write(true)
            .read(true)
            .open("/storm/file");
        descriptors.extend(writable.map(IntoRawFd::into_raw_fd));
        // SAFETY: system calls that make descriptors of this process.
        unsafe {
            for (family, kind) in [
                (libc::AF_INET, libc::SOCK_STREAM),
                (libc::AF_INET6, libc::SOCK_DGRAM),
                (libc::AF_UNIX, libc::SOCK_STREAM),
                (libc::AF_NETLINK, libc::SOCK_RAW),
            ] {
                descriptors.push(libc::socket(family, kind, 0));
            }
            let mut pipe = [0; 2];
            libc::pipe(pipe.as_mut_ptr());
            descriptors.extend(pipe);
            descriptors.push(libc::epoll_create1(0));
            descriptors.push(libc::eventfd(0, 0));
            descriptors.push(libc::memfd_create(c"storm".as_ptr(), 0));
            descriptors.push(libc::inotify_init1(0));
            for pid in &processes {
                let pidfd = libc::syscall(libc::SYS_pidfd_open, *pid, 0);
                descriptors.push(RawFd::try_from(pidfd).unwrap_or(-1));
            }
        }
        Self {
            descriptors,
            paths: PATHS
                .iter()
                .filter_map(|path| CString::new(*path).ok())
                .collect(),
            processes,
            buffer: vec![0; 1024],
        }
    }

    fn argument(&mut self, random: &mut Random) -> u64 {
        match random.below(10) {
            0 | 1 => i64::from(random.one_of(&self.descriptors)).cast_unsigned(),
            2 | 3 => {
                let index = random.below(self.paths.len());
                self.paths[index].as_ptr() as u64
            }
            4 => random.one_of(&self.processes).cast_unsigned(),
            5 | 6 => {
                // What pointers point to is drawn from the same.
                for _ in 0..4 {
                    let place = random.below(24);
                    self.buffer[place] = match random.below(3) {
                        0 => random.one_of(&NUMBERS),
                        1 => i64::from(random.one_of(&self.descriptors)).cast_unsigned(),
                        _ => self.paths[random.below(self.paths.len())].as_ptr() as u64,
                    };
                }
                self.buffer.as_mut_ptr() as u64
            }
            7..=8 => random.one_of(&NUMBERS),
            _ => random.one_of(&NUMBERS) | random.one_of(&NUMBERS),
        }
    }
}
