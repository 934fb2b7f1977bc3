//! Who acts: the label of the current task.
//!
//! A thread group has one label, that of its leader. So a process that is labelled from outside
//! is judged in all its threads at once, and none is looked for one by one. Threads carry a copy
//! only because any of them becomes the leader when it calls `execve` (`de_thread()`).

use core::{arch::asm, ffi::c_void, mem::MaybeUninit};

use agent_abi::{Image, Label, Surface, share::NOBODYS_ACCOUNT};
use aya_ebpf::{EbpfContext, helpers::generated::bpf_get_current_task_btf, programs::LsmContext};

use crate::{
    forking,
    kernel::{
        Credentials, LocalStorage, TASK_BPF_STORAGE, TASK_CREDENTIALS, TASK_FLAGS,
        TASK_GROUP_LEADER, TASK_REAL_CREDENTIALS, Task, forks_free_storage, load, load_to_return,
        zero_from_null,
    },
    maps::LABELS,
    membership::{Standing, settle_acting, standing as standing_of},
};

/// `PF_IO_WORKER` in `task_struct::flags`
const IO_WORKER: u32 = 0x10;

/// A labelled task and what its session may do.
pub(crate) struct Subject {
    /// The current task.
    pub task: *const Task,
    pub label: Label,
    /// `None`: the session has ended, or the label is in doubt; everything is refused.
    pub image: Option<&'static Image>,
}

impl Subject {
    /// Whether the grant opens this part of the kernel.
    #[inline(always)]
    pub(crate) fn may(&self, surface: Surface) -> bool {
        self.image
            .is_some_and(|image| image.header.surface & surface.bit() != 0)
    }

    /// The credentials that the kernel put on the current task for a moment, if it did so: overlayfs
    /// puts on its mounter's to work on the layers, after the task's own act was decided at the
    /// overlay.
    ///
    /// `override_creds()` alone makes `cred` differ from `real_cred`; a task that changes its own
    /// changes both (`commit_creds()`, kernel/cred.c). Who calls it while a process of a session
    /// runs, and what may happen until the credentials are back (6.1 to 7.3):
    /// - overlayfs, and files passed through to a backing one: work on layers;
    /// - `access()`: a look-up; a core dump: opening and truncating the dump; binfmt_misc, CIFS, NFS,
    ///   firmware: opening what root named, or asking for a key. None changes attributes or asks for
    ///   a capability that the process could use;
    /// - cachefiles: the cache's own files;
    /// - `io_uring`: whatever the process asks for, under a personality or in a worker. Personalities
    ///   are refused where the grant does not open io_uring (`uring_override_creds`), and workers
    ///   have a flag; where it opens it, nothing is taken for the kernel's own.
    ///
    /// So a process chooses what is acted on only through the last, and that is ruled out here.
    #[inline(always)]
    pub(crate) fn borrowed_credentials(&self) -> Option<*const Credentials> {
        // SAFETY: `current` is a valid task.
        let (now, own): (*const Credentials, *const Credentials) = unsafe {
            (
                load(self.task, &TASK_CREDENTIALS),
                load(self.task, &TASK_REAL_CREDENTIALS),
            )
        };
        let borrowed = now != own && !self.is_ring_worker() && !self.may(Surface::IoUring);
        borrowed.then_some(now)
    }

    /// The account to which the acts go: the slot. A label of an ended session says a slot that may be
    /// another's by now.
    #[inline(always)]
    pub(crate) fn account(&self) -> u32 {
        if self.image.is_some() {
            self.label.slot
        } else {
            NOBODYS_ACCOUNT
        }
    }

    /// Whether the current task works on what was put into an `io_uring`.
    #[inline(always)]
    pub(crate) fn is_ring_worker(&self) -> bool {
        // SAFETY: `current` is a valid task.
        let flags: u32 = unsafe { load(self.task, &TASK_FLAGS) };
        flags & IO_WORKER != 0
    }

    /// Whether `task` is of the same session.
    #[inline(always)]
    pub(crate) fn shares_session_with(&self, task: *const Task) -> bool {
        // SAFETY: `task` is a hook's argument.
        let leader: *const Task = unsafe { load(task, &TASK_GROUP_LEADER) };
        forking::label_of(leader) == self.label
    }
}

/// Whether an act of a task with an armed label is judged. A type and not a parameter: see [`labelled`].
pub(crate) trait Armed {
    fn is_judged(ctx: &LsmContext) -> bool;
}

/// Nothing is judged before the label has force.
pub(crate) struct NeverArmed;

impl Armed for NeverArmed {
    #[inline(always)]
    fn is_judged(_: &LsmContext) -> bool {
        false
    }
}

/// Whether the subject's label has no force yet.
#[inline(always)]
pub(crate) fn is_armed(subject: &Subject) -> bool {
    // SAFETY: `current` is a valid task.
    let leader: *const Task = unsafe { load(subject.task, &TASK_GROUP_LEADER) };
    forking::label_of(leader).is_armed()
}

#[inline(always)]
pub(crate) fn current_task() -> *const Task {
    // SAFETY: no arguments; never NULL.
    unsafe { bpf_get_current_task_btf().cast_const().cast() }
}

/// Runs `judge` on the hook's arguments if the current task is labelled; 0 (go on) otherwise.
///
/// What the trampoline's earlier programs returned needs no look: the first that refuses ends the
/// chain (`invoke_bpf_mod_ret()` in arch/x86/net/bpf_jit_comp.c), so here it is always 0.
#[inline(always)]
pub(crate) fn guard(ctx: &LsmContext, judge: impl FnOnce(&Subject, &LsmContext) -> i32) -> i32 {
    guard_unless(ctx, |_| false, judge)
}

