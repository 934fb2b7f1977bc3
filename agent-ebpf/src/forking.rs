//! Labels of processes that fork, on kernels that free them with a child that does not come about.
//!
//! A child begins as a copy of its parent's `task_struct`, with the pointer to the parent's storage. Where the fork
//! fails before that pointer is wiped (no user namespace, `RLIMIT_NPROC`, `threads-max`, no memory), `free_task()`
//! frees what it points to, after a grace period, while the parent uses it: on kernels from 6.4 on, until
//! "bpf,fork: wipe ->bpf_storage before bailouts that access it" (6.18.15 is without it; the loader tries). The
//! parent would be in no session any more, and a second such child corrupts the kernel's memory.
//!
//! So a process has no storage of ours while it is copied: [`hide`] keeps its label here before, and [`show`] puts
//! it back after. Meanwhile whoever asks for the label finds it here, as do the process's other threads.
//!
//! What is kept stays until the process ends, since only who has no label in its storage is looked for here: each
//! fork renews it before that. [`Forks`] tells that nobody is without, the usual case, by two numbers: a label is
//! kept, then counted as hidden, then taken out; it is put back, then counted as shown.

use agent_abi::{
    Label,
    forking::{Forks, Kept},
};

use aya_ebpf::helpers::generated::bpf_send_signal;

use crate::{
    address::Address,
    counter::add,
    kernel::{LocalStorage, TASK_BPF_STORAGE, TASK_GROUP_LEADER, Task, forks_free_storage, load},
    maps::{FORKING, LABELS, SCRATCH},
};

/// How often a label is kept in vain; see `TRIES` of the labels' storage.
const TRIES: u32 = 4;
const SIGKILL: u32 = 9;

/// The map [`FORKS`](crate::maps::FORKS), as a variable: a lookup would be ten instructions, and whoever has no
/// label comes past it. The loader makes them one.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.forks")]
static mut COUNTS: Forks = Forks {
    hidden: 0,
    shown: 0,
};

/// How often labels were taken out of their storage. A storage that was found without, and was looked at between
/// [`shown`] and this, is not one of those where the two are equal.
#[inline(always)]
pub(crate) fn hidden() -> u64 {
    // SAFETY: a live map value; only added to, atomically.
    unsafe { (&raw const COUNTS.hidden).read_volatile() }
}

/// How often they were put back.
#[inline(always)]
pub(crate) fn shown() -> u64 {
    // SAFETY: as above.
    unsafe { (&raw const COUNTS.shown).read_volatile() }
}

#[inline(always)]
fn count_shown() {
    // SAFETY: a live map value.
    unsafe { add(&raw mut COUNTS.shown, 1) };
}

/// Whether a label was ever hidden: else who has no storage has no label.
#[inline(always)]
pub(crate) fn is_possible() -> bool {
    forks_free_storage() && hidden() != 0
}

#[inline(always)]
fn storage_of(task: *const Task) -> *const LocalStorage {
    // SAFETY: a live task.
    unsafe { load(task, &TASK_BPF_STORAGE) }
}

/// Before the current task is copied: it has no storage of ours any more. Twice is as good as once.
#[inline(always)]
pub(crate) fn hide(task: *const Task) -> i32 {
    if Address::of(storage_of(task)).is_null() {
        return 0;
    }
    hide_storage(task)
}

#[inline(never)]
fn hide_storage(task: *const Task) -> i32 {
    // SAFETY: a live task.
    let leader: *const Task = unsafe { load(task, &TASK_GROUP_LEADER) };
    // A thread's own label is a copy that judges nothing; it gets another when it executes.
    if Address::of(leader).is(Address::of(task)) {
        let label = LABELS.bits(task);
        if Label::from_bits(label).is_some() && !keep(task, label) {
            return end();
        }
    }
    LABELS.delete(task);
    SCRATCH.delete(task);
    look_after(task);
    0
}

/// Ends the current process, which is not copied before: `copy_process()` asks for signals first.
fn end() -> i32 {
    // SAFETY: a helper without preconditions.
    unsafe { bpf_send_signal(SIGKILL) };
    0
}

/// Notes a label that is taken out of its storage next. False: there is no room.
#[inline(always)]
fn keep(leader: *const Task, label: u64) -> bool {
    let is_hidden = kept_of(Address::of(leader)).is_some_and(is_hidden);
    let kept = Kept {
        label,
        hidden: 1,
        shared: 0,
    };
    let mut tries = 0;
    while FORKING
        .insert(&Address::of(leader).number(), &kept, 0)
        .is_err()
    {
        tries += 1;
        if tries == TRIES {
            return false;
        }
    }
    if !is_hidden {
        // SAFETY: a live map value.
        unsafe { add(&raw mut COUNTS.hidden, 1) };
    }
    true
}

