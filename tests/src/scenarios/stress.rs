//! Renames, forks and opens at the border of a grant, all at once.
//!
//! The tree: `open/` is granted, `closed/` is not. An unconfined process moves the directories
//! `crossing-*` to and fro between them; for each it publishes in shared memory where it is, with
//! a number that it raises before and after every move. What a confined process then asserts is
//! true at every interleaving:
//!
//! - a file that was in `closed/` with one number before and after the attempt was not readable;
//! - a file below `closed/never-*`, which only ever moves within `closed/`, was never readable;
//! - a confined rename or link never brings an object from `closed/` to `open/`, nor takes one out.
//!
//! The converse is counted: a file that was in `open/` all the while and could not be read.
//! The same run in audit mode, where nothing is refused, must find violations: the detector works.

use std::{
    ffi::CString,
    fs,
    os::fd::AsRawFd,
    path::Path,
    sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst},
    time::{Duration, Instant},
};

use super::{Context, Single};
use crate::harness::{Check, Doing, ensure, process, session::Launch};

const BASE: &str = "/stress";
const CROSSING: usize = 8;
const WITHIN: usize = 8;

pub(crate) fn scenarios() -> Vec<Single> {
    vec![
        Single::new(
            "stress",
            "the detector finds accesses when nothing is refused",
            audit,
        ),
        Single::new(
            "stress",
            "64 processes at the border of a grant never get across",
            enforce,
        ),
    ]
}

/// What movers and readers share; all zero at the beginning.
#[repr(C)]
struct Board {
    /// Raised before and after each move: even is at rest.
    moves: [AtomicU64; CROSSING],
    /// 1 while the directory is, or may be, in `open/`.
    is_open: [AtomicU32; CROSSING],
    stop: AtomicU32,
    attempts: AtomicU64,
    read: AtomicU64,
    refused: AtomicU64,
    violations: AtomicU64,
    spurious: AtomicU64,
    /// Attempts at something that was in `open/` all the while.
    granted: AtomicU64,
    forks: AtomicU64,
    renames: AtomicU64,
}

fn board(path: &str) -> std::io::Result<&'static Board> {
    let file = fs::File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
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
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the mapping is never undone, is large enough, and atomics have no invalid values.
    Ok(unsafe { &*address.cast::<Board>() })
}

fn audit(_: &mut Context) -> Check {
    let (board, _) = run("audit", 2, 16)?;
    ensure(board.violations > 0, || {
        format!("expected violations where nothing is refused, saw none in {board:?}")
    })
}

