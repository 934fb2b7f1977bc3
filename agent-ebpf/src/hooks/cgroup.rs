//! Cgroups: which are tagged when they appear, who enters them, and when they are gone.
//!
//! | hook | does |
//! |---|---|
//! | `tp_btf/cgroup_mkdir` | tags a cgroup that an attachment names, before anybody can be in it |
//! | `tp_btf/cgroup_attach_task` | labels whoever enters a tagged cgroup |
//! | `tp_btf/cgroup_rmdir` | takes the tag from a cgroup that is gone, and tells the daemon |
//!
//! Hierarchies of cgroup v1 have ids of their own, which are other cgroups' here: they are passed by.

use agent_abi::{
    Event, EventKind,
    attachment::{Attachments, MAX_CGROUP_PATH},
    ledger::NO_RULE,
};
use aya_ebpf::{
    helpers::generated::{bpf_ktime_get_boot_ns, bpf_probe_read_kernel_str},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};

use super::label::carry;
use crate::{
    kernel::{
        CGROUP_ROOT, CGROUP_ROOT_HIERARCHY, Cgroup, CgroupRoot, TASK_GROUP_LEADER, Task, load,
    },
    maps::{ATTACHMENTS, CGROUP_PATH, CGROUPS},
    membership::{cgroup_of, held_by, id_of, tag_of, unsettle},
    notice::{notify, tell},
};

/// Whether it is one of cgroup v2, whose hierarchy has the number 0 (`cgroup_init()`; `0::` in
/// `/proc/PID/cgroup`).
#[inline(always)]
fn is_default(cgroup: *const Cgroup) -> bool {
    // SAFETY: a live cgroup, which has a root.
    let hierarchy: u32 = unsafe {
        let root: *const CgroupRoot = load(cgroup, &CGROUP_ROOT);
        load(root, &CGROUP_ROOT_HIERARCHY)
    };
    hierarchy == 0
}

/// `void cgroup_mkdir(struct cgroup *, const char *path)`: when it is whole and nobody can see it yet
/// (`kernfs_activate()` in `cgroup_mkdir()` comes after), so nobody is in it. `cgroup_mutex` is held: no two
/// run at once, and none is left out because another was preempted.
#[btf_tracepoint(function = "cgroup_mkdir")]
fn cgroup_mkdir(ctx: BtfTracePointContext) -> i32 {
    let cgroup: *const Cgroup = ctx.arg(0);
    let path: u64 = ctx.arg(1);
    let Some(attachments) = ATTACHMENTS.get_value(0, &0) else {
        return 0;
    };
    if !is_default(cgroup) {
        return 0;
    }
    let state = run(attachments, path);
    let label = attachments.label(state);
    // Who is below a tagged cgroup is in that one's session.
    if !label.is_some() || tag_of(cgroup).is_some() {
        return 0;
    }
    let id = id_of(cgroup);
    if CGROUPS.insert(&id, &label, 0).is_err() {
        return unsettle();
    }
    let event = Event {
        // SAFETY: a helper without preconditions.
        time: unsafe { bpf_ktime_get_boot_ns() },
        cgroup: id,
        generation: label.generation,
        rule: NO_RULE,
        kind: EventKind::CgroupCame as u8,
        ..Event::default()
    };
    notify(&event);
    0
}

/// Where a path leads. A path that does not fit, or cannot be read, leads nowhere.
#[inline(always)]
fn run(attachments: &Attachments, path: u64) -> u32 {
    /// A state that is none's, in every automaton: see [`Attachments`].
    const NOWHERE: u32 = 0;
    let Some(buffer) = CGROUP_PATH.get_ptr_mut(0) else {
        return NOWHERE;
    };
    // SAFETY: a live map value of that size, written by nobody else meanwhile; the helper checks the address.
    let length = unsafe {
        bpf_probe_read_kernel_str(buffer.cast(), MAX_CGROUP_PATH as u32, path as *const _)
    };
    if length <= 0 || length >= MAX_CGROUP_PATH as i64 {
        return NOWHERE;
    }
    let mut state = attachments.start;
    for place in 0..MAX_CGROUP_PATH {
        // SAFETY: within the live map value.
        let byte = unsafe { buffer.cast::<u8>().add(place).read_volatile() };
        if byte == 0 {
            break;
        }
        state = attachments.step(state, byte);
    }
    state
}

/// `void cgroup_attach_task(struct cgroup *, const char *path, struct task_struct *, bool group)`,
/// after the move. Leaving a tagged cgroup changes nothing: labels are sticky.
#[btf_tracepoint(function = "cgroup_attach_task")]
fn cgroup_attach_task(ctx: BtfTracePointContext) -> i32 {
    let task: *const Task = ctx.arg(2);
    // Where it is in cgroup v2, whatever hierarchy it was moved in.
    let label = tag_of(cgroup_of(task));
    if !label.is_some() {
        return 0;
    }
    // SAFETY: the tracepoint's argument is a live task.
    let leader: *const Task = unsafe { load(task, &TASK_GROUP_LEADER) };
    if held_by(leader).is_some() {
        return 0;
    }
    carry(leader, label)
}

/// `void cgroup_rmdir(struct cgroup *, const char *path)`: nobody is in it, and nobody comes any more.
#[btf_tracepoint(function = "cgroup_rmdir")]
fn cgroup_rmdir(ctx: BtfTracePointContext) -> i32 {
    let cgroup: *const Cgroup = ctx.arg(0);
    let id = id_of(cgroup);
    if is_default(cgroup) && CGROUPS.remove(&id).is_ok() {
        tell(EventKind::CgroupGone, id);
    }
    0
}