/// What was not taken out, since the kernel had a task preempted in such a helper on this processor, or since it is
/// another program's.
#[inline(always)]
fn look_after(task: *const Task) {
    if Address::of(storage_of(task)).is_null() {
        return;
    }
    let Some(kept) = kept_of(Address::of(task)) else {
        return;
    };
    // SAFETY: a live map value, which this task alone writes.
    unsafe {
        if Label::from_bits(LABELS.bits(task)).is_some() {
            if is_hidden(kept) {
                (&raw mut (*kept).hidden).write_volatile(0);
                count_shown();
            }
        } else {
            (&raw mut (*kept).shared).write_volatile(1);
        }
    }
}

/// After the current task was copied, or was not: its label is in its storage again. Where there is no memory, or
/// the storage that it has is freed with the copy, the label stays here alone.
#[inline(always)]
pub(crate) fn show(task: *const Task, is_copied: bool) {
    if !is_possible() {
        return;
    }
    let Some(kept) = kept_of(Address::of(task)) else {
        return;
    };
    // SAFETY: a live map value, whose other words this task alone writes.
    let (label, shared) = unsafe {
        (
            (&raw const (*kept).label).read_volatile(),
            (&raw const (*kept).shared).read_volatile(),
        )
    };
    if !is_hidden(kept) || (shared != 0 && !is_copied) {
        return;
    }
    if label != 0 && !LABELS.give_hidden(task, label) {
        return;
    }
    // SAFETY: as above.
    unsafe { (&raw mut (*kept).hidden).write_volatile(0) };
    count_shown();
}

/// Keeps no label of a process that nobody's session has any more.
#[inline(always)]
pub(crate) fn set_free(task: *const Task) {
    if !is_possible() {
        return;
    }
    if let Some(kept) = kept_of(Address::of(task)) {
        // SAFETY: a live map value.
        unsafe { (&raw mut (*kept).label).write_volatile(0) };
    }
}

/// Keeps nothing of a task that has ended.
#[inline(always)]
pub(crate) fn forget(task: *const Task) {
    if !is_possible() {
        return;
    }
    let task = Address::of(task);
    let Some(kept) = kept_of(task) else {
        return;
    };
    let was_hidden = is_hidden(kept);
    if FORKING.remove(&task.number()).is_ok() && was_hidden {
        count_shown();
    }
}

#[inline(always)]
fn is_hidden(kept: *mut Kept) -> bool {
    // SAFETY: a live map value.
    unsafe { (&raw const (*kept).hidden).read_volatile() != 0 }
}

#[inline(always)]
fn kept_of(task: Address) -> Option<*mut Kept> {
    FORKING.get_ptr_mut(&task.number())
}

/// Whether a process whose storage was found missing has a label all the same.
#[inline(never)]
pub(crate) fn is_kept(leader: *const Task) -> u32 {
    u32::from(label_kept(Address::of(leader)) != 0)
}

/// The label of a task, also while it forks; that of no session where it has none.
#[inline(always)]
pub(crate) fn label_of(task: *const Task) -> Label {
    let label = Label::from_bits(LABELS.bits(task));
    if label.is_some() || !is_possible() {
        return label;
    }
    Label::from_bits(search(task))
}

#[inline(never)]
fn search(leader: *const Task) -> u64 {
    let before = shown();
    let label = LABELS.bits(leader);
    if Label::from_bits(label).is_some() || hidden() == before {
        return label;
    }
    label_kept(Address::of(leader))
}

/// The same of a task that is known by its address alone, as bits; see [`TaskStorage::find`].
///
/// [`TaskStorage::find`]: crate::storage::TaskStorage::find
#[inline(always)]
pub(crate) fn find(task: Address) -> u64 {
    let label = LABELS.find(task);
    if label != 0 || !is_possible() {
        return label;
    }
    label_kept(task)
}

/// What is kept of a process, as bits; 0 for nothing.
#[inline(always)]
fn label_kept(leader: Address) -> u64 {
    // SAFETY: a value whose label is replaced whole, by the process itself.
    unsafe { FORKING.get(&leader.number()) }.map_or(0, |kept| kept.label)
}
