//! Labels: who belongs to a session.
//!
//! | hook | does |
//! |---|---|
//! | `lsm/task_alloc` | refuses birth into another cgroup (`cgroup.enter`); makes room for the label of a session's child |
//! | `tp_btf/task_newtask` | settles the label of every new task, before it runs |
//! | `iter/task` | labels, frees or lists every task, for the daemon |
//! | `fentry`, `fexit/copy_process` | where failed forks free storage: keep the label elsewhere meanwhile |
//! | `lsm/task_free` | forgets what was kept |
//! | `lsm/sb_delete` | forgets a filesystem that goes away, and tells the daemon |

use core::{arch::asm, ffi::c_void};

use agent_abi::{
    Event, EventKind, Label, Reason, Right,
    census::{Act, Census, Member},
    event::Detail,
    ledger::NO_RULE,
};
use aya_ebpf::{
    helpers::generated::{bpf_ktime_get_boot_ns, bpf_seq_write},
    macros::{btf_tracepoint, fentry, fexit, lsm},
    programs::{BtfTracePointContext, FEntryContext, FExitContext, LsmContext},
};

use crate::{
    address::Address,
    daemon,
    decide::{ENOMEM, EPERM, refuse},
    forking,
    kernel::{
        ITER_META_SEQ, IterMeta, LocalStorage, SB_DEV, SIGNAL_LIVE, SeqFile, Signals, SuperBlock,
        TASK_BPF_STORAGE, TASK_FLAGS, TASK_GROUP_LEADER, TASK_PID, TASK_SIGNAL, TASK_TGID, Task,
        forks_free_storage, load,
    },
    maps::{CENSUS, LABELS, OWN, SCRATCH, SUPERBLOCKS},
    membership::{cgroup_of, held_by, holding, id_of, is_tagging, is_unsettled, tag_of, unsettle},
    notice::notify,
    subject::{Armed, current_task, guard_armed, is_armed},
    walk::superblock_number,
};

/// `CLONE_INTO_CGROUP`, the one clone flag above 32 bits that hooks see.
const CLONE_INTO_CGROUP: u64 = 1 << 33;

/// `PF_EXITING` in `task_struct::flags`
const EXITING: u32 = 4;

/// Who is armed has children as well.
struct AtBirth;

impl Armed for AtBirth {
    #[inline(always)]
    fn is_judged(_: &LsmContext) -> bool {
        true
    }
}

/// The child's cgroup is not to be trusted here: it is still the initial one. Nor is its parent's label:
/// between here and [`task_newtask`], where it gets its own, the parent's memory is copied, and the parent
/// may be set free, its session's slot even be used again. So what is given here is provisional. But a
/// hook of the LSM is never left out, and a tracepoint is where another task was preempted in the same
/// program (from 7.0 on tracepoints are preemptible, and `__bpf_trace_run()` takes it for recursion). Who
/// misses it keeps the parent's label; who is born into a cgroup from outside is looked at when it acts.
#[lsm(hook = "task_alloc")]
fn task_alloc(ctx: LsmContext) -> i32 {
    let child: *const Task = ctx.arg(0);
    let flags: u64 = ctx.arg(1);
    if flags & CLONE_INTO_CGROUP != 0 {
        // One of a session's is refused below; for want of room there is the tracepoint.
        LABELS.give_newborn(child, Label::NONE.bits());
    }
    guard_armed::<AtBirth>(
        &ctx,
        |_, _| 0,
        |_| false,
        |subject, ctx| {
            let child: *const Task = ctx.arg(0);
            let flags: u64 = ctx.arg(1);
            let armed = is_armed(subject);
            if flags & CLONE_INTO_CGROUP != 0 && !armed {
                let detail = Detail {
                    words: [0; 2],
                    extra: 0,
                };
                let reason = Reason::SelfProtection;
                let result = refuse(subject, Right::CgroupEnter, reason, NO_RULE, detail, EPERM);
                if result != 0 {
                    return result;
                }
            }
            let label = if armed {
                subject.label.armed()
            } else {
                subject.label
            };
            if LABELS.give_newborn(child, label.newborn_bits()) {
                0
            } else {
                -ENOMEM
            }
        },
    )
}

/// `void task_newtask(struct task_struct *, unsigned long clone_flags)`: after `cgroup_post_fork()`,
/// when everybody can see the child, and before it runs (`copy_process()`).
///
/// A child is labelled whose parent is, or whose cgroup is tagged. A tag is in force before the daemon
/// looks at everybody: so it is seen here, or the child is seen there.
#[btf_tracepoint(function = "task_newtask")]
fn task_newtask(ctx: BtfTracePointContext) -> i32 {
    let child: *const Task = ctx.arg(0);
    let flags: u64 = ctx.arg(1);
    // First: what was settled before is seen after it.
    let unsettled = is_unsettled();
    // SAFETY: `current` and the tracepoint's argument are live tasks.
    let (leader, stored, given): (*const Task, *const LocalStorage, *const LocalStorage) = unsafe {
        let leader: *const Task = load(current_task(), &TASK_GROUP_LEADER);
        (
            leader,
            load(leader, &TASK_BPF_STORAGE),
            load(child, &TASK_BPF_STORAGE),
        )
    };
    if unsettled || flags & CLONE_INTO_CGROUP != 0 || has_storage(stored) || has_storage(given) {
        return settle_child(child, leader);
    }
    0
}

