//! Mount namespaces that a process comes to with an armed label.
//!
//! A service, a container has filesystems of its own, of which the session knows none. So before its label
//! takes force the process stops, until the daemon has found names for them and lets it go on: the `execve`
//! ends before its point of no return, and the kernel begins it again by itself. Nothing of it is seen by the
//! program, and the label is armed until then.
//!
//! Nobody waits for a daemon that is not there, and who waits in vain is refused what has no name.

use agent_abi::{
    EventKind,
    arrival::{
        ATTENDED_AT, BY_NUMBER, BY_SEQUENCE, PASSED, PASSES, PASSES_WITH_COPY, PATIENCE, STOPPED,
        STOPPING, Viewed, Waiting,
    },
};
use aya_ebpf::helpers::generated::{bpf_ktime_get_ns, bpf_send_signal};

use crate::{
    daemon,
    kernel::{
        MOUNT_NAMESPACE_NUMBER, MOUNT_NAMESPACE_SEQUENCE, MountNamespace, NAMESPACES_MOUNT,
        Namespaces, TASK_NAMESPACES, TASK_TGID, load,
    },
    maps::{ATTENDED, VIEWED, WAITING},
    notice::tell,
    subject::Subject,
};

const SIGSTOP: u32 = 19;
/// The system call is begun again without a word to the process, whatever handlers it has.
const ERESTARTNOINTR: i32 = 513;

/// 0, or what `execve` returns to stop the current process where the daemon has not looked yet.
#[inline(never)]
pub(crate) fn await_names(subject: &Subject) -> i32 {
    if subject.image.is_none() {
        return 0;
    }
    let (sequence, number, process) = whereabouts(subject);
    let generation = subject.label.generation;
    if is_viewed(generation, BY_SEQUENCE, sequence)
        || is_viewed(generation, BY_NUMBER, u64::from(number))
        || !is_attended()
    {
        return 0;
    }
    let waiting = Waiting {
        label: subject.label,
        sequence,
        number,
        stopped: STOPPING,
    };
    stop(process, &waiting)
}

/// The sequence and the number of the current process's mount namespace, and the process.
#[inline(always)]
fn whereabouts(subject: &Subject) -> (u64, u32, u32) {
    // SAFETY: `current` is a valid task, and has namespaces until it exits.
    unsafe {
        let all: *const Namespaces = load(subject.task, &TASK_NAMESPACES);
        let mounts: *const MountNamespace = load(all, &NAMESPACES_MOUNT);
        (
            load(mounts, &MOUNT_NAMESPACE_SEQUENCE),
            load(mounts, &MOUNT_NAMESPACE_NUMBER),
            load(subject.task, &TASK_TGID),
        )
    }
}

/// What the daemon said of what the current process is about to execute.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Passage {
    /// Nothing.
    Unasked = 0,
    /// It executes it with its label armed.
    Open = 1,
    /// It does not: its label takes force.
    Shut = 2,
}

/// Whether the daemon lets the current process execute this with its label armed: once, where it was when it was
/// asked about. `is_interpreter`: of what it executes already.
#[inline(never)]
pub(crate) fn passage(subject: &Subject, is_copy: bool, is_interpreter: bool) -> Passage {
    let (sequence, _, process) = whereabouts(subject);
    let Some(entry) = WAITING.get_ptr_mut(&process) else {
        return Passage::Unasked;
    };
    // SAFETY: a live map value.
    let waiting = unsafe { entry.read_volatile() };
    let is_own = waiting.label == subject.label && waiting.sequence == sequence;
    if !is_own || waiting.stopped < PASSES {
        return Passage::Unasked;
    }
    if is_interpreter && waiting.stopped == PASSED {
        return Passage::Open;
    }
    if is_interpreter || waiting.stopped == PASSED {
        let _ = WAITING.remove(&process);
        return Passage::Unasked;
    }
    // SAFETY: a live map value.
    unsafe { (&raw mut (*entry).stopped).write_volatile(PASSED) };
    if waiting.stopped == PASSES_WITH_COPY && !is_copy {
        return Passage::Shut;
    }
    Passage::Open
}

#[inline(always)]
fn is_viewed(generation: u32, by: u32, id: u64) -> bool {
    let key = Viewed { generation, by, id };
    VIEWED.get_ptr(&key).is_some()
}

/// Whether a daemon looks after who waits.
#[inline(always)]
fn is_attended() -> bool {
    let Some(last) = ATTENDED.get_ptr(ATTENDED_AT) else {
        return false;
    };
    // SAFETY: a live map value, aligned to its size; a helper without preconditions.
    let (last, now) = unsafe { (last.read_volatile(), bpf_ktime_get_ns()) };
    last != 0 && now < last.wrapping_add(PATIENCE) && daemon::lives()
}

/// Written down before, since nobody is stopped for whom there is no room; marked after, since a signal to go
/// on would be lost before the one to stop.
#[inline(always)]
fn stop(process: u32, waiting: &Waiting) -> i32 {
    if WAITING.insert(&process, waiting, 0).is_err() {
        return 0;
    }
    // SAFETY: a helper without preconditions. From the kernel: the first process of a pid namespace stops too.
    if unsafe { bpf_send_signal(SIGSTOP) } != 0 {
        let _ = WAITING.remove(&process);
        return 0;
    }
    match WAITING.get_ptr_mut(&process) {
        // SAFETY: a live map value.
        Some(entry) => unsafe { (&raw mut (*entry).stopped).write_volatile(STOPPED) },
        // Let go by who took it for an earlier stop.
        None => {
            let waiting = Waiting {
                stopped: STOPPED,
                ..*waiting
            };
            let _ = WAITING.insert(&process, &waiting, 0);
        }
    }
    tell(EventKind::Arrival, 0);
    -ERESTARTNOINTR
}
