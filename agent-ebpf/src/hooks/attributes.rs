//! Attributes of files that no `path_*` hook sees. Mode and owner are in [`super::files`], inode flags
//! by `ioctl` in [`super::ioctl`].
//!
//! | hook | right |
//! |---|---|
//! | `inode_setattr` with times | `file.attr`; both to the present moment: `file.write` |
//! | `inode_setxattr`, `inode_removexattr` | `file.attr` |
//! | `inode_set_acl`, `inode_remove_acl` (6.2+) | `file.attr`; before, an ACL is an extended attribute |
//! | `inode_file_setattr` (6.17+): `file_setattr` | `file.attr` |
//!
//! These hooks are called once more for the layers below overlayfs, with a layer's dentry and without
//! its mount. That is told by the credentials ([`Subject::borrowed_credentials`]), and allowed.

use agent_abi::FileRights;
use aya_ebpf::{macros::lsm, programs::LsmContext};

use crate::{
    decide::{file, permits, refuse_terminal},
    kernel::{CHANGES_VALID, Changes, Dentry, SETATTR_CHANGES, SETATTR_DENTRY, argument, load},
    place::is_anonymous,
    subject::{Subject, guard, guard_unless},
    terminal,
};

/// `ATTR_ATIME_SET`, `ATTR_MTIME_SET`, `ATTR_TIMES_SET`: times that the caller chose, or one of the two
/// and not the other. Only `vfs_utimes()` (fs/utimes.c) and copy-up set them.
const TIMES_CHOSEN: u32 = 1 << 7 | 1 << 8 | 1 << 16;
/// `ATTR_TOUCH`: both times become the present moment. Every writer may do that, as it does by
/// writing; only `vfs_utimes()` sets it.
const TIMES_TOUCHED: u32 = 1 << 17;

/// `int inode_setattr(struct mnt_idmap *, struct dentry *, struct iattr *)`, before 6.9 without the
/// first. Sizes, modes and owners are judged by the `path_*` hooks; what writing changes besides
/// (times, set-user-id) is part of the writing.
#[lsm(hook = "inode_setattr")]
fn inode_setattr(ctx: LsmContext) -> i32 {
    guard_unless(
        &ctx,
        |ctx| changed_times(ctx) == 0,
        |subject, ctx| {
            let wanted = if changed_times(ctx) & TIMES_CHOSEN != 0 {
                FileRights::ATTR
            } else {
                FileRights::WRITE
            };
            change(subject, argument(ctx, &SETATTR_DENTRY), wanted)
        },
    )
}

/// The bits of [`TIMES_CHOSEN`] and [`TIMES_TOUCHED`] that are set.
#[inline(always)]
fn changed_times(ctx: &LsmContext) -> u32 {
    let changes: *const Changes = argument(ctx, &SETATTR_CHANGES);
    // SAFETY: the hook's argument.
    let valid: u32 = unsafe { load(changes, &CHANGES_VALID) };
    valid & (TIMES_CHOSEN | TIMES_TOUCHED)
}

/// `int inode_setxattr(struct mnt_idmap *, struct dentry *, const char *name, …)`
#[lsm(hook = "inode_setxattr")]
fn inode_setxattr(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        change(subject, ctx.arg(1), FileRights::ATTR)
    })
}

/// `int inode_removexattr(struct mnt_idmap *, struct dentry *, const char *name)`
#[lsm(hook = "inode_removexattr")]
fn inode_removexattr(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        change(subject, ctx.arg(1), FileRights::ATTR)
    })
}

/// `int inode_set_acl(struct mnt_idmap *, struct dentry *, const char *name, struct posix_acl *)`
#[lsm(hook = "inode_set_acl")]
fn inode_set_acl(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        change(subject, ctx.arg(1), FileRights::ATTR)
    })
}

/// `int inode_remove_acl(struct mnt_idmap *, struct dentry *, const char *name)`
#[lsm(hook = "inode_remove_acl")]
fn inode_remove_acl(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        change(subject, ctx.arg(1), FileRights::ATTR)
    })
}

/// `int inode_file_setattr(struct dentry *, struct file_kattr *)`
#[lsm(hook = "inode_file_setattr")]
fn inode_file_setattr(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        change(subject, ctx.arg(0), FileRights::ATTR)
    })
}

/// Decides about a change of what is at `dentry`.
#[inline(always)]
fn change(subject: &Subject, dentry: *const Dentry, wanted: FileRights) -> i32 {
    let is_decided = subject.borrowed_credentials().is_some();
    if !is_decided && terminal::is_of_others(subject, dentry) {
        return refuse_terminal(subject, dentry, wanted);
    }
    if is_decided || permits(subject, dentry, wanted) || is_anonymous(dentry) {
        return 0;
    }
    file(subject, dentry, wanted)
}
