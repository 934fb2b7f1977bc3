//! Execution.
//!
//! | hook | right |
//! |---|---|
//! | `file_open` with `__FMODE_EXEC` (in [`super::files`]) | `file.exec` of the program and every interpreter |
//! | `bprm_check_security` | no set-user-id gain; a thread that becomes the leader keeps the label; an armed label takes force, once filesystems have names |
//! | `mmap_file` of shared memory | no set-user-id program is written (in [`super::set_id`]) |
//! | `mmap_file`, `file_mprotect` with `PROT_EXEC` | `file.exec` if not asked at the open; memory that is anonymous or a device's, that can be written too, or that was written since it was mapped: `process.jit` |
//!
//! So `ld.so program`, `LD_PRELOAD` and a memfd need the same right as `execve`.

use agent_abi::{FileRights, Reason, Right, Surface, event::Detail, ledger::NO_RULE};
use agent_decide::needs::OPEN_EXEC;
use aya_ebpf::{EbpfContext, macros::lsm, programs::LsmContext};

use super::set_id::{self, refuse_mapped};
use crate::{
    address::Address,
    decide::{EACCES, ENOMEM, EPERM, opened, permits_mapped, refuse},
    forking,
    kernel::{
        BPRM_FILE, BPRM_FILENAME, BPRM_INTERPRETER, Bprm, DENTRY_INODE, Dentry, FILE_DENTRY,
        FILE_FLAGS, FILE_INODE, File, INODE_MODE, Inode, TASK_ATOMIC_FLAGS, TASK_GROUP_LEADER,
        TASK_REAL_PARENT, Task, VMA_ANON, VMA_FILE, Vma, is_null_at, load, member, number_at,
        numbers_are_cheap,
    },
    launcher::{is_copy, is_launcher, renews_itself},
    maps::LABELS,
    membership::{held_by, unsettle},
    namespace::{Passage, await_names, passage},
    place::{Place, is_character_device, place_of},
    program,
    subject::{Armed, Subject, current_task, guard, guard_armed, guard_unless, is_armed},
};

const PROT_WRITE: u64 = 2;
const PROT_EXEC: u64 = 4;
/// `MAP_SHARED` and `MAP_SHARED_VALIDATE`.
const MAP_SHARED: u64 = 1;
/// Bit 0 of `task_struct::atomic_flags`.
const PFA_NO_NEW_PRIVS: u64 = 1;

/// `int bprm_check_security(struct linux_binprm *)`: before `de_thread()`.
#[lsm(hook = "bprm_check_security")]
fn bprm_check_security(ctx: LsmContext) -> i32 {
    guard_armed::<UnlessLauncher>(
        &ctx,
        |task, leader| {
            if leader == task {
                0
            } else {
                carry_label(task, leader)
            }
        },
        |_| false,
        |subject, ctx| {
            if is_armed(subject) {
                let is_copy = is_copy(program(ctx));
                let passage = passage(subject, is_copy, is_interpreter(ctx));
                if passage == Passage::Open {
                    return 0;
                }
                let awaited = match passage {
                    Passage::Unasked => await_names(subject),
                    Passage::Open | Passage::Shut => 0,
                };
                if awaited != 0 {
                    return awaited;
                }
                let refused = take_force(subject, ctx);
                if refused != 0 {
                    return refused;
                }
            }
            let program = program(ctx);
            if gains_privilege(program) {
                gain(subject, program)
            } else {
                0
            }
        },
    )
}

/// A launcher leaves an armed label armed, if who starts services executes it; so does a container's runtime that
/// executes itself.
struct UnlessLauncher;

impl Armed for UnlessLauncher {
    #[inline(always)]
    fn is_judged(ctx: &LsmContext) -> bool {
        // The file's own pointer, which newer verifiers trust (`BTF_TYPE_SAFE_TRUSTED(struct file)`).
        // SAFETY: the hook's argument; a bprm always has a file here.
        let program: *const Inode = unsafe {
            let file: *const File = load(ctx.arg::<*const Bprm>(0), &BPRM_FILE);
            load(file, &FILE_INODE)
        };
        let stays_armed =
            is_launcher(program) && starts_services(program) || renews_itself(program);
        !stays_armed
    }
}

/// Whether who executes a launcher is a service manager's child that executed nothing yet: it runs its parent's
/// program. A launcher itself does not: else a service's program that is a link to the launcher would be one,
/// with the environment of the service.
#[inline(always)]
fn starts_services(launcher: *const Inode) -> bool {
    // SAFETY: `current` is a valid task.
    let leader: *const Task = unsafe { load(current_task(), &TASK_GROUP_LEADER) };
    let leader = Address::of(leader);
    let own = program::of_task(leader);
    let parent = program::of_task(leader.member(&TASK_REAL_PARENT).follow());
    own == parent && own != program::of_file(launcher)
}