/// Whether the pointer to a task's storage is not NULL. Not told to LLVM as a comparison, which it would
/// join to others by an arithmetic that verifiers refuse for pointers.
#[inline(always)]
fn has_storage(storage: *const LocalStorage) -> bool {
    // SAFETY: a jump, and to nowhere but the block.
    unsafe {
        asm!("if {storage} != 0 goto {has}", storage = in(reg) storage, has = label {
            return true;
        }, options(nomem, nostack, preserves_flags));
    }
    false
}

#[inline(never)]
fn settle_child(child: *const Task, parent: *const Task) -> i32 {
    // SAFETY: a live task. A process leads itself; a thread belongs to its parent's process.
    let leader: *const Task = unsafe { load(child, &TASK_GROUP_LEADER) };
    if !Label::is_newborn(LABELS.bits(leader)) {
        let held = held_by(leader);
        if held.is_some() {
            // A process: it was moved, or looked at, since it can be seen. A thread: its process's.
            return carry(child, held);
        }
    }
    let mut label = held_by(parent);
    if !label.is_some() {
        label = tag_of(cgroup_of(child));
    }
    if !label.is_some() {
        LABELS.delete(child);
        return 0;
    }
    carry(leader, label);
    carry(child, label)
}

#[inline(always)]
pub(super) fn carry(task: *const Task, label: Label) -> i32 {
    let given = if label.is_armed() {
        arm(task, label)
    } else {
        LABELS.give_newborn(task, label.bits())
    };
    if !given {
        unsettle();
    }
    0
}

/// Gives an armed label to a task that holds none, or is being born.
#[inline(never)]
fn arm(task: *const Task, label: Label) -> bool {
    let seen = LABELS.bits(task);
    if !Label::is_newborn(seen) && holding(seen).is_some() {
        return true;
    }
    LABELS.give_over(task, seen, label)
}

/// `struct bpf_iter__task`, which the iterator is called with.
#[repr(C)]
struct TaskIteration {
    meta: *const IterMeta,
    /// NULL after the last.
    task: *const Task,
}

/// Called for every thread of the daemon's pid namespace, in the order of their ids.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
fn census(ctx: *mut c_void) -> i32 {
    let ctx = ctx.cast::<TaskIteration>();
    // SAFETY: the context of this kind of program.
    let task = unsafe { (*ctx).task };
    if task.is_null() {
        return 0;
    }
    let Some(census) = CENSUS.get_ptr_mut(0) else {
        return 0;
    };
    // SAFETY: a live map value; one daemon takes a census at a time. A live task.
    let (act, leader) = unsafe { ((*census).act, load(task, &TASK_GROUP_LEADER)) };
    if act == Act::Settle as u32 {
        settle(census, task, leader)
    } else if act == Act::Clear as u32 {
        clear(census, task)
    } else if act == Act::Claim as u32 {
        daemon::claim()
    } else {
        // SAFETY: as above.
        let meta = unsafe { (*ctx).meta };
        list(meta, task, leader)
    }
}

/// The same for one task that the daemon asks for while others are counted, to be listed.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
fn whose(ctx: *mut c_void) -> i32 {
    let ctx = ctx.cast::<TaskIteration>();
    // SAFETY: the context of this kind of program, and a live task unless NULL.
    unsafe {
        let (meta, task) = ((*ctx).meta, (*ctx).task);
        if task.is_null() {
            return 0;
        }
        list(meta, task, load(task, &TASK_GROUP_LEADER))
    }
}

#[inline(never)]
fn settle(census: *mut Census, task: *const Task, leader: *const Task) -> i32 {
    let seen = LABELS.bits(leader);
    let mut label = held_by(leader);
    let is_new = !label.is_some();
    if is_new {
        label = tag_of(cgroup_of(task));
        // Who was missed when it came may have executed its program since.
        if !is_tagging(label) {
            label = label.in_force();
        }
    }
    if !label.is_some() {
        return 0;
    }
    let mut given = true;
    if is_new {
        given = LABELS.give_over(leader, seen, label);
    }
    // Where forks free storage, a thread has none before it executes.
    if task != leader && !forks_free_storage() {
        // Of a thread it counts for nothing before an `execve`, which copies the leader's first. One that
        // executes just now must not be armed again.
        let own = LABELS.bits(task);
        if Label::from_bits(own) != label {
            given &= LABELS.give_over(task, own, label);
        }
    }
    // SAFETY: the census's map value.
    unsafe {
        if !given {
            (*census).failed = (*census).failed.wrapping_add(1);
        } else if is_new {
            (*census).changed = (*census).changed.wrapping_add(1);
        }
    }
    0
}

