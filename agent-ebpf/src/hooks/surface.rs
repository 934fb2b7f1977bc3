//! Kernel surface: whole interfaces that a grant opens or leaves shut.
//!
//! | hook | right |
//! |---|---|
//! | `bpf`, in [`super::bpf`] | `kernel.bpf` |
//! | `perf_event_open` | `kernel.perf`; to watch whole processors, the kernel and tracepoints never |
//! | `inode_init_security_anon` | `kernel.io_uring`, `kernel.userfaultfd`; for faults of the kernel never |
//! | `uring_cmd` | what `ioctl` needs of a device or file |
//! | `uring_override_creds` | `kernel.io_uring`: a ring that was made before the label |
//! | `key_alloc`, `key_permission` | `kernel.keyring` |
//! | `kernel_module_request`, `kernel_load_data`, `kernel_read_file`, `locked_down` | `kernel.load` |
//! | `syslog` | the capability of that name |

use agent_abi::{Reason, Right, Surface, event::Detail, ledger::NO_RULE};
use core::ffi::c_void;

use aya_ebpf::{
    helpers::generated::{bpf_probe_read_kernel, bpf_task_pt_regs},
    macros::lsm,
    programs::LsmContext,
};

use super::process;
use crate::{
    decide::{EPERM, refuse},
    kernel::{
        PERF_TYPE, QSTR_NAME, Qstr, REGISTERS_CALL, REGISTERS_FIRST, Registers, argument, load,
    },
    subject::{Subject, guard, guard_alone},
};

/// Refuses unless the grant opens this part of the kernel.
#[inline(always)]
pub(super) fn opened(subject: &Subject, surface: Surface, right: Right, detail: u64) -> i32 {
    if subject.may(surface) {
        return 0;
    }
    let detail = Detail {
        words: [detail, 0],
        extra: 0,
    };
    refuse(subject, right, Reason::NotGranted, NO_RULE, detail, EPERM)
}

/// The programs are attached to the hooks that they are named after.
macro_rules! surface_hooks {
    ($($(#[$doc:meta])* $hook:ident => $surface:ident, $right:ident;)*) => { $(
        $(#[$doc])*
        #[lsm]
        fn $hook(_ctx: LsmContext) -> i32 {
            guard_alone(|subject| opened(subject, Surface::$surface, Right::$right, 0))
        }
    )* };
}

surface_hooks! {
    key_alloc => Keyrings, KernelKeyring;
    key_permission => Keyrings, KernelKeyring;
    kernel_module_request => Load, KernelLoad;
    kernel_load_data => Load, KernelLoad;
    kernel_read_file => Load, KernelLoad;
    locked_down => Load, KernelLoad;
    uring_override_creds => IoUring, KernelIoUring;
}

/// `PERF_SECURITY_OPEN`; others are a whole processor, the kernel and tracepoints, each asked for besides.
const OPEN: u64 = 0;

/// `int perf_event_open(int type)`, with the attributes before it until 6.15. Whether the kernel asks for a
/// capability besides is the host's setting (`perf_event_paranoid`); what a session watches is its own processes.
#[lsm(hook = "perf_event_open")]
fn perf_event_open(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        let kind = argument::<_, c_void>(ctx, &PERF_TYPE) as u64 & u64::from(u32::MAX);
        let shut = opened(subject, Surface::Perf, Right::KernelPerf, 0);
        if shut != 0 || kind == OPEN {
            return shut;
        }
        let detail = Detail {
            words: [kind, 0],
            extra: 0,
        };
        let reason = Reason::OutsideSession;
        refuse(subject, Right::KernelPerf, reason, NO_RULE, detail, EPERM)
    })
}

/// `int syslog(int type)`: the kernel's log is not for sessions, whatever `dmesg_restrict` says.
#[lsm(hook = "syslog")]
fn syslog(_ctx: LsmContext) -> i32 {
    guard_alone(|subject| process::needs_capability(subject, CAP_SYSLOG))
}

const CAP_SYSLOG: u32 = 34;

/// `int inode_init_security_anon(struct inode *, const struct qstr *name, const struct inode *)`
#[lsm(hook = "inode_init_security_anon")]
fn inode_init_security_anon(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        let mut name = [0_u8; 8];
        // SAFETY: the hook's argument; eight bytes of a name that is at least as long, or of
        // whatever follows it.
        unsafe {
            let address: *const u8 = load(ctx.arg::<*const Qstr>(1), &QSTR_NAME);
            bpf_probe_read_kernel((&raw mut name).cast(), 8, address.cast());
        }
        match u64::from_ne_bytes(name) {
            IO_URING => opened(subject, Surface::IoUring, Right::KernelIoUring, 0),
            USERFAULTFD => userfaults(subject),
            _ => 0,
        }
    })
}

/// Only faults of the program's own are handled. Of the kernel's, whoever holds a lock while it copies to such a
/// page would wait for the session, and everybody for him: a directory's, by listing it into one.
#[inline(always)]
fn userfaults(subject: &Subject) -> i32 {
    let right = Right::KernelUserfaultfd;
    let shut = opened(subject, Surface::Userfaultfd, right, 0);
    if shut != 0 {
        return shut;
    }
    // SAFETY: `current` is a valid task; the helper returns its registers, never NULL.
    let (call, flags): (u64, u64) = unsafe {
        let registers = bpf_task_pt_regs(subject.task.cast_mut().cast()) as *const Registers;
        (
            load(registers, &REGISTERS_CALL),
            load(registers, &REGISTERS_FIRST),
        )
    };
    // Its device has no such flag in the same place, and calls of other ABIs other numbers.
    if call == USERFAULTFD_CALL && flags & UFFD_USER_MODE_ONLY != 0 {
        return 0;
    }
    let detail = Detail {
        words: [flags, 0],
        extra: 0,
    };
    refuse(
        subject,
        right,
        Reason::SelfProtection,
        NO_RULE,
        detail,
        EPERM,
    )
}

const USERFAULTFD_CALL: u64 = 323;
const UFFD_USER_MODE_ONLY: u64 = 1;

/// Beginnings of the names of anonymous inodes.
pub(super) const IO_URING: u64 = u64::from_ne_bytes(*b"[io_urin");
pub(super) const USERFAULTFD: u64 = u64::from_ne_bytes(*b"[userfau");
