//! Which process is the daemon, which no session may signal, limit or slow down, whatever its grant says:
//! while it is held up nothing is recorded, and nobody can stop a session.
//!
//! It says so itself (`Act::Claim` of the census). Known by its number and the time of its birth, which no
//! other process has both of: what is left in the map by one that ended stands for nobody.

use agent_abi::{Label, daemon::DaemonProcess};

use crate::{
    address::Address,
    kernel::{TASK_GROUP_LEADER, TASK_REAL_PARENT, TASK_STARTED, TASK_TGID, Task, load},
    maps::{DAEMON, LABELS},
    subject::current_task,
};

/// Whether a task is the daemon's: its own, that of a process that it started, or one of its self-test.
#[inline(always)]
pub fn owns(task: Address) -> bool {
    is(task) || is(task.member(&TASK_REAL_PARENT).follow()) || is_tested(task)
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

/// Slot 0 is that of the self-test's label, and no session's.
#[inline(always)]
fn is_tested(task: Address) -> bool {
    let leader = task.member(&TASK_GROUP_LEADER).follow();
    let label = Label::from_bits(LABELS.find(leader));
    label.is_some() && label.slot == 0
}

/// Makes the current process the daemon.
#[inline(never)]
pub fn claim() -> i32 {
    // SAFETY: `current` is a valid task, and so is its leader.
    let process = unsafe {
        let leader: *const Task = load(current_task(), &TASK_GROUP_LEADER);
        DaemonProcess {
            started: load(leader, &TASK_STARTED),
            pid: load(leader, &TASK_TGID),
            reserved: 0,
        }
    };
    if let Some(daemon) = DAEMON.get_ptr_mut(0) {
        // SAFETY: a live map value. A hook that sees half of it takes nobody for the daemon.
        unsafe { daemon.write(process) };
    }
    0
}
