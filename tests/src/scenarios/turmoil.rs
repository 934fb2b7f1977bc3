//! A storm around one cgroup: tagged and untagged again and again, while processes in it and outside
//! fork, execute by threads, come, go and are born into it.
//!
//! After every tag and every untag the kernel's own list of tasks is held against the cgroups. And
//! every process that knows that it is in the cgroup tries for itself: while a tag is complete it must
//! be refused, while none is, it must not. "While" is told by a number on a shared board, the same before
//! and after the attempt.

use std::{
    fs, io,
    os::fd::AsRawFd,
    os::unix::process::CommandExt,
    process::Command,
    sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use super::{Context, Single, lifecycle::tag_words, who::births::in_new_child};
use crate::harness::{
    Check, Doing,
    daemon::BAILIFF,
    ensure,
    matrix::runs_everything,
    members,
    process::{self, Background},
    session::Launch,
};

const BASE: &str = "/storm";
const TOP: &str = "/sys/fs/cgroup/scenario-storm";
const BELOW: &str = "/sys/fs/cgroup/scenario-storm/below";

pub(crate) fn scenarios() -> Vec<Single> {
    vec![Single::new(
        "who",
        "label and place agree in a storm of births, moves, executions, tags and untags",
        storm,
    )]
}

/// What the processes of the storm share; all zero at the beginning.
#[repr(C)]
struct Board {
    /// Raised whenever a tag or an untag begins and ends: `4n` free, `4n + 2` tagged, odd between.
    phase: AtomicU64,
    stop: AtomicU32,
    /// Read while tagged, by [`Way`].
    escaped: [AtomicU64; 3],
    /// Refused while free, by [`Way`].
    bound: [AtomicU64; 3],
    held: AtomicU64,
    free: AtomicU64,
    forks: AtomicU64,
    executions: AtomicU64,
    births: AtomicU64,
    moves: AtomicU64,
    /// Children that could not be made.
    unborn: AtomicU64,
    /// Why, of the last one.
    error: AtomicU32,
}

/// How a process came to be in the cgroup.
#[derive(Clone, Copy)]
enum Way {
    Forked,
    Executed,
    BornInto,
}

impl Board {
    fn unborn(&self, error: &io::Error) {
        let number = error.raw_os_error().unwrap_or(0);
        self.error.store(number.cast_unsigned(), SeqCst);
        self.unborn.fetch_add(1, SeqCst);
    }

    /// What went wrong, by way: nothing if that is none.
    fn faults(&self) -> Option<String> {
        let count = |counts: &[AtomicU64; 3]| counts.each_ref().map(|count| count.load(SeqCst));
        let (escaped, bound) = (count(&self.escaped), count(&self.bound));
        let words = |counts: [u64; 3]| {
            format!(
                "{} forked, {} executed, {} born into it",
                counts[0], counts[1], counts[2]
            )
        };
        (escaped != [0; 3] || bound != [0; 3]).then(|| {
            format!(
                "escaped a complete tag: {}; bound after an untag: {}",
                words(escaped),
                words(bound)
            )
        })
    }
}

fn board() -> io::Result<&'static Board> {
    let file = fs::File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(format!("{BASE}/board"))?;
    file.set_len(4096)?;
    // SAFETY: a new shared mapping of a file of this size.
    let address = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            4096,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        )
    };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping is never undone, is large enough, and atomics have no invalid values.
    Ok(unsafe { &*address.cast::<Board>() })
}

const GRANT: &str = "version = 1\nname = \"storm\"\ninclude = [\"base\"]\n\
    [[file]]\nid = \"driver\"\nallow = [\"read\", \"exec\"]\npath = [\"/storm/driver\"]\n\
    [[file]]\nid = \"board\"\nallow = [\"read\", \"write\"]\npath = [\"/storm/board\"]\n";

