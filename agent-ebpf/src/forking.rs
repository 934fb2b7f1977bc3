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
    forking::{Forks, Kept, Shared},
};
use core::ffi::c_void;

use aya_ebpf::helpers::generated::{
    bpf_get_current_task_btf, bpf_ktime_get_ns, bpf_loop, bpf_send_signal,
};

use crate::{
    address::Address,
    counter::add,
    kernel::{
        LocalStorage, TASK_BPF_STORAGE, TASK_GROUP_LEADER, TASK_STARTED, Task, forks_free_storage,
        load,
    },
    maps::{FORKING, LABELS, SCRATCH},
};

/// How often a label is kept in vain; see `TRIES` of the labels' storage.
const TRIES: u32 = 4;
/// How long a process tries to have its storage taken out. Ten times what the scheduler lets a task run by itself.
const TAKE_OUT_NANOSECONDS: u64 = 100_000_000;
const MAX_ATTEMPTS: u32 = 1 << 20;
const SIGKILL: u32 = 9;

/// The map [`FORKS`](crate::maps::FORKS), as a variable: a lookup would be ten instructions, and whoever has no
/// label comes past it. The loader makes them one.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.forks")]
static mut COUNTS: Forks = Forks {
    hidden: 0,
    shown: 0,
    ended: 0,
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
    if !Address::of(storage_of(task)).is_null() {
        return hide_storage(task);
    }
    if is_possible() {
        look_after(task);
    }
    0
}

#[inline(never)]
fn hide_storage(task: *const Task) -> i32 {
    // SAFETY: a live task.
    let leader: *const Task = unsafe { load(task, &TASK_GROUP_LEADER) };
    let label = LABELS.bits(task);
    let is_labelled = Label::from_bits(label).is_some();
    // A thread's own label is a copy that judges nothing; it gets another when it executes.
    if is_labelled && Address::of(leader).is(Address::of(task)) && !keep(task, label) {
        return end();
    }
    // Who is in no session neither waits nor is killed, whatever storage others keep at it.
    if !take_out() && is_labelled && !take_out_in_time() {
        return end();
    }
    look_after(task);
    0
}

/// Drops what the current task has of ours. False: something is still there.
#[inline(always)]
fn take_out() -> bool {
    // SAFETY: a helper without preconditions, whose pointer is a valid task.
    let task: *const Task = unsafe { bpf_get_current_task_btf() }.cast();
    let is_out = LABELS.delete(task);
    SCRATCH.delete(task) && is_out
}

/// Until whoever was preempted in the way has run on: this task may be preempted here, and its time ends. Who has
/// more of it than this (a real-time one) stays in the way for good.
#[inline(never)]
fn take_out_in_time() -> bool {
    let mut attempt = Attempt {
        until: now().wrapping_add(TAKE_OUT_NANOSECONDS),
        is_out: 0,
    };
    // SAFETY: the callback has the signature that bpf_loop expects, and its context outlives it.
    unsafe {
        bpf_loop(
            MAX_ATTEMPTS,
            take_out_once as *mut c_void,
            (&raw mut attempt).cast(),
            0,
        );
    }
    attempt.is_out != 0
}

#[repr(C)]
struct Attempt {
    until: u64,
    is_out: u64,
}

unsafe extern "C" fn take_out_once(_step: u32, attempt: *mut Attempt) -> i64 {
    // SAFETY: `attempt` is that of `take_out_in_time`.
    let attempt = unsafe { &mut *attempt };
    attempt.is_out = u64::from(take_out());
    i64::from(attempt.is_out != 0 || now() > attempt.until)
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: a helper without preconditions.
    unsafe { bpf_ktime_get_ns() }
}

/// Ends the current process, which is not copied before: `copy_process()` asks for signals first.
fn end() -> i32 {
    // SAFETY: a live map value; a helper without preconditions.
    unsafe {
        add(&raw mut COUNTS.ended, 1);
        bpf_send_signal(SIGKILL);
    }
    0
}

/// Notes a label that is taken out of its storage next. False: there is no room.
#[inline(always)]
fn keep(leader: *const Task, label: u64) -> bool {
    let leader = Address::of(leader);
    let (was_hidden, shared) = kept_of(leader).map_or((false, Shared::No as u32), |kept| {
        (is_hidden(kept), shared_of(kept))
    });
    let kept = Kept {
        label,
        started: leader.member(&TASK_STARTED).read(),
        hidden: 1,
        shared,
    };
    let mut tries = 0;
    while FORKING.insert(&leader.number(), &kept, 0).is_err() {
        tries += 1;
        if tries == TRIES {
            return false;
        }
    }
    if !was_hidden {
        // SAFETY: a live map value.
        unsafe { add(&raw mut COUNTS.hidden, 1) };
    }
    true
}

