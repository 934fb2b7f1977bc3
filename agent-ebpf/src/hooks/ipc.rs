//! System V IPC and POSIX message queues: a session's own objects are free, those of others need
//! `ipc = "any"`, or for a queue a rule that names it.
//!
//! | hook | does |
//! |---|---|
//! | `shm_alloc_security`, `msg_queue_alloc_security`, `sem_alloc_security` | notes whose the object is |
//! | `shm_free_security`, `msg_queue_free_security`, `sem_free_security` | forgets it |
//! | `ipc_permission` (`*get` of what exists, `shmat`, `msgsnd`, `msgrcv`, `semop`, values) | `process.ipc` |
//! | `shm_shmctl`, `msg_queue_msgctl`, `sem_semctl` (removing, owners, locking, and what is there) | `process.ipc` |
//! | `fexit/mqueue_create_attr` | notes whose a new queue is |
//! | `inode_unlink` (`mq_unlink`) | `file.delete`, unless it is the session's own |
//!
//! An object is known by its address, from its allocation to when it is freed; ids and keys come round.
//! A queue is known by its inode. `mq_open` is judged in [`super::files`].

use agent_abi::{FileRights, Label, Reason, Right, Surface, event::Detail, ledger::NO_RULE};
use aya_ebpf::{
    macros::{fexit, lsm},
    programs::{FExitContext, LsmContext},
};

use crate::{
    address::Address,
    decide::{EACCES, ENOMEM, EPERM, file, refuse},
    kernel::{
        DENTRY_INODE, DENTRY_SB, Dentry, FILE_INODE, File, IPC_ID, IPC_KEY, Inode, SB_MAGIC,
        SuperBlock, TASK_GROUP_LEADER, Task, load, opaque,
    },
    maps::{LABELS, OBJECTS, QUEUES, SCRATCH},
    scratch::NewQueue,
    subject::{Subject, current_task, guard, guard_unless},
};

const MQUEUE_MAGIC: u64 = 0x1980_0202;

/// The programs are attached to the hooks that they are named after:
/// `int HOOK(struct kern_ipc_perm *)`, and `void` where it is freed.
macro_rules! object_hooks {
    ($($made:ident, $freed:ident;)*) => { $(
        #[lsm]
        fn $made(ctx: LsmContext) -> i32 {
            made(&ctx)
        }

        #[lsm]
        fn $freed(ctx: LsmContext) -> i32 {
            forget(&ctx);
            0
        }
    )* };
}

object_hooks! {
    shm_alloc_security, shm_free_security;
    msg_queue_alloc_security, msg_queue_free_security;
    sem_alloc_security, sem_free_security;
}

#[inline(always)]
fn address(ctx: &LsmContext) -> u64 {
    opaque(ctx.arg::<*const IpcObject>(0) as u64)
}

/// What stands where another object stood is nobody's, whoever makes it: a removal can fail on 6.1, where
/// an interrupt finds the map locked (`htab_lock_bucket()`).
#[inline(always)]
fn made(ctx: &LsmContext) -> i32 {
    forget(ctx);
    guard(ctx, |subject, ctx| {
        let noted = OBJECTS.insert(&address(ctx), &subject.label, 0).is_ok();
        if noted && subject.image.is_some() {
            return 0;
        }
        refuse(
            subject,
            Right::ProcessIpc,
            Reason::NoMemory,
            NO_RULE,
            Detail {
                words: [0; 2],
                extra: 0,
            },
            ENOMEM,
        )
    })
}

#[inline(always)]
fn forget(ctx: &LsmContext) {
    // Most objects are not of a session.
    let _ = OBJECTS.remove(&address(ctx));
}

/// `int ipc_permission(struct kern_ipc_perm *, short flag)`
#[lsm(hook = "ipc_permission")]
fn ipc_permission(ctx: LsmContext) -> i32 {
    object::<EACCES>(&ctx)
}

/// `int shm_shmctl(struct kern_ipc_perm *, int cmd)`
#[lsm(hook = "shm_shmctl")]
fn shm_shmctl(ctx: LsmContext) -> i32 {
    object::<EPERM>(&ctx)
}

/// `int msg_queue_msgctl(struct kern_ipc_perm *, int cmd)`
#[lsm(hook = "msg_queue_msgctl")]
fn msg_queue_msgctl(ctx: LsmContext) -> i32 {
    object::<EPERM>(&ctx)
}

/// `int sem_semctl(struct kern_ipc_perm *, int cmd)`
#[lsm(hook = "sem_semctl")]
fn sem_semctl(ctx: LsmContext) -> i32 {
    object::<EPERM>(&ctx)
}

