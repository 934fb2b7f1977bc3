//! Kernel surface: whole interfaces that a grant opens or leaves shut.
//!
//! | hook | right |
//! |---|---|
//! | `userns_create` | `kernel.namespace` (other namespaces need a capability) |
//! | `bpf`, in [`super::bpf`] | `kernel.bpf` |
//! | `perf_event_open` | `kernel.perf` |
//! | `inode_init_security_anon` | `kernel.io_uring`, `kernel.userfaultfd` |
//! | `uring_cmd` | what `ioctl` needs of a device or file |
//! | `uring_override_creds` | `kernel.io_uring`: a ring that was made before the label |
//! | `key_alloc`, `key_permission` | `kernel.keyring` |
//! | `kernel_module_request`, `kernel_load_data`, `kernel_read_file`, `locked_down` | `kernel.load` |
//! | `syslog` | the capability of that name |

use agent_abi::{Reason, Right, Surface, event::Detail, ledger::NO_RULE};
use aya_ebpf::{helpers::generated::bpf_probe_read_kernel, macros::lsm, programs::LsmContext};

use super::process;
use crate::{
    decide::{EPERM, refuse},
    kernel::{QSTR_NAME, Qstr, load},
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
    userns_create => Namespaces, KernelNamespace;
    perf_event_open => Perf, KernelPerf;
    key_alloc => Keyrings, KernelKeyring;
    key_permission => Keyrings, KernelKeyring;
    kernel_module_request => Load, KernelLoad;
    kernel_load_data => Load, KernelLoad;
    kernel_read_file => Load, KernelLoad;
    locked_down => Load, KernelLoad;
    uring_override_creds => IoUring, KernelIoUring;
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
            USERFAULTFD => opened(subject, Surface::Userfaultfd, Right::KernelUserfaultfd, 0),
            _ => 0,
        }
    })
}

/// Beginnings of the names of anonymous inodes.
pub(super) const IO_URING: u64 = u64::from_ne_bytes(*b"[io_urin");
pub(super) const USERFAULTFD: u64 = u64::from_ne_bytes(*b"[userfau");
