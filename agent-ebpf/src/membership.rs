//! Who belongs to a session: the label of a process, given where its cgroup is settled.
//!
//! A process gets the label of the nearest tagged cgroup on the way up when it is born
//! (`task_newtask`), when it is moved (`cgroup_attach_task`), when the daemon looks at everybody
//! after it tagged a cgroup (`iter/task`), and when it acts in doubt ([`settle_acting`]). One that
//! has a label keeps it: no session takes a task from another.
//!
//! A label that is armed is held, inherited and counted as any other, and judges nothing until the task
//! executes a program that is no launcher (`bprm_check_security`).
//!
//! The label of a process is its leader's. Threads carry copies, because any of them becomes the
//! leader when it calls `execve` (`de_thread()`).

use core::ffi::c_void;

use agent_abi::{
    EventKind, Image, Label,
    image::{IMAGE_MAGIC, RELEASED_MAGIC},
    limits::{MAX_RELEASED, MAX_SESSIONS},
};
use aya_ebpf::helpers::generated::bpf_loop;

use crate::{
    forking,
    kernel::{
        CGROUP_KERNFS, CGROUP_LEVEL, CGROUP_PARENT_CSS, CSS_CGROUP, CSS_SET_DEFAULT_CGROUP, Cgroup,
        Css, CssSet, KERNFS_ID, KernfsNode, TASK_CGROUPS, Task, load,
    },
    maps::{CGROUPS, IMAGES, LABELS, RELEASED, SCRATCH, SETTLING},
    notice::tell,
};