/// Decides about the object that is argument 0; NULL where all of them are asked about, which tells
/// limits and sums. The error is a constant, because verifiers want to know what a hook returns.
#[inline(always)]
fn object<const ERRNO: i32>(ctx: &LsmContext) -> i32 {
    guard(ctx, |subject, ctx| {
        let address = address(ctx);
        if address == 0 || subject.may(Surface::IpcAny) || is_own_object(subject, address) {
            return 0;
        }
        let object = Address::of(address as *const IpcObject);
        let number = |place: Address| place.read() & u64::from(u32::MAX);
        let detail = Detail {
            words: [
                number(object.member(&IPC_ID)),
                number(object.member(&IPC_KEY)),
            ],
            extra: 0,
        };
        refuse(
            subject,
            Right::ProcessIpc,
            Reason::OutsideSession,
            NO_RULE,
            detail,
            ERRNO,
        )
    })
}

#[inline(always)]
fn is_own_object(subject: &Subject, address: u64) -> bool {
    // SAFETY: the value is written once, before the object can be found.
    let owner: Option<&Label> = unsafe { OBJECTS.get(&address) };
    subject.image.is_some() && owner.is_some_and(|owner| *owner == subject.label)
}

/// `struct kern_ipc_perm`
enum IpcObject {}

/// `int mqueue_create_attr(struct dentry *, umode_t, void *)` (ipc/mqueue.c), after it. Should the kernel
/// skip it, a session is refused its own queue.
#[fexit(function = "mqueue_create_attr")]
fn mqueue_create_attr(ctx: FExitContext) -> i32 {
    let failed: i32 = ctx.arg(3);
    let task = current_task();
    // SAFETY: `current` is a valid task.
    let leader: *const Task = unsafe { load(task, &TASK_GROUP_LEADER) };
    // SAFETY: the value lives as long as the program runs (RCU).
    let labelled = LABELS
        .get(leader)
        .is_some_and(|label| unsafe { (*label).generation != 0 });
    if failed != 0 || !labelled {
        return 0;
    }
    if let Some(scratch) = SCRATCH.get_or_create(task) {
        // SAFETY: the current task's scratch; the dentry of a new queue has an inode.
        unsafe {
            let inode: *const Inode = load(ctx.arg::<*const Dentry>(0), &DENTRY_INODE);
            (*scratch).queue = NewQueue::of(inode);
        }
    }
    0
}

/// Whether an open file is a message queue that the session may use without a rule: its own, or any.
#[inline(always)]
pub(super) fn is_usable_queue(subject: &Subject, file: *const File, dentry: *const Dentry) -> bool {
    // SAFETY: the hook's file, and what is loaded from it.
    let inode: *const Inode = unsafe {
        if magic_of(dentry) != MQUEUE_MAGIC {
            return false;
        }
        load(file, &FILE_INODE)
    };
    if subject.image.is_none() || inode.is_null() {
        return false;
    }
    subject.may(Surface::IpcAny) || is_own_queue(subject, inode) || becomes_own(subject, inode)
}

/// # Safety
/// `dentry` is one that the verifier accepts for a direct load.
#[inline(always)]
unsafe fn magic_of(dentry: *const Dentry) -> u64 {
    // SAFETY: the caller's promise.
    unsafe {
        let superblock: *const SuperBlock = load(dentry, &DENTRY_SB);
        load(superblock, &SB_MAGIC)
    }
}

#[inline(always)]
fn is_own_queue(subject: &Subject, inode: *const Inode) -> bool {
    // SAFETY: the value lives as long as the inode.
    QUEUES
        .get(inode)
        .is_some_and(|owner| unsafe { *owner == subject.label })
}

/// `mq_open` opens the queue that it made in the same call.
#[inline(always)]
fn becomes_own(subject: &Subject, inode: *const Inode) -> bool {
    let Some(scratch) = SCRATCH.get(subject.task) else {
        return false;
    };
    // SAFETY: the current task's scratch, and the hook's inode.
    unsafe {
        if (*scratch).queue != NewQueue::of(inode) {
            return false;
        }
        (*scratch).queue = NewQueue::NONE;
    }
    let Some(owner) = QUEUES.get_or_create(inode) else {
        return false;
    };
    // SAFETY: a live map value.
    unsafe { *owner = subject.label };
    true
}

/// `int inode_unlink(struct inode *dir, struct dentry *)`: what `mq_unlink` comes through, and no
/// `path_unlink`. Of other filesystems there is nothing to judge.
#[lsm(hook = "inode_unlink")]
fn inode_unlink(ctx: LsmContext) -> i32 {
    guard_unless(
        &ctx,
        // SAFETY: the hook's argument.
        |ctx| unsafe { magic_of(ctx.arg(1)) } != MQUEUE_MAGIC,
        |subject, ctx| {
            let dentry: *const Dentry = ctx.arg(1);
            // SAFETY: the hook's argument; what is unlinked has an inode.
            let inode: *const Inode = unsafe { load(dentry, &DENTRY_INODE) };
            let is_free =
                subject.may(Surface::IpcAny) || (!inode.is_null() && is_own_queue(subject, inode));
            if subject.image.is_some() && is_free {
                return 0;
            }
            file(subject, dentry, FileRights::DELETE)
        },
    )
}