/// [`guard`] for a hook that most often has nothing to judge, which `is_exempt` tells before anything
/// is looked up for a labelled task.
#[inline(always)]
pub(crate) fn guard_unless(
    ctx: &LsmContext,
    is_exempt: impl FnOnce(&LsmContext) -> bool,
    judge: impl FnOnce(&Subject, &LsmContext) -> i32,
) -> i32 {
    guard_armed::<NeverArmed>(ctx, |_, _| 0, is_exempt, judge)
}

/// [`guard_unless`] after `prepare`, which is told the current task and its leader, labelled or not; what
/// it returns is returned unless it is 0. Who has an armed label is judged where `A` says so.
#[inline(always)]
pub(crate) fn guard_armed<A: Armed>(
    ctx: &LsmContext,
    prepare: impl FnOnce(*const Task, *const Task) -> i32,
    is_exempt: impl FnOnce(&LsmContext) -> bool,
    judge: impl FnOnce(&Subject, &LsmContext) -> i32,
) -> i32 {
    // On the stack, where it costs an unlabelled task two instructions; a saved register costs three.
    let mut kept = MaybeUninit::<*mut c_void>::uninit();
    // SAFETY: a live local of that type.
    unsafe { kept.as_mut_ptr().write_volatile(ctx.as_ptr()) };
    pass_unlabelled(prepare, |leader, storage| {
        // SAFETY: written above.
        let ctx = LsmContext::new(unsafe { kept.as_ptr().read_volatile() });
        labelled::<A>(leader, storage, &ctx, is_exempt, judge)
    })
}

/// [`guard`] for a hook whose arguments do not matter.
#[inline(always)]
pub(crate) fn guard_alone(judge: impl FnOnce(&Subject) -> i32) -> i32 {
    let none = LsmContext::new(core::ptr::null_mut());
    pass_unlabelled(
        |_, _| 0,
        |leader, storage| {
            labelled::<NeverArmed>(
                leader,
                storage,
                &none,
                |_| false,
                |subject, _| judge(subject),
            )
        },
    )
}

/// 0 for an unlabelled task, by the shortest way; `go_on` for all others.
#[inline(always)]
fn pass_unlabelled(
    prepare: impl FnOnce(*const Task, *const Task) -> i32,
    go_on: impl FnOnce(*const Task, *const LocalStorage) -> i32,
) -> i32 {
    let task = current_task();
    // SAFETY: `current` is a valid task.
    let leader: *const Task = unsafe { load(task, &TASK_GROUP_LEADER) };
    let result = prepare(task, leader);
    if result != 0 {
        return result;
    }
    // First: what was taken out of a storage and is counted here is in it again when that is looked at.
    let before = if forks_free_storage() {
        forking::shown()
    } else {
        0
    };
    // SAFETY: a live task. NULL for every task that no program ever gave storage: the price of an
    // unlabelled task ends here.
    let storage: *const LocalStorage = unsafe { load_to_return(leader, &TASK_BPF_STORAGE) };
    // Not told to LLVM as a comparison, or it would put a zero of its own where `storage` is one.
    // SAFETY: a jump, and to nowhere but the block.
    unsafe {
        asm!("if r0 != 0 goto {others}", in("r0") storage, others = label {
            return go_on(leader, storage);
        }, options(nomem, nostack, preserves_flags));
    }
    if forks_free_storage() && forking::hidden() != before && forking::is_kept(leader) != 0 {
        // SAFETY: a live task.
        let storage: *const LocalStorage = unsafe { load(leader, &TASK_BPF_STORAGE) };
        return go_on(leader, storage);
    }
    zero_from_null(storage)
}

/// A program of its own, so that the one in front of it saves no registers for what an unlabelled
/// task never comes to. Five parameters at most, also of no size: newer verifiers go by the type information
/// and look for a sixth on the stack (7.x).
#[inline(never)]
fn labelled<A: Armed>(
    leader: *const Task,
    storage: *const LocalStorage,
    ctx: &LsmContext,
    is_exempt: impl FnOnce(&LsmContext) -> bool,
    judge: impl FnOnce(&Subject, &LsmContext) -> i32,
) -> i32 {
    if is_exempt(ctx) {
        return 0;
    }
    match subject(leader, storage, || A::is_judged(ctx)) {
        Some(subject) => judge(&subject, ctx),
        None => 0,
    }
}

#[inline(always)]
fn subject(
    leader: *const Task,
    storage: *const LocalStorage,
    takes_force: impl FnOnce() -> bool,
) -> Option<Subject> {
    let mut label = match LABELS.peek(storage) {
        Some(label) => label,
        None => forking::label_of(leader),
    };
    let mut standing = match label.is_some() {
        true => standing_of(label),
        false => Standing::Released,
    };
    if matches!(standing, Standing::Released) {
        label = Label::from_bits(settle_acting(current_task(), leader));
        if !label.is_some() {
            return None;
        }
        standing = standing_of(label);
    }
    let image = match standing {
        Standing::InForce(image) => Some(image),
        Standing::Released | Standing::Ended => None,
    };
    // After that: what a register holds of a standing without image is nothing, and must not be moved.
    if label.is_armed() && !takes_force() {
        return None;
    }
    Some(Subject {
        // Asked for again: a place on the stack for it is one too many on 6.1 (`MAX_BPF_STACK`).
        task: current_task(),
        label: label.in_force(),
        image,
    })
}