/// Gives an armed label force: here, where nothing of the new program has run, and nothing of the old one
/// runs any more unless the `execve` fails. Other threads cannot execute meanwhile (`cred_guard_mutex`).
/// The program was opened before, by whoever launches it, so its right is asked for here.
#[inline(never)]
fn take_force(subject: &Subject, ctx: &LsmContext) -> i32 {
    // SAFETY: the hook's argument; a bprm always has a file here.
    let (file, dentry): (*const File, *const Dentry) = unsafe {
        let file = load(ctx.arg::<*const Bprm>(0), &BPRM_FILE);
        (file, load(file, &FILE_DENTRY))
    };
    let refused = match place_of(file, dentry) {
        Place::Named | Place::Anonymous => opened(subject, dentry, FileRights::EXEC),
        Place::Layer => 0,
    };
    if refused != 0 {
        return refused;
    }
    // SAFETY: `current` is a valid task.
    let leader: *const Task = unsafe { load(subject.task, &TASK_GROUP_LEADER) };
    forking::renew(leader, subject.label);
    if LABELS.give(leader, subject.label) && LABELS.give(subject.task, subject.label) {
        0
    } else {
        -ENOMEM
    }
}

/// Whether the interpreter of what is executed is asked about (`bprm_change_interp()`, fs/exec.c).
#[inline(always)]
fn is_interpreter(ctx: &LsmContext) -> bool {
    let bprm: *const Bprm = ctx.arg(0);
    // SAFETY: the hook's argument; the pointers are only compared.
    let (whole, now): (u64, u64) =
        unsafe { (load(bprm, &BPRM_FILENAME), load(bprm, &BPRM_INTERPRETER)) };
    whole != now
}

#[inline(always)]
fn program(ctx: &LsmContext) -> *const Inode {
    // SAFETY: the hook's argument; a bprm always has a file here.
    unsafe {
        let program: *const File = load(ctx.arg::<*const Bprm>(0), &BPRM_FILE);
        let dentry: *const Dentry = load(program, &FILE_DENTRY);
        load(dentry, &DENTRY_INODE)
    }
}

/// Whether executing `program` may change the user or the group.
#[inline(always)]
fn gains_privilege(program: *const Inode) -> bool {
    if program.is_null() {
        return true;
    }
    // SAFETY: not NULL, and loaded from the hook's argument; `current` is a valid task.
    let (mode, flags): (u16, u64) = unsafe {
        (
            load(program, &INODE_MODE),
            load(current_task(), &TASK_ATOMIC_FLAGS),
        )
    };
    set_id::is_set(mode) && flags & PFA_NO_NEW_PRIVS == 0
}

#[inline(always)]
fn gain(subject: &Subject, program: *const Inode) -> i32 {
    if program.is_null() {
        return -EACCES;
    }
    // SAFETY: not NULL, and loaded from the hook's argument.
    let mode: u16 = unsafe { load(program, &INODE_MODE) };
    let detail = Detail {
        words: [u64::from(mode), 0],
        extra: 0,
    };
    let reason = Reason::PrivilegeGain;
    refuse(
        subject,
        Right::ProcessCapability,
        reason,
        NO_RULE,
        detail,
        EPERM,
    )
}

/// Gives the current thread the label of its process: it is the leader from now on. Not inlined: most
/// tasks are leaders already.
///
/// Where the process has none, the thread gets the label of no session: storage, by which it does not
/// pass for unlabelled when it next acts, but is looked at ([`settle_acting`]). Otherwise a process
/// that is labelled between here and `de_thread()` would lose the label with its old leader.
///
/// [`settle_acting`]: crate::membership::settle_acting
#[inline(never)]
fn carry_label(task: *const Task, leader: *const Task) -> i32 {
    let label = held_by(leader);
    if LABELS.give(task, label) {
        return 0;
    }
    if label.is_some() {
        return -ENOMEM;
    }
    unsettle()
}

