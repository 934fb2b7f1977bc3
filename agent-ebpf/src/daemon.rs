//! Which process is the daemon, which no session may signal, limit or slow down, whatever its grant says:
//! while it is held up nothing is recorded, and nobody can stop a session.
//!
//! It says so itself (`Act::Claim` of the census). Known by its number and the time of its birth, which no
//! other process has both of: what is left in the map by one that ended stands for nobody. The next one is known
//! by its program, until it has said so too.

use agent_abi::{Label, arrival::ATTENDED_BY, daemon::DaemonProcess};

use crate::{
    address::Address,
    forking,
    kernel::{
        TASK_FLAGS, TASK_GROUP_LEADER, TASK_REAL_PARENT, TASK_STARTED, TASK_TGID, Task, load,
    },
    maps::{ATTENDED, DAEMON},
    program,
    subject::current_task,
};

/// `PF_EXITING` in `task_struct::flags`
const EXITING: u32 = 4;

/// Whether a task is the daemon's: its own, that of a process that it started, one of its self-test, or one
/// outside of sessions that runs its program. Or the host's first process: by signals that mean so to it, or
/// for lack of what limits take from it, that ends the daemon and starts no other.
#[inline(always)]
pub(crate) fn owns(task: Address) -> bool {
    is(task)
        || is(task.member(&TASK_REAL_PARENT).follow())
        || is_first(task)
        || is_its_test_or_its_next(task)
}

#[inline(always)]
fn is_first(task: Address) -> bool {
    task.member(&TASK_TGID).read() as u32 == 1
}

#[inline(always)]
fn is(task: Address) -> bool {
    let Some(daemon) = DAEMON.get_ptr(0) else {
        return false;
    };
    // SAFETY: a live map value.
    let (pid, started) = unsafe { ((*daemon).pid, (*daemon).started) };
    let leader = task.member(&TASK_GROUP_LEADER).follow();
    let number = task.member(&TASK_TGID).read() as u32;
    // The kernel's own tasks have 0 for both.
    started != 0 && number == pid && leader.member(&TASK_STARTED).read() == started
}

/// What a session runs is no daemon.
#[inline(always)]
fn is_its_test_or_its_next(task: Address) -> bool {
    let leader = task.member(&TASK_GROUP_LEADER).follow();
    let label = Label::from_bits(forking::find(leader));
    if label.is_some() {
        label == Label::SELF_TEST
    } else {
        runs_its_program(task)
    }
}

#[inline(always)]
fn runs_its_program(task: Address) -> bool {
    let Some(daemon) = DAEMON.get_ptr(0) else {
        return false;
    };
    // SAFETY: a live map value.
    let known = unsafe { ((*daemon).program_dev, (*daemon).program_inode) };
    known.1 != 0 && program::of_task(task) == known
}

/// Whether the daemon's process has not ended. Its place in memory may be another's by now, or nobody's: number
/// and birth tell.
#[inline(always)]
pub(crate) fn lives() -> bool {
    let Some(place) = ATTENDED.get_ptr(ATTENDED_BY) else {
        return false;
    };
    // SAFETY: a live map value, aligned to its size.
    let task = Address::at(unsafe { place.read_volatile() });
    !task.is_null() && is(task) && task.member(&TASK_FLAGS).read() as u32 & EXITING == 0
}

/// Makes the current process the daemon.
#[inline(never)]
pub(crate) fn claim() -> i32 {
    let (program_dev, program_inode) = program::of_task(Address::of(current_task()));
    // SAFETY: `current` is a valid task, and so is its leader.
    let process = unsafe {
        let leader: *const Task = load(current_task(), &TASK_GROUP_LEADER);
        DaemonProcess {
            started: load(leader, &TASK_STARTED),
            pid: load(leader, &TASK_TGID),
            program_dev,
            program_inode,
        }
    };
    // SAFETY: `current` is a valid task.
    let leader: *const Task = unsafe { load(current_task(), &TASK_GROUP_LEADER) };
    if let Some(place) = ATTENDED.get_ptr_mut(ATTENDED_BY) {
        // SAFETY: a live map value, aligned to its size.
        unsafe { place.write_volatile(leader as u64) };
    }
    if let Some(daemon) = DAEMON.get_ptr_mut(0) {
        // SAFETY: a live map value. A hook that sees half of it takes nobody for the daemon.
        unsafe { daemon.write(process) };
    }
    0
}