#[inline(never)]
fn clear(census: *mut Census, task: *const Task) -> i32 {
    let own = forking::label_of(task).in_force();
    // SAFETY: the census's map value.
    unsafe {
        if !own.is_some() || own != (*census).label {
            return 0;
        }
        (*census).changed = (*census).changed.wrapping_add(1);
    }
    LABELS.delete(task);
    SCRATCH.delete(task);
    forking::set_free(task);
    0
}

#[inline(never)]
fn list(meta: *const IterMeta, task: *const Task, leader: *const Task) -> i32 {
    if has_ended(task, leader) {
        return 0;
    }
    let cgroup = cgroup_of(task);
    // SAFETY: a live task.
    let member = unsafe {
        Member {
            own: forking::label_of(task),
            process: forking::label_of(leader),
            place: tag_of(cgroup),
            cgroup: id_of(cgroup),
            pid: load(task, &TASK_TGID),
            tid: load(task, &TASK_PID),
        }
    };
    if !member.own.is_some() && !member.process.is_some() && !member.place.is_some() {
        return 0;
    }
    // SAFETY: the iterator's own file, and a live local of that size. What does not fit is asked for
    // again.
    unsafe {
        let file: *const SeqFile = load(meta, &ITER_META_SEQ);
        bpf_seq_write(
            file.cast_mut().cast(),
            (&raw const member).cast(),
            size_of::<Member>() as u32,
        );
    }
    0
}

/// Whether nothing of this task runs any more. A leader that ends before its threads stands for the process:
/// one of them may be about to take its place and its number (`de_thread()`), and be found under neither.
#[inline(always)]
fn has_ended(task: *const Task, leader: *const Task) -> bool {
    // SAFETY: a live task, which has signals until it is reaped; those of no address read as zero.
    unsafe {
        let flags: u32 = load(task, &TASK_FLAGS);
        if flags & EXITING == 0 {
            return false;
        }
        let signals: *const Signals = load(task, &TASK_SIGNAL);
        let live: u32 = load(signals, &SIGNAL_LIVE);
        task != leader || live == 0
    }
}

/// `struct task_struct *copy_process(struct pid *, int, int, struct kernel_clone_args *)` (kernel/fork.c), before
/// it: see [`forking`].
#[fentry(function = "copy_process")]
fn copy_process(_ctx: FEntryContext) -> i32 {
    forking::hide(current_task())
}

/// The same again: the kernel leaves a program out where another task was preempted in it
/// (`__bpf_prog_enter_recur()`). Of two one is not running.
#[fentry(function = "copy_process")]
fn copy_process_again(_ctx: FEntryContext) -> i32 {
    forking::hide(current_task())
}

/// After it. Who is left out here is found where its label is kept, until it forks again.
#[fexit(function = "copy_process")]
fn copy_process_done(ctx: FExitContext) -> i32 {
    let copy: *const Task = ctx.arg(4);
    // `IS_ERR()`
    let is_error = Address::of(copy).number() > u64::MAX - 4095;
    forking::show(current_task(), !is_error);
    0
}

/// `void task_free(struct task_struct *)`: of each that [`task_alloc`] saw.
#[lsm(hook = "task_free")]
fn task_free(ctx: LsmContext) -> i32 {
    forking::forget(ctx.arg(0));
    0
}

/// `void sb_delete(struct super_block *)`: before its device number can be used again.
#[lsm(hook = "sb_delete")]
fn sb_delete(ctx: LsmContext) -> i32 {
    let superblock: *const SuperBlock = ctx.arg(0);
    // SAFETY: the hook's argument.
    let dev: u32 = unsafe { load(superblock, &SB_DEV) };
    let _ = OWN.remove(&dev);
    let Some(instance) = forget(dev) else {
        return 0;
    };
    let event = Event {
        // SAFETY: a helper without preconditions.
        time: unsafe { bpf_ktime_get_boot_ns() },
        dev,
        rule: NO_RULE,
        kind: EventKind::SuperblockGone as u8,
        detail: Detail {
            words: [u64::from(instance), 0],
            extra: 0,
        },
        ..Event::default()
    };
    notify(&event);
    0
}

/// Takes its number from a filesystem that has one; its instance.
#[inline(always)]
fn forget(dev: u32) -> Option<u32> {
    let number = superblock_number(dev)?;
    let owner = SUPERBLOCKS.get_ptr_mut(number)?;
    // SAFETY: a live map value, which hooks read word by word.
    unsafe {
        let instance = (*owner).instance;
        (*owner).dev = 0;
        (*owner).instance = 0;
        Some(instance)
    }
}
