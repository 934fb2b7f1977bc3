//! Who acts: the label of the current task.
//!
//! A thread group has one label, that of its leader. So a process that is labelled from outside
//! is judged in all its threads at once, and none is looked for one by one. Threads carry a copy
//! only because any of them becomes the leader when it calls `execve` (`de_thread()`).

use core::ffi::c_void;

use agent_abi::{
    Image, Label, Surface,
    image::IMAGE_MAGIC,
    limits::{MAX_CGROUP_DEPTH, MAX_SESSIONS},
};
use aya_ebpf::helpers::generated::{bpf_get_current_task_btf, bpf_loop};

use crate::{
    kernel::{
        CGROUP_KERNFS, CGROUP_PARENT_CSS, CSS_CGROUP, CSS_SET_DEFAULT_CGROUP, Cgroup, Css, CssSet,
        KERNFS_ID, KernfsNode, LocalStorage, TASK_BPF_STORAGE, TASK_CGROUPS, TASK_GROUP_LEADER,
        Task, load,
    },
    maps::{CGROUPS, IMAGES, LABELS},
};

/// A labelled task and what its session may do.
pub struct Subject {
    /// The current task.
    pub task: *const Task,
    pub label: Label,
    /// `None`: the session has ended, or the label is in doubt; everything is refused.
    pub image: Option<&'static Image>,
}

impl Subject {
    /// Whether the grant opens this part of the kernel.
    #[inline(always)]
    pub fn may(&self, surface: Surface) -> bool {
        self.image
            .is_some_and(|image| image.header.surface & surface.bit() != 0)
    }

    /// Whether `task` is of the same session.
    #[inline(always)]
    pub fn shares_session_with(&self, task: *const Task) -> bool {
        // SAFETY: `task` is a hook's argument.
        let leader: *const Task = unsafe { load(task, &TASK_GROUP_LEADER) };
        // SAFETY: the value lives as long as the program runs (RCU).
        LABELS
            .get(leader)
            .is_some_and(|label| unsafe { *label } == self.label)
    }
}

#[inline(always)]
pub fn current_task() -> *const Task {
    // SAFETY: no arguments; never NULL.
    unsafe { bpf_get_current_task_btf().cast_const().cast() }
}

/// Runs `judge` if the current task is labelled; 0 (go on) otherwise.
///
/// What the trampoline's earlier programs returned needs no look: the first that refuses ends the
/// chain (`invoke_bpf_mod_ret()` in arch/x86/net/bpf_jit_comp.c), so here it is always 0.
#[inline(always)]
pub fn guard(judge: impl FnOnce(&Subject) -> i32) -> i32 {
    let task = current_task();
    // SAFETY: `current` and its leader are valid tasks.
    let leader: *const Task = unsafe { load(task, &TASK_GROUP_LEADER) };
    // SAFETY: as above. NULL for every task that no program ever gave storage: the price of an
    // unlabelled task ends here.
    let storage: *const LocalStorage = unsafe { load(leader, &TASK_BPF_STORAGE) };
    if storage.is_null() {
        return 0;
    }
    labelled(task, leader, storage, judge)
}

/// A program of its own, so that the one in front of it saves no registers for what an unlabelled
/// task never comes to.
#[inline(never)]
fn labelled(
    task: *const Task,
    leader: *const Task,
    storage: *const LocalStorage,
    judge: impl FnOnce(&Subject) -> i32,
) -> i32 {
    match subject(task, leader, storage) {
        Some(subject) => judge(&subject),
        None => 0,
    }
}

#[inline(always)]
fn subject(
    task: *const Task,
    leader: *const Task,
    storage: *const LocalStorage,
) -> Option<Subject> {
    let label = match LABELS.peek(storage) {
        Some(label) => label,
        None => match LABELS.get(leader) {
            // SAFETY: the value lives as long as the program runs (RCU).
            Some(label) => unsafe { *label },
            None => return doubtful(task),
        },
    };
    if label.generation == 0 {
        return None;
    }
    Some(Subject {
        task,
        label,
        image: image_of(label),
    })
}

#[inline(always)]
fn image_of(label: Label) -> Option<&'static Image> {
    let image = IMAGES.get_value(label.slot & (MAX_SESSIONS as u32 - 1), &0)?;
    let header = &image.header;
    let is_current = header.magic == IMAGE_MAGIC && header.generation == label.generation;
    is_current.then_some(image)
}

/// Storage but no label: another program's storage, or (before 6.2, on preemptible kernels) the
/// helper found its per-CPU lock taken (`bpf_task_storage_trylock()`). Only in a tagged cgroup
/// can it be the second; then nothing is known, and so nothing allowed.
#[inline(always)]
fn doubtful(task: *const Task) -> Option<Subject> {
    // SAFETY: `current` is a valid task; its css_set cannot go away while it runs.
    let cgroup: *const Cgroup = unsafe {
        let set: *const CssSet = load(task, &TASK_CGROUPS);
        load(set, &CSS_SET_DEFAULT_CGROUP)
    };
    let label = tag_of(cgroup);
    (label.generation != 0).then_some(Subject {
        task,
        label,
        image: None,
    })
}

#[repr(C)]
struct Ancestry {
    cgroup: *const Cgroup,
    label: Label,
}

/// The label that the nearest tagged cgroup on the way up gives; generation 0 where there is none.
#[inline(always)]
pub fn tag_of(cgroup: *const Cgroup) -> Label {
    let mut ancestry = Ancestry {
        cgroup,
        label: Label {
            slot: 0,
            generation: 0,
        },
    };
    // SAFETY: the callback has the signature that bpf_loop expects, and its context outlives it.
    unsafe {
        bpf_loop(
            MAX_CGROUP_DEPTH as u32,
            ascend as *mut c_void,
            (&raw mut ancestry).cast(),
            0,
        );
    }
    ancestry.label
}

unsafe extern "C" fn ascend(_step: u32, ancestry: *mut Ancestry) -> i64 {
    // SAFETY: `ancestry` is `tag_of`'s; the cgroup was loaded from a live one.
    unsafe {
        let cgroup = (*ancestry).cgroup;
        let node: *const KernfsNode = load(cgroup, &CGROUP_KERNFS);
        let id: u64 = load(node, &KERNFS_ID);
        if let Some(label) = CGROUPS.get(&id) {
            (*ancestry).label = *label;
            return 1;
        }
        let parent: *const Css = load(cgroup, &CGROUP_PARENT_CSS);
        if parent.is_null() {
            return 1;
        }
        (*ancestry).cgroup = load(parent, &CSS_CGROUP);
    }
    0
}