/// Notes whether something was not taken out, since the kernel had a task preempted in such a helper on this
/// processor, or since it is another program's.
#[inline(always)]
fn look_after(task: *const Task) {
    let Some(kept) = kept_of(Address::of(task)) else {
        return;
    };
    if shared_of(kept) != Shared::Lost as u32 {
        let has_storage = !Address::of(storage_of(task)).is_null();
        set_shared(kept, if has_storage { Shared::Now } else { Shared::No });
    }
}

/// After the current task was copied, or was not: its label is in its storage again. Where there is no memory, or
/// its storage is freed with the copy, the label stays here alone.
#[inline(always)]
pub(crate) fn show(task: *const Task, is_copied: bool) {
    let Some(kept) = kept_of(Address::of(task)) else {
        if !is_copied {
            rescue(task);
        }
        return;
    };
    if !is_hidden(kept) && !is_copied {
        rescue(task);
        return;
    }
    let shared = shared_of(kept);
    if !is_hidden(kept) || shared == Shared::Lost as u32 {
        return;
    }
    if shared == Shared::Now as u32 && !is_copied {
        set_shared(kept, Shared::Lost);
        return;
    }
    // SAFETY: a live map value.
    let label = unsafe { (&raw const (*kept).label).read_volatile() };
    if label != 0 && !LABELS.give_hidden(task, label) {
        return;
    }
    // SAFETY: as above; this task alone writes this word.
    unsafe { (&raw mut (*kept).hidden).write_volatile(0) };
    count_shown();
}

/// Keeps the label of a process that was copied in vain, and that [`hide`] has missed.
#[inline(never)]
fn rescue(task: *const Task) -> i32 {
    // SAFETY: a live task.
    let leader: *const Task = unsafe { load(task, &TASK_GROUP_LEADER) };
    let label = LABELS.bits(task);
    if !Label::from_bits(label).is_some() || !Address::of(leader).is(Address::of(task)) {
        return 0;
    }
    if !keep(task, label) {
        return end();
    }
    if let Some(kept) = kept_of(Address::of(task)) {
        set_shared(kept, Shared::Lost);
    }
    0
}

/// Keeps this label of a process that is given it, if one is kept.
#[inline(always)]
pub(crate) fn renew(leader: *const Task, label: Label) {
    if is_possible() {
        set_label(leader, label.bits());
    }
}

/// Keeps no label of a process that nobody's session has any more.
#[inline(always)]
pub(crate) fn set_free(task: *const Task) {
    if is_possible() {
        set_label(task, Label::NONE.bits());
    }
}

#[inline(always)]
fn set_label(leader: *const Task, label: u64) {
    if let Some(kept) = kept_of(Address::of(leader)) {
        // SAFETY: a live map value.
        unsafe { (&raw mut (*kept).label).write_volatile(label) };
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
fn shared_of(kept: *mut Kept) -> u32 {
    // SAFETY: a live map value.
    unsafe { (&raw const (*kept).shared).read_volatile() }
}

#[inline(always)]
fn set_shared(kept: *mut Kept, shared: Shared) {
    // SAFETY: a live map value, of which the task itself alone writes this word.
    unsafe { (&raw mut (*kept).shared).write_volatile(shared as u32) };
}

#[inline(always)]
fn is_hidden(kept: *mut Kept) -> bool {
    // SAFETY: a live map value.
    unsafe { (&raw const (*kept).hidden).read_volatile() != 0 }
}

/// What is kept of this task. What another left that had its address counts for nothing: it may stay where its end
/// was missed, as while no programs were attached.
#[inline(always)]
fn kept_of(task: Address) -> Option<*mut Kept> {
    let kept = FORKING.get_ptr_mut(&task.number())?;
    // SAFETY: a live map value.
    let started = unsafe { (&raw const (*kept).started).read_volatile() };
    (started == task.member(&TASK_STARTED).read()).then_some(kept)
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
    // SAFETY: a live map value, whose label is replaced whole.
    kept_of(leader).map_or(0, |kept| unsafe {
        (&raw const (*kept).label).read_volatile()
    })
}