fn storm(_: &mut Context) -> Check {
    let seconds = std::env::var("STRESS_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(if runs_everything() { 60 } else { 10 });
    process::shell(&format!("mkdir -p {BASE} && mount -t tmpfs none {BASE}"))?;
    let checked = storm_mounted(seconds);
    process::shell(&format!("umount -l {BASE}"))?;
    checked
}

fn storm_mounted(seconds: u64) -> Check {
    fs::create_dir_all(BELOW).doing("make cgroups")?;
    fs::write(format!("{BASE}/secret"), "secret").doing("write")?;
    fs::copy("/proc/self/exe", format!("{BASE}/driver")).doing("copy the driver")?;
    let grant = "/etc/bailiff/grants/turmoil.toml";
    fs::create_dir_all("/etc/bailiff/grants").doing("make a directory")?;
    fs::write(grant, GRANT).doing("write the grant")?;
    let board = board().doing("map the board")?;
    let mut processes = Vec::new();
    for (kind, cgroup, count) in [
        ("forks", Some(TOP), 2),
        ("forks", Some(BELOW), 1),
        ("executes", Some(TOP), 2),
        ("executes", Some(BELOW), 1),
        ("bears", None, 2),
        ("comes", None, 2),
    ] {
        for _ in 0..count {
            let mut command = Command::new(format!("{BASE}/driver"));
            let process = Background::start(command.args(["turmoil", kind]))?;
            if let Some(cgroup) = cgroup {
                fs::write(format!("{cgroup}/cgroup.procs"), process.pid().to_string())
                    .doing("move a process")?;
            }
            processes.push((kind, process));
        }
    }
    let rounds = rounds(board, &Launch::grant(grant), &processes, seconds);
    board.stop.store(1, SeqCst);
    drop(processes);
    let killed = process::shell(&format!(
        "echo 1 > {TOP}/cgroup.kill; sleep 0.5; rmdir {BELOW} {TOP}"
    ));
    let rounds = rounds?;
    killed?;
    let [held, free, forks, executions, births, moves] = [
        &board.held,
        &board.free,
        &board.forks,
        &board.executions,
        &board.births,
        &board.moves,
    ]
    .map(|count| count.load(SeqCst));
    let counts = format!(
        "{rounds} rounds: {forks} forks, {executions} executions by threads, {births} births from outside, \
         {moves} moves; refused {held}, free {free} times"
    );
    println!("     {counts}");
    let unborn = board.unborn.load(SeqCst);
    ensure(unborn == 0, || {
        let error = io::Error::from_raw_os_error(board.error.load(SeqCst).cast_signed());
        format!("{unborn} could not be born ({error}); {counts}")
    })?;
    if let Some(faults) = board.faults() {
        return Err(format!("{faults}; {counts}"));
    }
    let busy = [held, free, forks, executions, births, moves];
    ensure(
        rounds >= ENOUGH && busy.iter().all(|count| *count > 5),
        || format!("too little happened: {counts}"),
    )
}

/// A slow machine gets more time, for this many rounds.
const ENOUGH: u64 = 3;

/// Tags and untags until the time is over; how often.
fn rounds(
    board: &Board,
    launch: &Launch,
    processes: &[(&str, Background)],
    seconds: u64,
) -> Check<u64> {
    let begun = Instant::now();
    let until = begun + Duration::from_secs(seconds);
    let at_last = begun + Duration::from_secs(seconds.max(90));
    let movers = processes.iter().filter(|(kind, _)| *kind == "comes");
    let movers = movers.map(|(_, process)| process.pid()).collect::<Vec<_>>();
    // Of scenarios before, whose sessions the store may not know.
    let before = members::all()?;
    let mut rounds = 0;
    while Instant::now() < until || (rounds < ENOUGH && Instant::now() < at_last) {
        board.phase.fetch_add(1, SeqCst);
        process::must(&tag_words(launch, TOP))?;
        board.phase.fetch_add(1, SeqCst);
        members::agree("after a tag")?;
        for pid in &movers {
            move_to(TOP, *pid, board);
        }
        members::agree("after moves into the tagged cgroup")?;
        board.phase.fetch_add(1, SeqCst);
        process::must(&[BAILIFF, "untag", TOP])?;
        board.phase.fetch_add(1, SeqCst);
        let left = members::all()?;
        let in_storm = left.iter().find(|member| {
            member.command == "driver"
                && member.session.is_some()
                && !before.iter().any(|other| other.session == member.session)
        });
        ensure(in_storm.is_none(), || {
            format!("after an untag somebody has its label: {in_storm:?}")
        })?;
        for pid in &movers {
            move_to("/sys/fs/cgroup", *pid, board);
        }
        rounds += 1;
    }
    Ok(rounds)
}

fn move_to(cgroup: &str, pid: i32, board: &Board) {
    if fs::write(format!("{cgroup}/cgroup.procs"), pid.to_string()).is_ok() {
        board.moves.fetch_add(1, SeqCst);
    }
}

/// `bailiff-scenarios turmoil KIND`
pub(crate) fn rage(kind: &str) -> io::Result<()> {
    let board = board()?;
    // Whoever tags is not to wait for the storm.
    // SAFETY: a number.
    unsafe { libc::nice(10) };
    match kind {
        "forks" | "comes" => {
            // So that a child is always being made.
            take_mappings(if kind == "forks" { 4000 } else { 1500 });
            while board.stop.load(SeqCst) == 0 {
                fork_once(board, kind == "forks");
            }
        }
        "executes" => execute_again(board)?,
        _ => {
            while board.stop.load(SeqCst) == 0 {
                for cgroup in [TOP, BELOW] {
                    if in_new_child(cgroup, || {
                        attempt(board, Way::BornInto);
                        0
                    })
                    .is_ok()
                    {
                        board.births.fetch_add(1, SeqCst);
                    }
                }
                thread::sleep(Duration::from_millis(5));
            }
        }
    }
    Ok(())
}

/// Tries once what a session may not. For processes that are in the cgroup all the while.
fn attempt(board: &Board, way: Way) {
    let before = board.phase.load(SeqCst);
    let read = fs::read(format!("{BASE}/secret")).is_ok();
    let after = board.phase.load(SeqCst);
    if before != after || before % 2 == 1 {
        return;
    }
    let count = match (before % 4 == 2, read) {
        (true, true) => &board.escaped[way as usize],
        (true, false) => &board.held,
        (false, true) => &board.free,
        (false, false) => &board.bound[way as usize],
    };
    count.fetch_add(1, SeqCst);
}

fn take_mappings(count: u32) {
    for index in 0..count {
        let protection = if index % 2 == 0 {
            libc::PROT_READ
        } else {
            libc::PROT_READ | libc::PROT_WRITE
        };
        // SAFETY: a new mapping of no file.
        unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                4096,
                protection,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
    }
}

/// A child and a grandchild.
fn fork_once(board: &Board, stays: bool) {
    // SAFETY: this process has one thread.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: as above.
        let grandchild = unsafe { libc::fork() };
        if stays {
            attempt(board, Way::Forked);
        }
        if grandchild > 0 {
            // SAFETY: no status is wanted.
            unsafe { libc::waitpid(grandchild, std::ptr::null_mut(), 0) };
        }
        // SAFETY: ends the process.
        unsafe { libc::_exit(0) };
    }
    if pid < 0 {
        board.unborn(&io::Error::last_os_error());
    }
    if pid > 0 {
        board.forks.fetch_add(1, SeqCst);
        // SAFETY: no status is wanted.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
    }
}

/// Becomes itself anew, by a thread that is not the leader; this never ends.
fn execute_again(board: &'static Board) -> io::Result<()> {
    board.executions.fetch_add(1, SeqCst);
    attempt(board, Way::Executed);
    while board.stop.load(SeqCst) == 1 {
        thread::sleep(Duration::from_secs(1));
    }
    thread::sleep(Duration::from_millis(1));
    let thread = thread::Builder::new().spawn(|| {
        Command::new(format!("{BASE}/driver"))
            .args(["turmoil", "executes"])
            .exec()
    });
    // The leader and one more thread are there while it executes.
    // (Which may have begun to: then nobody is born any more, `copy_process()` says EAGAIN.)
    let _other = thread::Builder::new().spawn(|| thread::sleep(Duration::from_secs(60)));
    Err(thread?
        .join()
        .unwrap_or_else(|_| io::Error::other("the thread panicked")))
}
