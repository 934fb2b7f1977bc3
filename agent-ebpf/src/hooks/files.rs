//! Files, by path.
//!
//! | hook | right |
//! |---|---|
//! | `file_open` | `file.read`, `file.write`, `file.list` of a directory, `file.exec`; to write below /proc/PID of others `process.control` |
//! | `path_mknod`, `path_mkdir` | `file.create` |
//! | `path_symlink` | `file.create`, `file.symlink` |
//! | `path_unlink`, `path_rmdir` | `file.delete` |
//! | `path_link` | `file.create`, of a symbolic link `file.symlink`, and the refer rule |
//! | `path_rename` | `file.delete`, `file.create`, of a symbolic link `file.symlink`, and the refer rule |
//! | `path_truncate`, `file_truncate` (6.2+) | `file.write` |
//! | `path_chmod`, `path_chown` | `file.attr`; the other attributes are in [`super::attributes`] |
//!
//! `path_*` and not `inode_*`: filesystems that stand on others (overlayfs) and in-kernel servers
//! call the inode operations of the layer below with the agent as `current`, where paths mean
//! nothing to a grant.

use agent_abi::{FileRights, Reason};
use agent_decide::needs::{self, O_TMPFILE, OfMove, is_zero};
use aya_ebpf::{macros::lsm, programs::LsmContext};

use super::{
    ipc::is_usable_queue,
    proc::{names_set_up, refuse_other_process, sets_up_own_namespace},
    set_id::{self, refuse_set_id},
    user_namespaces::is_namespace,
};
use crate::{
    decide::{EACCES, EPERM, file, opened, permits, permits_opened, refuse_terminal},
    kernel::{
        DENTRY_INODE, Dentry, FILE_DENTRY, FILE_FLAGS, FILE_MODE, File, PATH_DENTRY, PATH_MOUNT,
        Path, VfsMount, load, member, number_at,
    },
    place::{Place, is_directory, is_symlink, mode_of, other_than_directory, place, place_of},
    refer::{Move, moved, permits_move, refuse_move},
    subject::{Subject, guard},
    terminal,
};

/// A flag of `renameat2`
const RENAME_WHITEOUT: u32 = 4;

/// `int file_open(struct file *)`: every open, by path, handle or magic link, but for `O_PATH`,
/// whose use is judged in its turn.
#[lsm(hook = "file_open")]
fn file_open(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        let file: *const File = ctx.arg(0);
        // SAFETY: the hook's argument.
        let (dentry, mode, flags): (*const Dentry, u32, u32) = unsafe {
            (
                load(file, &FILE_DENTRY),
                load(file, &FILE_MODE),
                load(file, &FILE_FLAGS),
            )
        };
        let wanted = wanted_by_open(file, mode, flags);
        if flags & O_TMPFILE != 0 && matches!(place_of(file, dentry), Place::Named) {
            let refused = refuse_set_id(subject, dentry, mode_of(file), FileRights::CREATE);
            if refused != 0 {
                return refused;
            }
        }
        if terminal::is_opened_by_others(subject, file, dentry) {
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
            Place::Named if is_usable_queue(subject, file, dentry) => 0,
            Place::Named if is_namespace(subject, dentry) => 0,
            Place::Named if sets_up_own_namespace(subject, dentry) => 0,
            Place::Named => opened(subject, dentry, wanted),
            Place::Anonymous if wanted.contains(FileRights::EXEC) => {
                opened(subject, dentry, wanted)
            }
            Place::Anonymous | Place::Layer => 0,
        }
    })
}

/// The rights that an open needs.
#[inline(always)]
pub(super) fn wanted_by_open(file: *const File, mode: u32, flags: u32) -> FileRights {
    needs::of_open(mode, flags, other_than_directory(file))
}

/// Decides about the dentry that is argument 1, below the directory that is argument 0.
#[inline(always)]
fn child(ctx: &LsmContext, wanted: FileRights) -> i32 {
    guard(ctx, |subject, ctx| at_dentry(subject, ctx.arg(1), wanted))
}

#[inline(always)]
fn at_dentry(subject: &Subject, dentry: *const Dentry, wanted: FileRights) -> i32 {
    if permits(subject, dentry, wanted) {
        0
    } else {
        file(subject, dentry, wanted)
    }
}

/// `int path_mknod(const struct path *dir, struct dentry *, umode_t, unsigned int dev)`
#[lsm(hook = "path_mknod")]
fn path_mknod(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        let dentry: *const Dentry = ctx.arg(1);
        let mode: u16 = ctx.arg(2);
        let refused = refuse_set_id(subject, dentry, mode, FileRights::CREATE);
        if refused != 0 {
            return refused;
        }
        if names_set_up(subject, dentry) {
            return 0;
        }
        at_dentry(subject, dentry, FileRights::CREATE)
    })
}

/// `int path_mkdir(const struct path *dir, struct dentry *, umode_t)`
#[lsm(hook = "path_mkdir")]
fn path_mkdir(ctx: LsmContext) -> i32 {
    child(&ctx, FileRights::CREATE)
}

/// `int path_symlink(const struct path *dir, struct dentry *, const char *old_name)`
#[lsm(hook = "path_symlink")]
fn path_symlink(ctx: LsmContext) -> i32 {
    child(&ctx, FileRights::CREATE.union(FileRights::SYMLINK))
}

