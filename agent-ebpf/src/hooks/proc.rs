//! Files below /proc/PID by which another process is changed: its share of the processor and its place
//! before the out-of-memory killer (`oom_score_adj`, `autogroup`, `sched`), its core dumps, its page
//! accounting. The kernel asks no hook there but at the open, so opening one to write needs what
//! `setpriority` of that process would.

use agent_abi::{Reason, Surface, event::Detail};
use agent_decide::needs::FMODE_WRITE;

use super::process::refuse_control;
use crate::{
    address::Address,
    daemon, forking,
    kernel::{
        DENTRY_INODE, DENTRY_SB, Dentry, PID_TASKS, PROC_INODE, PROC_PID, SB_MAGIC, SuperBlock,
        TASK_GROUP_LEADER, TASK_PID_LINKS, TASK_TGID, load,
    },
    name::Name,
    subject::Subject,
};

const PROC_SUPER_MAGIC: u64 = 0x9fa0;

/// Refuses to open, or to receive open, what is another process's for writing; 0 for everything else. What a process of the
/// session may not write is for the rules of paths.
#[inline(always)]
pub(super) fn refuse_other_process(subject: &Subject, dentry: *const Dentry, mode: u32) -> i32 {
    if mode & FMODE_WRITE == 0 {
        return 0;
    }
    let task = process_of(dentry);
    if task.is_null() {
        return 0;
    }
    let leader = task.member(&TASK_GROUP_LEADER).follow();
    // An autogroup is not one process's: whoever is in the same POSIX session shares it.
    // SAFETY: the hook's dentry.
    let is_shared = unsafe { Name::of(dentry) }.begins_with(*b"autogrou");
    if forking::find(leader) == subject.label.bits() && !is_shared {
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

/// The process whose file of procfs it is; null where it is none's, or of one that has ended: there is nothing to
/// change any more.
#[inline(always)]
fn process_of(dentry: *const Dentry) -> Address {
    if !is_of_procfs(dentry) {
        return Address::at(0);
    }
    let inode = Address::of(dentry).member(&DENTRY_INODE).follow();
    if inode.is_null() {
        return inode;
    }
    // Every inode of procfs is in a `proc_inode` (`proc_alloc_inode()`); who is no process's has no pid.
    let pid = inode.container(&PROC_INODE).member(&PROC_PID).follow();
    if pid.is_null() {
        return pid;
    }
    let first = pid.member(&PID_TASKS).follow();
    if first.is_null() {
        return first;
    }
    first.container(&TASK_PID_LINKS)
}

#[inline(always)]
fn is_of_procfs(dentry: *const Dentry) -> bool {
    // SAFETY: the hook's dentry, and what is loaded from it.
    let magic: u64 = unsafe {
        let superblock: *const SuperBlock = load(dentry, &DENTRY_SB);
        load(superblock, &SB_MAGIC)
    };
    magic == PROC_SUPER_MAGIC
}

/// Whether a file says which users a user namespace of the session's knows, or how its clocks go, in a session
/// that may make such namespaces. The kernel asks for a capability over the namespace besides.
#[inline(always)]
pub(super) fn sets_up_own_namespace(subject: &Subject, dentry: *const Dentry) -> bool {
    if !names_set_up(subject, dentry) {
        return false;
    }
    let task = process_of(dentry);
    let leader = task.member(&TASK_GROUP_LEADER).follow();
    !task.is_null() && forking::find(leader) == subject.label.bits()
}

/// Whether a name in procfs is that of such a file. Under it none is made: the kernel asks before it looks whether
/// there is one (`may_o_create()`).
#[inline(always)]
pub(super) fn names_set_up(subject: &Subject, dentry: *const Dentry) -> bool {
    if !subject.may(Surface::Containers) || !is_of_procfs(dentry) {
        return false;
    }
    // SAFETY: the hook's dentry.
    let name = unsafe { Name::of(dentry) };
    let is_map = name.bytes() == 7 && matches!(name.head & SEVEN, UID_MAP | GID_MAP);
    is_map
        || name.begins_with(*b"setgroup")
        || name.begins_with(*b"projid_m")
        || name.begins_with(*b"timens_o")
}

/// Of eight bytes the first seven.
const SEVEN: u64 = u64::from_ne_bytes([255, 255, 255, 255, 255, 255, 255, 0]);
const UID_MAP: u64 = u64::from_ne_bytes(*b"uid_map\0");
const GID_MAP: u64 = u64::from_ne_bytes(*b"gid_map\0");