/// What a label is worth now.
pub(crate) enum Standing {
    InForce(&'static Image),
    /// The session set its processes free: the label is none.
    Released,
    /// The session has ended, or there is doubt: everything is refused.
    Ended,
}

/// What `label`, which names a session, is worth now.
#[inline(always)]
pub(crate) fn standing(label: Label) -> Standing {
    let Some(image) = IMAGES.get_value(label.slot & (MAX_SESSIONS as u32 - 1), &0) else {
        return without_image(label);
    };
    let header = &image.header;
    if header.generation != label.generation {
        return without_image(label);
    }
    match header.magic {
        IMAGE_MAGIC => Standing::InForce(image),
        RELEASED_MAGIC => Standing::Released,
        _ => Standing::Ended,
    }
}

#[inline(always)]
fn without_image(label: Label) -> Standing {
    if was_released(label.generation) == 0 {
        Standing::Ended
    } else {
        Standing::Released
    }
}

/// Whether the session of this number, whose slot is empty or another's, had set its processes free: a child
/// that was being made then, and whose birth went unseen (`task_newtask` in [`crate::hooks`]), has its label
/// still.
#[inline(never)]
fn was_released(generation: u32) -> u32 {
    let Some(released) = RELEASED.get_ptr(generation & (MAX_RELEASED as u32 - 1)) else {
        return 0;
    };
    // SAFETY: a live map value of this size, aligned to it.
    u32::from(generation != 0 && unsafe { released.read_volatile() } == generation)
}

/// The label of a task, unless its session was released.
#[inline(always)]
pub(crate) fn held_by(task: *const Task) -> Label {
    holding(forking::label_of(task).bits())
}

/// The same of a label as it is kept.
#[inline(always)]
pub(crate) fn holding(bits: u64) -> Label {
    let label = Label::from_bits(bits);
    if label.is_some() && !matches!(standing(label), Standing::Released) {
        return label;
    }
    Label::NONE
}

/// The cgroup that a task is in.
#[inline(always)]
pub(crate) fn cgroup_of(task: *const Task) -> *const Cgroup {
    // SAFETY: a live task; its css_set lives as long as it, or as the RCU section.
    unsafe {
        let set: *const CssSet = load(task, &TASK_CGROUPS);
        load(set, &CSS_SET_DEFAULT_CGROUP)
    }
}

#[inline(always)]
pub(crate) fn id_of(cgroup: *const Cgroup) -> u64 {
    // SAFETY: a live cgroup.
    unsafe {
        let node: *const KernfsNode = load(cgroup, &CGROUP_KERNFS);
        load(node, &KERNFS_ID)
    }
}

#[repr(C)]
struct Ancestry {
    cgroup: *const Cgroup,
    label: Label,
}

/// The label that the nearest tagged cgroup on the way up gives, however far that is.
#[inline(always)]
pub(crate) fn tag_of(cgroup: *const Cgroup) -> Label {
    let mut ancestry = Ancestry {
        cgroup,
        label: Label::NONE,
    };
    // SAFETY: a live cgroup; the callback has the signature that bpf_loop expects, and its context
    // outlives it.
    unsafe {
        let level: u32 = load(cgroup, &CGROUP_LEVEL);
        bpf_loop(
            level.wrapping_add(1),
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
        if let Some(label) = CGROUPS.get(&id_of(cgroup)) {
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

/// Whether somebody may lack a label that its cgroup gives.
#[inline(always)]
pub(crate) fn is_unsettled() -> bool {
    match SETTLING.get_ptr(0) {
        // SAFETY: a live map value of this size, aligned to it.
        Some(settling) => unsafe { settling.cast::<u64>().read_volatile() != 0 },
        None => true,
    }
}

/// Whether the daemon is putting this label on a cgroup now.
#[inline(always)]
pub(crate) fn is_tagging(label: Label) -> bool {
    // SAFETY: a live map value.
    SETTLING
        .get_ptr(0)
        .is_some_and(|settling| unsafe { (*settling).tagging == label.generation })
}

/// A label could not be given: from here on every birth is looked at in full, and the daemon, which
/// is told, looks at everybody.
#[inline(never)]
pub(crate) fn unsettle() -> i32 {
    if let Some(settling) = SETTLING.get_ptr_mut(0) {
        // SAFETY: a live map value. A lost increment leaves it above zero all the same.
        unsafe { (*settling).failed = (*settling).failed.wrapping_add(1) };
    }
    tell(EventKind::Unsettled, 0);
    0
}

/// The label of a process that acts and has storage but no label that holds: another program's
/// storage, a label of a released session, a thread that became the leader in an `execve` during which
/// its process was labelled, or (before 6.2, on preemptible kernels) the helper found its per-CPU lock
/// taken (`bpf_task_storage_trylock()`). Its cgroup tells; where that is tagged and no label can be
/// given, the answer names no session in force, so everything is refused.
///
/// Both halves of the label in one number, because a function of BPF returns one.
#[inline(never)]
pub(crate) fn settle_acting(task: *const Task, leader: *const Task) -> u64 {
    let tag = tag_of(cgroup_of(task));
    if tag.is_some() {
        return give_acting(leader, tag);
    }
    let label = forking::label_of(leader);
    let holds = label.is_some() && !matches!(standing(label), Standing::Released);
    if holds {
        return label.bits();
    }
    // Back to the price of a process that no session ever had.
    LABELS.delete(leader);
    SCRATCH.delete(leader);
    forking::set_free(leader);
    // Unless it was moved meanwhile, and lost the label of the move.
    let tag = tag_of(cgroup_of(task));
    if tag.is_some() {
        return give_acting(leader, tag);
    }
    0
}

#[inline(always)]
fn give_acting(leader: *const Task, tag: Label) -> u64 {
    let seen = LABELS.bits(leader);
    let held = held_by(leader);
    if held.is_some() {
        return held.bits();
    }
    if LABELS.give_over(leader, seen, tag) {
        // Whoever got another meanwhile keeps that, also one that has force.
        let kept = forking::label_of(leader);
        return if kept.is_some() {
            kept.bits()
        } else {
            tag.bits()
        };
    }
    // Slot 0 is no session's.
    Label { slot: 0, ..tag }.bits()
}
