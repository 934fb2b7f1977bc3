//! Descriptors that a process did not open itself, and watches.
//!
//! | hook | right |
//! |---|---|
//! | `file_receive` (`SCM_RIGHTS`, `pidfd_getfd`, `SECCOMP_IOCTL_NOTIF_ADDFD`) | what opening it so would need; of what has no path, what making it would need |
//! | `path_notify` (inotify, fanotify, dnotify) | `file.list` of a directory, else `file.read`; of a whole mount or filesystem, or asked to permit what others do: never |

use agent_abi::{FileRights, Reason, Right, Surface};
use agent_decide::needs::{OPEN_EXEC, bit};
use aya_ebpf::{macros::lsm, programs::LsmContext};

use super::{
    files::{at_path, wanted_by_open},
    ipc::is_usable_queue,
    proc::{refuse_other_process, sets_up_own_namespace},
    surface::{self, IO_URING, USERFAULTFD},
    user_namespaces::is_namespace,
};
use crate::{
    decide::{EPERM, opened, permits_opened, refuse_terminal, refuse_whatever_rules},
    kernel::{Dentry, FILE_DENTRY, FILE_FLAGS, FILE_MODE, File, PATH_DENTRY, Path, load},
    name::Name,
    place::{Place, is_directory, place_of},
    subject::{Subject, guard},
    terminal,
};

/// Opened by `O_PATH`, which nothing refuses: whatever is done with it is judged.
const FMODE_PATH: u32 = 1 << 14;

/// `int file_receive(struct file *)`, for the process that receives. One that receives several gets
/// those before the first refused, and `MSG_CTRUNC` (`scm_detach_fds()`, net/core/scm.c).
#[lsm(hook = "file_receive")]
fn file_receive(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| receive(subject, ctx.arg(0)))
}

#[inline(always)]
fn receive(subject: &Subject, file: *const File) -> i32 {
    // SAFETY: the hook's argument.
    let (dentry, mode, flags): (*const Dentry, u32, u32) = unsafe {
        (
            load(file, &FILE_DENTRY),
            load(file, &FILE_MODE),
            load(file, &FILE_FLAGS),
        )
    };
    if mode & FMODE_PATH != 0 {
        return 0;
    }
    // The mode alone: what the open did besides (truncating, creating) is done. One that was opened to
    // be executed may be mapped so (`mmap_file`).
    let executes = bit(u64::from(flags), OPEN_EXEC) * u64::from(FileRights::EXEC.0);
    let wanted = FileRights(wanted_by_open(file, mode, 0).0 | executes as u16);
    if terminal::is_received_from_others(subject, file, dentry) {
        return refuse_terminal(subject, dentry, wanted);
    }
    let refused = refuse_other_process(subject, dentry, mode);
    if refused != 0 {
        return refused;
    }
    if permits_opened(subject, dentry, wanted) {
        return 0;
    }
    match place_of(file, dentry) {
        Place::Anonymous => receive_anonymous(subject, dentry),
        Place::Named if is_usable_queue(subject, file, dentry) => 0,
        Place::Named if is_namespace(subject, dentry) => 0,
        Place::Named if sets_up_own_namespace(subject, dentry) => 0,
        // No process has a layer's file open.
        Place::Named | Place::Layer => opened(subject, dentry, wanted),
    }
}

/// Interfaces of the kernel, by the names of their anonymous inodes. A socket's or pipe's name is empty.
#[inline(always)]
fn receive_anonymous(subject: &Subject, dentry: *const Dentry) -> i32 {
    // SAFETY: the hook's dentry.
    let name = unsafe { Name::of(dentry) };
    let (surface, right) = match name.head {
        IO_URING => (Surface::IoUring, Right::KernelIoUring),
        USERFAULTFD => (Surface::Userfaultfd, Right::KernelUserfaultfd),
        PERF => (Surface::Perf, Right::KernelPerf),
        head if head & BPF_MASK == BPF => (Surface::Bpf, Right::KernelBpf),
        _ => return 0,
    };
    surface::opened(subject, surface, right, 0)
}

const PERF: u64 = u64::from_ne_bytes(*b"[perf_ev");
/// Maps, programs, links, iterators.
const BPF: u64 = u64::from_ne_bytes(*b"bpf\0\0\0\0\0");
const BPF_MASK: u64 = 0x00ff_ffff;

/// `FSNOTIFY_OBJ_TYPE_INODE`; others are mounts, filesystems and mount namespaces.
const OBJECT: u32 = 0;
/// `FAN_OPEN_PERM`, `FAN_ACCESS_PERM`, `FAN_OPEN_EXEC_PERM`, `FAN_PRE_ACCESS`: whoever does it waits for an answer.
const ASKED: u64 = 0x17_0000;

/// `int path_notify(const struct path *, u64 mask, unsigned int obj_type)`. What a mark gives descriptors of is
/// judged by `file_open`.
#[lsm(hook = "path_notify")]
fn path_notify(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        let path: *const Path = ctx.arg(0);
        // SAFETY: the hook's argument.
        let dentry: *const Dentry = unsafe { load(path, &PATH_DENTRY) };
        let wanted = if is_directory(dentry) {
            FileRights::LIST
        } else {
            FileRights::READ
        };
        let (mask, object): (u64, u32) = (ctx.arg(1), ctx.arg(2));
        if object != OBJECT || mask & ASKED != 0 {
            let reason = Reason::SelfProtection;
            return refuse_whatever_rules(subject, dentry, wanted, reason, EPERM);
        }
        at_path(subject, path, wanted)
    })
}
