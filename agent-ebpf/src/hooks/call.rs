//! A capability that was granted, in calls that a switch of the grant leaves shut.
//!
//! New namespaces other than users', copies of mount trees, new mounts and their attributes have no hook but
//! `capable`. So there a granted `sys_admin` (and `sys_module` for removing a module) is held against the
//! system call under way, which the kernel keeps in the registers that it saved at the entry. It fails
//! closed: calls by the numbers of other ABIs and calls that are newer than this table are taken for those
//! that are shut. io_uring carries none of them.

use agent_abi::{Reason, Right, Surface, event::Detail, ledger::NO_RULE};
use aya_ebpf::helpers::generated::bpf_task_pt_regs;

use crate::{
    decide::{EPERM, refuse, refuse_silently},
    kernel::{REGISTERS_CALL, Registers, TASK_STATUS, USER_NAMESPACE_NUMBER, UserNamespace, load},
    nested::is_made_by,
    subject::Subject,
};

const CAP_SYS_MODULE: u32 = 16;
pub(super) const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;

/// `TS_COMPAT` in `thread_info::status`: a call by a number of the 32-bit table.
const COMPAT: u32 = 2;

const IO_URING_ENTER: u64 = 426;
const FSCONFIG: u64 = 431;
const PERF_EVENT_OPEN: u64 = 298;
const SCHED_SETATTR: u64 = 314;

/// The last call that this table knows (`rseq_slice_yield`, 7.0). x32 numbers are above it too.
const LAST: u64 = 471;

/// Refuses a granted capability where it would do what another switch leaves shut.
#[inline(always)]
pub(super) fn used_for(subject: &Subject, capability: u32, namespace: *const UserNamespace) -> i32 {
    let (shut, right) = match capability {
        CAP_SYS_ADMIN => {
            let call = number(subject);
            if looks_up_a_path(call) && is_initial(namespace) {
                return refuse_silently(subject, EPERM);
            }
            let mount = subject.may(Surface::Mount);
            let namespaces = subject.may(Surface::Namespaces);
            match call {
                PERF_EVENT_OPEN => return refuse_to_watch(subject, capability),
                // clone, unshare, setns, clone3
                56 | 272 | 308 | 435 => (!namespaces, Right::KernelNamespace),
                // pivot_root, mount, umount2; open_tree to fspick; mount_setattr, open_tree_attr
                // The hooks for mounts come after the filesystem was made, or found.
                155 | 165 | 166 | 428..=433 | 442 | 467 => {
                    let shut = !mount || !is_made_by(subject, namespace);
                    (shut, Right::KernelMount)
                }
                // Any of those above, and a look-up too.
                call if call > LAST => {
                    let shut = !mount || !namespaces || !is_made_by(subject, namespace);
                    (shut, Right::KernelMount)
                }
                _ => return 0,
            }
        }
        CAP_PERFMON => match number(subject) {
            // ioctl, bpf
            16 | 321 => return 0,
            PERF_EVENT_OPEN => return refuse_to_watch(subject, capability),
            _ => return refuse_silently(subject, EPERM),
        },
        CAP_SYS_MODULE => {
            if subject.may(Surface::Load) {
                return 0;
            }
            match number(subject) {
                // delete_module
                176 => (true, Right::KernelLoad),
                call => (call > LAST, Right::KernelLoad),
            }
        }
        _ => return 0,
    };
    if !shut {
        return 0;
    }
    let detail = Detail {
        words: [u64::from(capability), 0],
        extra: 0,
    };
    refuse(subject, right, Reason::NotGranted, NO_RULE, detail, EPERM)
}

/// `perf_event_open` with a capability watches every process and the kernel; puts breakpoints into programs
/// that others run, in the middle of an instruction too (uprobes); and with `kill` has the kernel signal others
/// (`sigtrap`). From 6.16 on no hook sees which of these it is. Without one it watches the session's processes.
#[inline(always)]
fn refuse_to_watch(subject: &Subject, capability: u32) -> i32 {
    let detail = Detail {
        words: [u64::from(capability), 0],
        extra: 0,
    };
    let reason = Reason::OutsideSession;
    refuse(subject, Right::KernelPerf, reason, NO_RULE, detail, EPERM)
}

/// Whether the call under way is one by which a deadline may be set (or one of another ABI).
#[inline(always)]
pub(super) fn may_set_deadline(subject: &Subject) -> bool {
    let call = number(subject);
    call == SCHED_SETATTR || call > LAST
}

/// Whether the call under way is `fsconfig`, which makes a filesystem of a context.
pub(super) enum Configures {
    No,
    Yes,
    /// It is one of another ABI, whose registers are others.
    Perhaps,
}

#[inline(always)]
pub(super) fn configures(subject: &Subject) -> Configures {
    match number(subject) {
        FSCONFIG => Configures::Yes,
        call if call > LAST => Configures::Perhaps,
        _ => Configures::No,
    }
}

/// Whether the call under way writes to a descriptor: `write`, `pwrite64`, `writev`.
#[inline(always)]
pub(super) fn is_write(subject: &Subject) -> bool {
    matches!(number(subject), 1 | 18 | 20)
}

/// `PROC_USER_INIT_INO` (include/linux/proc_ns.h)
const INITIAL: u32 = 0xefff_fffd;

/// Whether it is the user namespace of the host.
#[inline(always)]
fn is_initial(namespace: *const UserNamespace) -> bool {
    // SAFETY: the hook's argument.
    let number: u32 = unsafe { load(namespace, &USER_NAMESPACE_NUMBER) };
    number == INITIAL
}

/// Calls by which a file of `/proc/PID` is opened, listed or followed, or another's memory advised on. None of
/// them needs `sys_admin` over the host for anything that a grant means by it. (Over its own user namespace it is
/// what opens `/proc/self/setgroups`.)
#[inline(always)]
fn looks_up_a_path(call: u64) -> bool {
    // open, stat, lstat, access, getdents, creat, readlink; getdents64; openat, newfstatat, readlinkat,
    // faccessat; statx; io_uring_enter; openat2, faccessat2, process_madvise
    matches!(
        call,
        2 | 4
            | 6
            | 21
            | 78
            | 85
            | 89
            | 217
            | 257
            | 262
            | 267
            | 269
            | 332
            | IO_URING_ENTER
            | 437
            | 439
            | 440
    )
}

/// Number of the system call under way; above [`LAST`] where it is one of another ABI. A worker of a ring has
/// none: its registers are those of whoever made it.
#[inline(always)]
fn number(subject: &Subject) -> u64 {
    if subject.is_ring_worker() {
        return IO_URING_ENTER;
    }
    // SAFETY: `current` is a valid task; the helper returns its registers, never NULL.
    unsafe {
        let status: u32 = load(subject.task, &TASK_STATUS);
        if status & COMPAT != 0 {
            return u64::MAX;
        }
        let registers = bpf_task_pt_regs(subject.task.cast_mut().cast());
        load(registers as *const Registers, &REGISTERS_CALL)
    }
}
