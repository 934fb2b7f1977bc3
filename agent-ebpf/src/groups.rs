//! Whose a process group is, and who leads a terminal's session (as `setsid` has it; Bailiff's is said
//! to be one).
//!
//! Groups have no owner that a hook could ask, and their numbers come round. So their members are looked
//! at: a group is of one terminal's session, whose processes the kernel keeps in a list.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_loop;

use crate::{
    address::Address,
    daemon, forking,
    kernel::{
        PID_LEVEL, PID_NUMBERS, PID_TASKS, SIGNAL_PIDS, TASK_PID_LINKS, TASK_SIGNAL,
        TASK_THREAD_PID, TTY_GROUP, TTY_SESSION, Task, opaque,
    },
    maps::JOBS,
    subject::Subject,
};

// Places in arrays, by `enum pid_type`: the leader's own, and those of groups and terminal sessions.
/// Of `struct hlist_node`.
const LINK_OF_SESSION: u64 = 3 * 16;
/// Of `struct hlist_head`; that of the leader is the first.
const TASKS_OF_SESSION: u64 = 3 * 8;
/// Of pointers.
const GROUP: u64 = 2 * 8;
const SESSION: u64 = 3 * 8;

/// Size of `struct upid`: a number, and the namespace in which it is that.
const UPID: u64 = 16;
const UPID_NAMESPACE: u64 = 8;

/// Processes of one terminal's session that are looked at; in a larger one no group can be joined.
const MAX_PROCESSES: u32 = 1 << 14;

/// What processes are called in the pid namespace of the current one.
#[derive(Clone, Copy)]
#[repr(C)]
struct Numbers {
    level: u64,
    namespace: u64,
}

impl Numbers {
    #[inline(always)]
    fn of_current(subject: &Subject) -> Self {
        let pid = Address::of(subject.task).member(&TASK_THREAD_PID).follow();
        let level = level_of(pid);
        Self {
            level,
            namespace: upid_of(pid, level).plus(UPID_NAMESPACE).read(),
        }
    }

    /// The number of a `struct pid`; 0 where it has none here.
    #[inline(always)]
    fn of(&self, pid: Address) -> u32 {
        let upid = upid_of(pid, self.level);
        if level_of(pid) < self.level || upid.plus(UPID_NAMESPACE).read() != self.namespace {
            return 0;
        }
        upid.read() as u32
    }
}

#[inline(always)]
fn level_of(pid: Address) -> u64 {
    pid.member(&PID_LEVEL).read() & u64::from(u32::MAX)
}

/// The entry of a level in a `struct pid`.
#[inline(always)]
fn upid_of(pid: Address, level: u64) -> Address {
    pid.member(&PID_NUMBERS).plus(level.wrapping_mul(UPID))
}

/// The number of `task` as the current one knows it.
#[inline(always)]
pub(crate) fn number_of(subject: &Subject, task: *const Task) -> u32 {
    let pid = Address::of(task).member(&TASK_THREAD_PID).follow();
    Numbers::of_current(subject).of(pid)
}

/// The `struct pid` of a task's group or terminal session.
#[inline(always)]
fn pid_of(task: Address, kind: u64) -> Address {
    let signal = task.member(&TASK_SIGNAL).follow();
    signal.member(&SIGNAL_PIDS).plus(kind).follow()
}

/// Whose a process group is.
pub(crate) enum Whose {
    /// A new one, or every process in it is of the current session.
    Own,
    /// Somebody else is in it, or could be.
    Others,
    /// The daemon is in it.
    Daemons,
}

/// Whose the process group with this number is, which is to become that of `task`. For `task_setpgid`,
/// where `tasklist_lock` is held.
#[inline(always)]
pub(crate) fn whose(subject: &Subject, task: *const Task, group: u32) -> Whose {
    if number_of(subject, task) == group {
        return Whose::Own;
    }
    let session = pid_of(Address::of(subject.task), SESSION);
    let tasks = session.member(&PID_TASKS).plus(TASKS_OF_SESSION);
    let mut search = Search {
        node: tasks.follow(),
        numbers: Numbers::of_current(subject),
        label: subject.label.bits(),
        group: u64::from(group),
        others: opaque(0),
        daemons: opaque(0),
    };
    // SAFETY: the callback has the signature that bpf_loop expects, and its context outlives it.
    unsafe {
        bpf_loop(
            MAX_PROCESSES,
            visit as *mut c_void,
            (&raw mut search).cast(),
            0,
        );
    }
    if search.daemons != 0 {
        Whose::Daemons
    } else if search.others != 0 || !search.node.is_null() {
        Whose::Others
    } else {
        Whose::Own
    }
}

#[repr(C)]
struct Search {
    /// Where the next process is linked.
    node: Address,
    numbers: Numbers,
    label: u64,
    group: u64,
    /// 1 once somebody else was found in the group.
    others: u64,
    /// 1 once the daemon was.
    daemons: u64,
}

unsafe extern "C" fn visit(_step: u32, search: *mut Search) -> i64 {
    // SAFETY: `search` is `whose`'s.
    unsafe {
        let node = (*search).node;
        if node.is_null() {
            return 1;
        }
        let task = node.minus(LINK_OF_SESSION).container(&TASK_PID_LINKS);
        let group = (*search).numbers.of(pid_of(task, GROUP));
        if u64::from(group) == (*search).group && forking::find(task) != (*search).label {
            (*search).others = 1;
            if daemon::owns(task) {
                (*search).daemons = 1;
                return 1;
            }
        }
        (*search).node = node.follow();
    }
    0
}

/// Whether the jobs at the current task's terminal are its Bailiff session's own.
#[inline(always)]
pub(crate) fn are_own(subject: &Subject) -> bool {
    is_led(subject, pid_of(Address::of(subject.task), SESSION))
}

/// Whether what the current task does to a terminal concerns nobody but its Bailiff session and who put it
/// in front there: it is no session's terminal, its jobs are the session's own, or the task's group is the
/// one in front. Otherwise the number of that group.
#[inline(always)]
pub(crate) fn is_in_front_of(subject: &Subject, terminal: Address) -> Result<(), u32> {
    let session = terminal.member(&TTY_SESSION).follow();
    let front = terminal.member(&TTY_GROUP).follow();
    let own = pid_of(Address::of(subject.task), GROUP);
    if session.is_null() || own.is(front) || is_led(subject, session) {
        return Ok(());
    }
    Err(upid_of(front, 0).read() as u32)
}

/// Whether who leads a terminal's session is of the Bailiff session, or `bailiff run` made the terminal for
/// it.
#[inline(always)]
fn is_led(subject: &Subject, session: Address) -> bool {
    if let Some(jobs) = JOBS.get(subject.label.slot) {
        let number = upid_of(session, 0).read() as u32;
        if jobs.generation == subject.label.generation && jobs.number == number {
            return true;
        }
    }
    let first = session.member(&PID_TASKS).follow();
    if first.is_null() {
        return false;
    }
    forking::find(first.container(&TASK_PID_LINKS)) == subject.label.bits()
}