/// `int path_unlink(const struct path *dir, struct dentry *)`
#[lsm(hook = "path_unlink")]
fn path_unlink(ctx: LsmContext) -> i32 {
    child(&ctx, FileRights::DELETE)
}

/// `int path_rmdir(const struct path *dir, struct dentry *)`
#[lsm(hook = "path_rmdir")]
fn path_rmdir(ctx: LsmContext) -> i32 {
    child(&ctx, FileRights::DELETE)
}

/// `int path_link(struct dentry *old, const struct path *new_dir, struct dentry *new)`
#[lsm(hook = "path_link")]
fn path_link(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        let old: *const Dentry = ctx.arg(0);
        let new: *const Dentry = ctx.arg(2);
        let wanted = Move {
            old,
            new,
            needs: OfMove::link(is_symlink(old)),
        };
        moved(subject, &wanted)
    })
}

/// `int path_rename(const struct path *old_dir, struct dentry *old, const struct path *new_dir,
/// struct dentry *new, unsigned int flags)`, flags since 5.19.
#[lsm(hook = "path_rename")]
fn path_rename(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        let old: *const Dentry = ctx.arg(1);
        let new: *const Dentry = ctx.arg(3);
        let flags: u32 = ctx.arg(4);
        rename(subject, old, new, flags)
    })
}

#[inline(always)]
fn rename(subject: &Subject, old: *const Dentry, new: *const Dentry, flags: u32) -> i32 {
    // A whiteout leaves a character device behind, at a name that loses its meaning.
    if flags & RENAME_WHITEOUT != 0 {
        return refuse_move(subject, old, Reason::Refer);
    }
    // A name that is free has no inode.
    let is_taken = is_zero(is_zero(number_at(member(new, &DENTRY_INODE)) >> 1));
    let wanted = Move {
        old,
        new,
        needs: OfMove::rename(flags, is_taken, is_symlink(old), is_symlink(new)),
    };
    if permits_move(subject, &wanted) {
        return 0;
    }
    moved(subject, &wanted)
}

/// `int path_truncate(const struct path *)`: `truncate`, and `open` with `O_TRUNC`.
#[lsm(hook = "path_truncate")]
fn path_truncate(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        let path: *const Path = ctx.arg(0);
        // SAFETY: the hook's path.
        if sets_up_own_namespace(subject, unsafe { load(path, &PATH_DENTRY) }) {
            return 0;
        }
        at_path(subject, path, FileRights::WRITE)
    })
}

/// `int file_truncate(struct file *)`: `ftruncate` from 6.2 on; before it is `path_truncate`.
#[lsm(hook = "file_truncate")]
fn file_truncate(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        let file: *const File = ctx.arg(0);
        // SAFETY: the hook's file.
        if sets_up_own_namespace(subject, unsafe { load(file, &FILE_DENTRY) }) {
            return 0;
        }
        at_file(subject, file, FileRights::WRITE)
    })
}

/// Decides about an open file, if it has a path.
#[inline(always)]
pub(super) fn at_file(subject: &Subject, file: *const File, wanted: FileRights) -> i32 {
    // SAFETY: the hook's file.
    let dentry: *const Dentry = unsafe { load(file, &FILE_DENTRY) };
    if permits_opened(subject, dentry, wanted) {
        return 0;
    }
    match place_of(file, dentry) {
        Place::Named => opened(subject, dentry, wanted),
        Place::Anonymous | Place::Layer => 0,
    }
}

/// `int path_chmod(const struct path *, umode_t)`
#[lsm(hook = "path_chmod")]
fn path_chmod(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        let path: *const Path = ctx.arg(0);
        let mode: u16 = ctx.arg(1);
        // SAFETY: the hook's path.
        let dentry: *const Dentry = unsafe { load(path, &PATH_DENTRY) };
        // On a directory the bit says which group new files get.
        if set_id::is_set(mode) && !is_directory(dentry) {
            let refused = refuse_set_id(subject, dentry, mode, FileRights::ATTR);
            if refused != 0 {
                return refused;
            }
        }
        at_path(subject, path, FileRights::ATTR)
    })
}

/// `int path_chown(const struct path *, kuid_t, kgid_t)`: `EPERM` as for whom the kernel gives nothing away,
/// which programs that copy, unpack or hand over a descriptor take for an answer and go on.
#[lsm(hook = "path_chown")]
fn path_chown(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        match at_path(subject, ctx.arg(0), FileRights::ATTR) {
            NO_ACCESS => -EPERM,
            result => result,
        }
    })
}

const NO_ACCESS: i32 = -EACCES;

/// Decides about a path, if it is one.
#[inline(always)]
pub(super) fn at_path(subject: &Subject, path: *const Path, wanted: FileRights) -> i32 {
    // SAFETY: the hook's path.
    let (mount, dentry): (*const VfsMount, *const Dentry) =
        unsafe { (load(path, &PATH_MOUNT), load(path, &PATH_DENTRY)) };
    if terminal::is_of_others(subject, dentry) {
        return refuse_terminal(subject, dentry, wanted);
    }
    if permits(subject, dentry, wanted) {
        return 0;
    }
    match place(mount, dentry) {
        Place::Named => file(subject, dentry, wanted),
        Place::Anonymous | Place::Layer => 0,
    }
}
