//! Execution.
//!
//! | hook | right |
//! |---|---|
//! | `file_open` with `__FMODE_EXEC` (in [`super::files`]) | `file.exec` of the program and every interpreter |
//! | `bprm_check_security` | no set-user-id gain; a thread that becomes the leader keeps the label |
//! | `mmap_file`, `file_mprotect` with `PROT_EXEC` | `file.exec`; anonymous memory: `process.jit` |
//!
//! So `ld.so program`, `LD_PRELOAD` and a memfd need the same right as `execve`.

use agent_abi::{FileRights, Reason, Right, Surface, event::Detail, ledger::NO_RULE};
use aya_ebpf::{EbpfContext, macros::lsm, programs::LsmContext};

use crate::{
    decide::{EACCES, ENOMEM, EPERM, opened, permits_mapped, refuse},
    kernel::{
        BPRM_FILE, Bprm, DENTRY_INODE, Dentry, FILE_DENTRY, File, INODE_MODE, Inode,
        TASK_ATOMIC_FLAGS, TASK_GROUP_LEADER, Task, VMA_FILE, Vma, is_null_at, load,
    },
    maps::LABELS,
    place::{Place, place_of},
    subject::{Subject, current_task, guard},
};

const PROT_EXEC: u64 = 4;
const S_ISUID: u16 = 0o4000;
const S_ISGID: u16 = 0o2000;
/// Bit 0 of `task_struct::atomic_flags`.
const PFA_NO_NEW_PRIVS: u64 = 1;

/// `int bprm_check_security(struct linux_binprm *)`: before `de_thread()`.
#[lsm(hook = "bprm_check_security")]
fn bprm_check_security(ctx: LsmContext) -> i32 {
    let result = carry_label();
    if result != 0 {
        return result;
    }
    guard(|subject| {
        // SAFETY: the hook's argument; a bprm always has a file here.
        let (inode, flags): (*const Inode, u64) = unsafe {
            let program: *const File = load(ctx.arg::<*const Bprm>(0), &BPRM_FILE);
            let dentry: *const Dentry = load(program, &FILE_DENTRY);
            (
                load(dentry, &DENTRY_INODE),
                load(subject.task, &TASK_ATOMIC_FLAGS),
            )
        };
        if inode.is_null() {
            return -EACCES;
        }
        // SAFETY: not NULL, and loaded from the hook's argument.
        let mode: u16 = unsafe { load(inode, &INODE_MODE) };
        if mode & (S_ISUID | S_ISGID) == 0 || flags & PFA_NO_NEW_PRIVS != 0 {
            return 0;
        }
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
    })
}

/// Gives the current thread the label of its group, or takes a label away that the group no
/// longer has: it is the leader from now on.
#[inline(always)]
fn carry_label() -> i32 {
    let task = current_task();
    // SAFETY: `current` is a valid task.
    let leader: *const Task = unsafe { load(task, &TASK_GROUP_LEADER) };
    if leader == task {
        return 0;
    }
    match LABELS.get(leader) {
        Some(label) => match LABELS.get_or_create(task) {
            // SAFETY: live map values of two tasks.
            Some(copy) => unsafe {
                *copy = *label;
                0
            },
            None => -ENOMEM,
        },
        None => {
            LABELS.delete(task);
            0
        }
    }
}

/// `int mmap_file(struct file *, unsigned long reqprot, unsigned long prot, unsigned long flags)`;
/// no file for anonymous memory.
#[lsm(hook = "mmap_file")]
fn mmap_file(ctx: LsmContext) -> i32 {
    let prot: u64 = ctx.arg(2);
    if prot & PROT_EXEC == 0 {
        return 0;
    }
    guard(|subject| {
        // SAFETY: the context holds the arguments, eight bytes each.
        if unsafe { is_null_at(ctx.as_ptr()) } {
            return anonymous(subject);
        }
        let mapped: *const File = ctx.arg(0);
        // Once more, for verifiers that know the argument may be NULL (7.x).
        if mapped.is_null() {
            return anonymous(subject);
        }
        // SAFETY: the hook's argument, and not NULL.
        let dentry: *const Dentry = unsafe { load(mapped, &FILE_DENTRY) };
        if permits_mapped(subject, dentry, FileRights::EXEC) {
            return 0;
        }
        executable(subject, mapped)
    })
}

/// `int file_mprotect(struct vm_area_struct *, unsigned long reqprot, unsigned long prot)`
#[lsm(hook = "file_mprotect")]
fn file_mprotect(ctx: LsmContext) -> i32 {
    let prot: u64 = ctx.arg(2);
    if prot & PROT_EXEC == 0 {
        return 0;
    }
    guard(|subject| {
        // SAFETY: the hook's argument.
        let mapped: *const File = unsafe { load(ctx.arg::<*const Vma>(0), &VMA_FILE) };
        if mapped.is_null() {
            return anonymous(subject);
        }
        executable(subject, mapped)
    })
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
