//! Locks and leases, by which a process holds others up.
//!
//! | hook | right |
//! |---|---|
//! | `file_lock`, exclusive | `file.write`: `flock` takes one on a file that is open for reading only |
//! | `file_lock`, shared | `file.read`, `file.list` of a directory, or what the file is open for |
//! | `file_fcntl` with `F_SETLEASE`, `F_SETDELEG` (6.19+) | the capability `lease` |
//!
//! A lease or delegation stops every open, and every change of a directory, by anybody, until its holder
//! gives way or `/proc/sys/fs/lease-break-time` is over; so it needs the capability on files of its own,
//! too. Locks hold up only who asks for one.

use agent_abi::FileRights;
use aya_ebpf::{macros::lsm, programs::LsmContext};

use super::{
    files::{at_file, wanted_by_open},
    process::needs_capability,
};
use crate::{
    kernel::{FILE_MODE, File, load},
    subject::{Subject, guard_unless},
};

pub(super) const F_SETLEASE: u32 = 1024;
pub(super) const F_SETDELEG: u32 = 1040;

const F_WRLCK: u32 = 1;
const F_UNLCK: u32 = 2;

const CAP_LEASE: u32 = 28;

/// `int file_lock(struct file *, unsigned int cmd)`: `flock` and `fcntl`, with the kind of lock.
#[lsm(hook = "file_lock")]
fn file_lock(ctx: LsmContext) -> i32 {
    guard_unless(
        &ctx,
        |ctx| ctx.arg::<u32>(1) == F_UNLCK,
        |subject, ctx| {
            let (file, kind): (*const File, u32) = (ctx.arg(0), ctx.arg(1));
            let wanted = if kind == F_WRLCK {
                FileRights::WRITE
            } else {
                // SAFETY: the hook's argument.
                wanted_by_open(file, unsafe { load(file, &FILE_MODE) }, 0)
            };
            at_file(subject, file, wanted)
        },
    )
}

/// Decides about `F_SETLEASE` and `F_SETDELEG`, whose argument is a pointer.
#[inline(always)]
pub(super) fn lease(subject: &Subject, command: u32, argument: u64) -> i32 {
    if command == F_SETLEASE && argument as u32 == F_UNLCK {
        return 0;
    }
    needs_capability(subject, CAP_LEASE)
}
