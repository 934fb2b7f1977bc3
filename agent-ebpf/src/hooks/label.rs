//! Labels: who belongs to a session.
//!
//! | hook | does |
//! |---|---|
//! | `lsm/task_alloc` | copies the label to every new task; refuses birth into another cgroup (`cgroup.enter`) |
//! | `tp_btf/cgroup_attach_task` | labels whoever enters a tagged cgroup |
//! | `lsm/sb_delete` | forgets a filesystem that goes away, and tells the daemon |

use agent_abi::{Event, EventKind, Reason, Right, event::Detail, ledger::NO_RULE};
use aya_ebpf::{
    helpers::generated::{bpf_ktime_get_boot_ns, bpf_ringbuf_output},
    macros::{btf_tracepoint, lsm},
    programs::{BtfTracePointContext, LsmContext},
};

use crate::{
    decide::{ENOMEM, EPERM, refuse},
    event::count_drop,
    kernel::{Cgroup, SB_DEV, SuperBlock, TASK_GROUP_LEADER, Task, load},
    maps::{EVENTS, LABELS, OWN, SUPERBLOCKS},
    subject::{guard, tag_of},
    walk::superblock_number,
};

/// `CLONE_INTO_CGROUP`, the one clone flag above 32 bits that hooks see.
const CLONE_INTO_CGROUP: u64 = 1 << 33;

/// The child's cgroup is not to be trusted here: it is still the initial one.
#[lsm(hook = "task_alloc")]
fn task_alloc(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        let child: *const Task = ctx.arg(0);
        let flags: u64 = ctx.arg(1);
        if flags & CLONE_INTO_CGROUP != 0 {
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
        match LABELS.get_or_create(child) {
            Some(label) => {
                // SAFETY: a live map value of the child, which does not run yet.
                unsafe { *label = subject.label };
                0
            }
            None => -ENOMEM,
        }
    })
}

/// `void cgroup_attach_task(struct cgroup *, const char *path, struct task_struct *, bool group)`,
/// after the move. Leaving a tagged cgroup changes nothing: labels are sticky.
#[btf_tracepoint(function = "cgroup_attach_task")]
fn cgroup_attach_task(ctx: BtfTracePointContext) -> i32 {
    let cgroup: *const Cgroup = ctx.arg(0);
    let task: *const Task = ctx.arg(2);
    let label = tag_of(cgroup);
    if label.generation == 0 {
        return 0;
    }
    // SAFETY: the tracepoint's argument is a live task.
    let leader: *const Task = unsafe { load(task, &TASK_GROUP_LEADER) };
    match LABELS.get_or_create(leader) {
        // SAFETY: a live map value. A task that has a label keeps it: no session takes a task
        // from another.
        Some(current) => unsafe {
            if (*current).generation == 0 {
                *current = label;
            }
        },
        // The daemon looks at every member of the cgroup again and labels it, or ends it.
        None => count_drop(),
    }
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
    // SAFETY: the map and a live local of that size.
    let sent = unsafe {
        bpf_ringbuf_output(
            (&raw const EVENTS).cast_mut().cast(),
            (&raw const event).cast_mut().cast(),
            size_of::<Event>() as u64,
            0,
        )
    };
    if sent != 0 {
        count_drop();
    }
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