/// `int mmap_file(struct file *, unsigned long reqprot, unsigned long prot, unsigned long flags)`;
/// no file for anonymous memory.
#[lsm(hook = "mmap_file")]
fn mmap_file(ctx: LsmContext) -> i32 {
    if !executes(&ctx) && !is_shared(&ctx) {
        return 0;
    }
    guard_unless(
        &ctx,
        |ctx| !maps_nothing(ctx) && is_program(ctx.arg(0)),
        |subject, ctx| {
            if is_shared(ctx) {
                let refused = refuse_mapped(subject, ctx.arg(0));
                if refused != 0 {
                    return refused;
                }
            }
            if !executes(ctx) {
                return 0;
            }
            if maps_nothing(ctx) {
                return anonymous(subject);
            }
            let mapped: *const File = ctx.arg(0);
            // Once more, for verifiers that know the argument may be NULL (7.x).
            if mapped.is_null() {
                return anonymous(subject);
            }
            // What a device maps is no file's content: /dev/zero shared is anonymous memory.
            let is_made = ctx.arg::<u64>(2) & PROT_WRITE != 0 || is_character_device(mapped);
            if is_made && !subject.may(Surface::Jit) {
                return anonymous(subject);
            }
            // SAFETY: the hook's argument, and not NULL.
            let dentry: *const Dentry = unsafe { load(mapped, &FILE_DENTRY) };
            if permits_mapped(subject, dentry, FileRights::EXEC) {
                return 0;
            }
            executable(subject, mapped)
        },
    )
}

/// Whether the memory is to be executable.
#[inline(always)]
fn executes(ctx: &LsmContext) -> bool {
    ctx.arg::<u64>(2) & PROT_EXEC != 0
}

/// Whether what is written to the memory is written to the file.
#[inline(always)]
fn is_shared(ctx: &LsmContext) -> bool {
    ctx.arg::<u64>(3) & MAP_SHARED != 0
}

/// Whether no file is mapped.
#[inline(always)]
fn maps_nothing(ctx: &LsmContext) -> bool {
    if numbers_are_cheap() {
        // SAFETY: the context holds the arguments, eight bytes each.
        return unsafe { is_null_at(ctx.as_ptr()) };
    }
    // A verifier that drops no test of an argument.
    ctx.arg::<*const File>(0).is_null()
}

/// Whether a file was opened to be executed, by `execve` of the program or as its interpreter: then
/// `file_open` asked for `file.exec`. Such a file has no descriptor, but for what binfmt_misc passes to
/// an interpreter (flag `O`), after the same question.
#[inline(always)]
fn is_program(mapped: *const File) -> bool {
    if mapped.is_null() {
        return false;
    }
    // SAFETY: the hook's argument, and not NULL.
    let flags: u32 = unsafe { load(mapped, &FILE_FLAGS) };
    flags & OPEN_EXEC != 0
}

/// `int file_mprotect(struct vm_area_struct *, unsigned long reqprot, unsigned long prot)`
#[lsm(hook = "file_mprotect")]
fn file_mprotect(ctx: LsmContext) -> i32 {
    let prot: u64 = ctx.arg(2);
    if prot & PROT_EXEC == 0 {
        return 0;
    }
    guard(&ctx, |subject, ctx| {
        // SAFETY: the hook's argument.
        let mapped: *const File = unsafe { load(ctx.arg::<*const Vma>(0), &VMA_FILE) };
        if mapped.is_null() {
            return anonymous(subject);
        }
        let is_written = ctx.arg::<u64>(2) & PROT_WRITE != 0 || has_own_pages(ctx.arg(0));
        if is_written && !subject.may(Surface::Jit) {
            return anonymous(subject);
        }
        executable(subject, mapped)
    })
}

/// Whether a private mapping of a file may have pages that were written since (`anon_vma_prepare()`,
/// mm/rmap.c, at the first of them): they are no file's any more.
#[inline(always)]
fn has_own_pages(mapping: *const Vma) -> bool {
    number_at(member(mapping, &VMA_ANON)) != 0
}

/// A file's memory that becomes executable.
#[inline(always)]
fn executable(subject: &Subject, mapped: *const File) -> i32 {
    // SAFETY: not NULL, and loaded from, or itself, a hook's argument.
    let dentry: *const Dentry = unsafe { load(mapped, &FILE_DENTRY) };
    match place_of(mapped, dentry) {
        Place::Named => opened(subject, dentry, FileRights::EXEC),
        // `mprotect` on an overlay sees the layer's file (6.5+), which has no path in the
        // session. Whoever may make anonymous memory executable could have copied it there.
        Place::Anonymous | Place::Layer => anonymous(subject),
    }
}

#[inline(always)]
fn anonymous(subject: &Subject) -> i32 {
    if subject.may(Surface::Jit) {
        return 0;
    }
    let detail = Detail {
        words: [0; 2],
        extra: 0,
    };
    refuse(
        subject,
        Right::ProcessJit,
        Reason::NotGranted,
        NO_RULE,
        detail,
        EACCES,
    )
}