fn enforce(_: &mut Context) -> Check {
    let seconds = std::env::var("STRESS_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let (board, misplaced) = run("enforce", seconds.unwrap_or(30), 64)?;
    println!("     {board:?}");
    ensure(board.violations == 0, || {
        format!("accesses outside the grant: {board:?}")
    })?;
    ensure(misplaced.is_empty(), || {
        format!("objects crossed the border: {}", misplaced.join(", "))
    })?;
    ensure(
        board.read > 100 && board.refused > 100 && board.forks > 10 && board.renames > 10,
        || format!("too little happened: {board:?}"),
    )?;
    // A walk that renames disturb 64 times in a row is refused; that must stay an exception.
    ensure(board.spurious * 1000 <= board.granted, || {
        format!("more than one in a thousand granted accesses were refused: {board:?}")
    })
}

#[derive(Debug)]
struct Counts {
    #[allow(dead_code, reason = "shown")]
    attempts: u64,
    read: u64,
    refused: u64,
    violations: u64,
    spurious: u64,
    granted: u64,
    forks: u64,
    renames: u64,
}

/// The counts, and objects that are where they cannot have come by legal moves.
fn run(mode: &str, seconds: u64, processes: usize) -> Check<(Counts, Vec<String>)> {
    process::shell(&format!("mkdir -p {BASE} && mount -t tmpfs none {BASE}"))?;
    let checked = run_mounted(mode, seconds, processes);
    process::shell(&format!("umount -l {BASE}"))?;
    checked
}

fn grant(mode: &str) -> String {
    format!(
        "version = 1\nname = \"stress\"\nmode = \"{mode}\"\n\
         [[file]]\nid = \"open\"\nallow = [\"all\"]\npath = [\"{BASE}/open/**\"]\n\
         [[file]]\nid = \"driver\"\nallow = [\"read\", \"exec\"]\npath = [\"{BASE}/driver\"]\n\
         [[file]]\nid = \"board\"\nallow = [\"read\", \"write\"]\npath = [\"{BASE}/board\"]\n"
    )
}

fn run_mounted(mode: &str, seconds: u64, processes: usize) -> Check<(Counts, Vec<String>)> {
    let make = |path: String| fs::create_dir_all(&path).doing(&format!("make {path}"));
    for index in 0..CROSSING {
        make(format!("{BASE}/open/crossing-{index}/deep"))?;
        fs::write(format!("{BASE}/open/crossing-{index}/deep/file"), "secret").doing("write")?;
    }
    for index in 0..WITHIN {
        for side in ["open/always", "closed/never"] {
            make(format!("{BASE}/{side}-{index}/deep"))?;
            fs::write(format!("{BASE}/{side}-{index}/deep/file"), "secret").doing("write")?;
        }
    }
    fs::copy("/proc/self/exe", format!("{BASE}/driver")).doing("copy the driver")?;
    let grant_path = format!("{BASE}/grant.toml");
    fs::write(&grant_path, grant(mode)).doing("write the grant")?;
    let path = format!("{BASE}/board");
    let board = board(&path).doing("map the board")?;
    board
        .is_open
        .iter()
        .for_each(|place| place.store(1, SeqCst));
    let movers = [0, 1].map(|parity| std::thread::spawn(move || move_across(board, parity)));
    let words = [
        format!("{BASE}/driver"),
        "stress".into(),
        seconds.to_string(),
        processes.to_string(),
    ];
    let ended = Launch::grant(&grant_path).run(&words);
    board.stop.store(1, SeqCst);
    for mover in movers {
        mover
            .join()
            .map_err(|_| "a mover panicked")?
            .doing("move a directory")?;
    }
    let ended = ended?;
    ensure(ended.code == 0, || {
        format!("the session ended with {}: {}", ended.code, ended.tail())
    })?;
    let counts = Counts {
        attempts: board.attempts.load(SeqCst),
        read: board.read.load(SeqCst),
        refused: board.refused.load(SeqCst),
        violations: board.violations.load(SeqCst),
        spurious: board.spurious.load(SeqCst),
        granted: board.granted.load(SeqCst),
        forks: board.forks.load(SeqCst),
        renames: board.renames.load(SeqCst),
    };
    Ok((counts, misplaced(board)))
}

/// Objects that are not where the moves left them.
fn misplaced(board: &Board) -> Vec<String> {
    let mut misplaced = Vec::new();
    for entry in fs::read_dir(format!("{BASE}/open"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("never") || name.starts_with("stolen") {
            misplaced.push(format!("open/{name}"));
        }
    }
    for index in 0..CROSSING {
        let open = board.is_open[index].load(SeqCst) == 1;
        let side = if open { "open" } else { "closed" };
        if !Path::new(&format!("{BASE}/{side}/crossing-{index}")).exists() {
            misplaced.push(format!("crossing-{index} is not in {side}"));
        }
    }
    for entry in fs::read_dir(format!("{BASE}/closed"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("always") || name.starts_with("taken") {
            misplaced.push(format!("closed/{name}"));
        }
    }
    misplaced
}

/// Unconfined: moves every second crossing directory between the sides, and what is closed within
/// `closed/`, until it is told to stop.
fn move_across(board: &Board, parity: usize) -> std::io::Result<()> {
    let mut round = 0_usize;
    while board.stop.load(SeqCst) == 0 {
        let index = (round * 2 + parity) % CROSSING;
        let (open, closed) = (
            format!("{BASE}/open/crossing-{index}"),
            format!("{BASE}/closed/crossing-{index}"),
        );
        let to_closed = board.is_open[index].load(SeqCst) == 1;
        board.moves[index].fetch_add(1, SeqCst);
        if to_closed {
            fs::rename(&open, &closed)?;
            board.is_open[index].store(0, SeqCst);
        } else {
            board.is_open[index].store(1, SeqCst);
            fs::rename(&closed, &open)?;
        }
        board.moves[index].fetch_add(1, SeqCst);
        // And the directory above the secret, within the closed side.
        let at = (round / 2 * 2 + parity) % WITHIN;
        let (from, to) = (
            format!("{BASE}/closed/never-{at}/deep"),
            format!("{BASE}/closed/never-{at}/deeper"),
        );
        let _ = if round.is_multiple_of(2) {
            fs::rename(&from, &to)
        } else {
            fs::rename(&to, &from)
        };
        round += 1;
        if round.is_multiple_of(16) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(())
}

/// `bailiff-scenarios stress SECONDS PROCESSES`, inside the session.
pub(crate) fn confined(seconds: &str, processes: &str) -> std::io::Result<()> {
    let board = board(&format!("{BASE}/board"))?;
    let until = Instant::now() + Duration::from_secs(seconds.parse().unwrap_or(1));
    let mut children = Vec::new();
    for index in 0..processes.parse::<usize>().unwrap_or(1) {
        // SAFETY: this process has one thread.
        let pid = unsafe { libc::fork() };
        match pid {
            0 => {
                toil(board, index, until);
                // SAFETY: ends the process.
                unsafe { libc::_exit(0) };
            }
            pid if pid > 0 => children.push(pid),
            _ => return Err(std::io::Error::last_os_error()),
        }
    }
    for pid in children {
        // SAFETY: no status is wanted.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
    }
    Ok(())
}

fn toil(board: &Board, index: usize, until: Instant) {
    let mut kept = None;
    let mut round = index;
    while Instant::now() < until {
        round += 1;
        match index % 8 {
            0..=2 => read_crossing(board, round % CROSSING),
            3 => read_by_descriptor(board, round % CROSSING, &mut kept),
            4 => read_within(board, round % WITHIN),
            5 => rename_within(board, index, round),
            6 => try_to_move(board, round),
            _ => fork_and_read(board, round),
        }
    }
}

fn reads(path: &str) -> bool {
    fs::read(path).is_ok_and(|bytes| bytes == b"secret")
}

/// Tries once, and judges by where the directory was before and after.
fn judge(board: &Board, index: usize, attempt: impl FnOnce() -> Option<bool>) {
    let before = (
        board.moves[index].load(SeqCst),
        board.is_open[index].load(SeqCst),
    );
    let Some(read) = attempt() else { return };
    let after = (
        board.moves[index].load(SeqCst),
        board.is_open[index].load(SeqCst),
    );
    count(board, read);
    if before != after || before.0 % 2 == 1 {
        return;
    }
    if before.1 == 0 && read {
        board.violations.fetch_add(1, SeqCst);
    }
}

fn count(board: &Board, read: bool) {
    board.attempts.fetch_add(1, SeqCst);
    if read { &board.read } else { &board.refused }.fetch_add(1, SeqCst);
}

/// By both names: one of them does not exist, or is where it must not be read.
fn read_crossing(board: &Board, index: usize) {
    judge(board, index, || {
        Some(reads(&format!("{BASE}/closed/crossing-{index}/deep/file")))
    });
    judge(board, index, || {
        Some(reads(&format!("{BASE}/open/crossing-{index}/deep/file")))
    });
}

/// Relative to a directory that was opened while it was granted: its path is another now.
fn read_by_descriptor(board: &Board, index: usize, kept: &mut Option<(usize, fs::File)>) {
    if let Some((index, dir)) = kept.as_ref() {
        let (index, fd) = (*index, dir.as_raw_fd());
        for _ in 0..32 {
            judge(board, index, || {
                Some(reads(&format!("/proc/self/fd/{fd}/file")) || reads_at(fd))
            });
        }
    }
    if let Ok(dir) = fs::File::open(format!("{BASE}/open/crossing-{index}/deep")) {
        *kept = Some((index, dir));
    }
}

fn reads_at(dir: i32) -> bool {
    let name = CString::from(c"file");
    // SAFETY: a NUL-terminated string.
    let fd = unsafe { libc::openat(dir, name.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if fd >= 0 {
        // SAFETY: a descriptor that was just opened.
        unsafe { libc::close(fd) };
    }
    fd >= 0
}

/// Files that never cross: the closed ones must not be read, the open ones must.
fn read_within(board: &Board, index: usize) {
    for name in ["deep", "deeper"] {
        let read = reads(&format!("{BASE}/closed/never-{index}/{name}/file"));
        count(board, read);
        if read {
            board.violations.fetch_add(1, SeqCst);
        }
    }
    let path = format!("{BASE}/open/always-{index}/deep/file");
    let read = fs::File::open(path);
    count(board, read.is_ok());
    board.granted.fetch_add(1, SeqCst);
    if read.is_err_and(|error| error.raw_os_error() == Some(libc::EACCES)) {
        board.spurious.fetch_add(1, SeqCst);
    }
}

/// Legal renames: of directories of its own within the open side.
fn rename_within(board: &Board, index: usize, round: usize) {
    let (one, two) = (
        format!("{BASE}/open/own-{index}"),
        format!("{BASE}/open/other-{index}"),
    );
    let _ = fs::create_dir_all(format!("{one}/a/b"));
    let _ = fs::write(format!("{one}/a/b/file-{}", round % 4), "own");
    if fs::rename(&one, &two).is_ok() && fs::rename(&two, &one).is_ok() {
        board.renames.fetch_add(2, SeqCst);
    }
}

/// Illegal renames, exchanges and links, in both directions.
fn try_to_move(board: &Board, round: usize) {
    let index = round % WITHIN;
    let renamed = [
        rename(
            &format!("closed/never-{index}"),
            &format!("open/never-{index}"),
            0,
        ),
        rename(&format!("closed/never-{index}/deep/file"), "open/stolen", 0),
        rename(
            &format!("open/always-{index}"),
            &format!("closed/always-{index}"),
            0,
        ),
        rename(
            &format!("open/always-{index}"),
            &format!("closed/never-{index}"),
            2,
        ),
        fs::hard_link(
            format!("{BASE}/closed/never-{index}/deep/file"),
            format!("{BASE}/open/stolen-{round}"),
        )
        .is_ok(),
    ];
    for moved in renamed {
        count(board, false);
        if moved {
            board.violations.fetch_add(1, SeqCst);
        }
    }
}

fn rename(from: &str, to: &str, flags: u32) -> bool {
    let path = |name: &str| CString::new(format!("{BASE}/{name}")).unwrap_or_default();
    let (from, to) = (path(from), path(to));
    // SAFETY: NUL-terminated strings.
    unsafe {
        libc::renameat2(
            libc::AT_FDCWD,
            from.as_ptr(),
            libc::AT_FDCWD,
            to.as_ptr(),
            flags,
        ) == 0
    }
}

/// A child, and its child, have what their parent has.
fn fork_and_read(board: &Board, round: usize) {
    // SAFETY: this process has one thread.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: as above.
        if unsafe { libc::fork() } == 0 {
            read_within(board, round % WITHIN);
            read_crossing(board, round % CROSSING);
        }
        // SAFETY: ends the process; a grandchild is reaped by whoever reaps orphans.
        unsafe { libc::_exit(0) };
    }
    if pid > 0 {
        board.forks.fetch_add(1, SeqCst);
        // SAFETY: no status is wanted.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
    }
}
