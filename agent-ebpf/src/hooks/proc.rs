//! Files below /proc/PID by which another process is changed: its share of the processor and its place
//! before the out-of-memory killer (`oom_score_adj`, `autogroup`, `sched`), its core dumps, its page
//! accounting. The kernel asks no hook there but at the open, so opening one to write needs what
//! `setpriority` of that process would.

use agent_abi::{Reason, Surface, event::Detail};
use agent_decide::needs::FMODE_WRITE;

use super::process::refuse_control;
use crate::{
    address::Address,
    daemon,
    kernel::{
        DENTRY_SB, Dentry, FILE_INODE, File, Inode, PID_TASKS, PROC_INODE, PROC_PID, SB_MAGIC,
        SuperBlock, TASK_GROUP_LEADER, TASK_PID_LINKS, TASK_TGID, load,
    },
    maps::LABELS,
    name::Name,
    subject::Subject,
};

const PROC_SUPER_MAGIC: u64 = 0x9fa0;

/// Refuses to open, or to receive open, what is another process's for writing; 0 for everything else. What a process of the
/// session may not write is for the rules of paths.
#[inline(always)]
pub(super) fn refuse_other_process(
    subject: &Subject,
    file: *const File,
    dentry: *const Dentry,
    mode: u32,
) -> i32 {
    if mode & FMODE_WRITE == 0 {
        return 0;
    }
    // SAFETY: the hook's file and its dentry.
    let (magic, inode): (u64, *const Inode) = unsafe {
        let superblock: *const SuperBlock = load(dentry, &DENTRY_SB);
        (load(superblock, &SB_MAGIC), load(file, &FILE_INODE))
    };
    if magic != PROC_SUPER_MAGIC {
        return 0;
    }
    // Every inode of procfs is in a `proc_inode` (`proc_alloc_inode()`); who is no process's has no pid.
    let pid = Address::of(inode)
        .container(&PROC_INODE)
        .member(&PROC_PID)
        .follow();
    if pid.is_null() {
        return 0;
    }
    let first = pid.member(&PID_TASKS).follow();
    // It has ended: there is nothing to change any more.
    if first.is_null() {
        return 0;
    }
    let task = first.container(&TASK_PID_LINKS);
    let leader = task.member(&TASK_GROUP_LEADER).follow();
    // An autogroup is not one process's: whoever is in the same POSIX session shares it.
    // SAFETY: the hook's dentry.
    let is_shared = unsafe { Name::of(dentry) }.begins_with(*b"autogrou");
    if LABELS.find(leader) == subject.label.bits() && !is_shared {
        return 0;
    }
    // The daemon's too, where it was started by hand.
    let is_kept = is_shared || daemon::owns(task);
    let reason = match (subject.may(Surface::ControlAny), is_kept) {
        (true, false) => return 0,
        (true, true) => Reason::SelfProtection,
        (false, _) => Reason::OutsideSession,
    };
    let number = task.member(&TASK_TGID).read() & u64::from(u32::MAX);
    let detail = Detail {
        words: [number, 0],
        extra: 0,
    };
    refuse_control(subject, reason, detail)
}
