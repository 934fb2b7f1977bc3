//! Crashes: what the host has handle them runs outside of every session.
//!
//! | hook | right |
//! |---|---|
//! | `cred_prepare`, in a process that a signal ends | `process.core` |
//!
//! A core dump begins with credentials of its own (`prepare_creds()` in `vfs_coredump()`, fs/coredump.c;
//! `do_coredump()` before 6.18), whether it goes to a file, a pipe or a socket, and before anything is
//! opened or started for it. Refused those, there is none. Limits would not do: a pipe is used whatever
//! `RLIMIT_CORE` says unless it is 1, a socket always, and a session could change its own.

use agent_abi::{Right, Surface};
use aya_ebpf::{macros::lsm, programs::LsmContext};

use super::surface::opened;
use crate::{
    kernel::{TASK_FLAGS, load},
    subject::{current_task, guard_unless},
};

/// `PF_SIGNALED`: set in `get_signal()` (kernel/signal.c) just before the dump. What such a process does
/// afterwards is exit, which needs no credentials.
const SIGNALED: u32 = 0x400;

/// `int cred_prepare(struct cred *new, const struct cred *old, gfp_t)`
#[lsm(hook = "cred_prepare")]
fn cred_prepare(ctx: LsmContext) -> i32 {
    guard_unless(
        &ctx,
        |_| {
            // SAFETY: `current` is a valid task.
            let flags: u32 = unsafe { load(current_task(), &TASK_FLAGS) };
            flags & SIGNALED == 0
        },
        |subject, _| opened(subject, Surface::Core, Right::ProcessCore, 0),
    )
}
