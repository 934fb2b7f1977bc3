//! Mounts.
//!
//! | hook | right |
//! |---|---|
//! | `sb_mount`, `sb_umount`, `sb_pivotroot`, `move_mount`, `sb_remount` | `kernel.mount` |
//! | `fs_context_parse_param`, `sb_kern_mount`: new filesystems | `kernel.mount` |
//!
//! Where the grant opens it, it is for mount namespaces of user namespaces that the session made: from
//! those nothing comes back to others, and what is bound or moved there keeps its name. A new filesystem
//! must hold nothing from elsewhere. Those of the kernel are known by their kind; one in memory is the
//! session's own from then on, and noted as such.

use core::ffi::c_void;

use agent_abi::{Reason, Right, Surface, event::Detail, ledger::NO_RULE};
use aya_ebpf::{helpers::generated::bpf_task_pt_regs, macros::lsm, programs::LsmContext};

use super::{
    call::{Configures, configures},
    surface::opened,
};
use crate::{
    address::Address,
    decide::{ENOMEM, EPERM, refuse},
    kernel::{
        CGROUP_NAMESPACE_OWNER, CONTEXT_TYPE, CgroupNamespace, FILE_PRIVATE, FILE_TABLE_FILES,
        FILES_TABLE, FILES_USERS, FILESYSTEM_NAME, FilesystemType, FsContext,
        MOUNT_NAMESPACE_OWNER, MountNamespace, NAMESPACES_CGROUP, NAMESPACES_MOUNT, Namespaces,
        REGISTERS_FIRST, Registers, SB_DEV, SB_TYPE, SB_USER_NAMESPACE, SuperBlock, TASK_FILES,
        TASK_NAMESPACES, UserNamespace, load, number_at,
    },
    maps::OWN,
    nested::is_made_by,
    subject::{Subject, current_task, guard, guard_alone},
};

const MS_REMOUNT: u64 = 1 << 5;
const MS_BIND: u64 = 1 << 12;
const MS_MOVE: u64 = 1 << 13;
/// `MS_UNBINDABLE`, `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED`
const MS_PROPAGATION: u64 = 0xf << 17;
/// With none of these a filesystem is mounted anew (`path_mount()`, fs/namespace.c).
const MS_OTHER: u64 = MS_REMOUNT | MS_BIND | MS_MOVE | MS_PROPAGATION;

/// Ends what others do with the filesystem.
const MNT_FORCE: u32 = 1;

/// Whether the grant opens mounts, in namespaces of the session's own.
#[inline(always)]
fn may_mount(subject: &Subject) -> bool {
    subject.may(Surface::Mount) || subject.may(Surface::Containers)
}

/// Why nothing may be mounted, if so; 0 for what may go on.
#[inline(always)]
fn private(subject: &Subject) -> i32 {
    if !may_mount(subject) {
        return opened(subject, Surface::Mount, Right::KernelMount, 0);
    }
    if is_own_namespace(subject) {
        return 0;
    }
    refuse_mount(subject)
}

#[inline(always)]
fn refuse_mount(subject: &Subject) -> i32 {
    let detail = Detail {
        words: [0; 2],
        extra: 0,
    };
    let reason = Reason::OutsideSession;
    refuse(subject, Right::KernelMount, reason, NO_RULE, detail, EPERM)
}

/// Refuses to mount the host's cgroups by a context from another cgroup namespace, which who asks for `sys_admin`
/// over a user namespace of its own may be about to do.
///
/// The kernel asks for that over the owner of the namespace in which the context was opened, and sets the options of
/// the hierarchy, which is one for all, if the *caller* is in the host's (`apply_cgroup_root_flags()`,
/// kernel/cgroup/cgroup.c), before any hook for mounts.
#[inline(always)]
pub(super) fn refuse_hosts_cgroups(subject: &Subject) -> i32 {
    let call = configures(subject);
    if matches!(call, Configures::No) {
        return 0;
    }
    // SAFETY: `current` is a valid task; what is not there loads as zero.
    let owner: *const UserNamespace = unsafe {
        let all: *const Namespaces = load(subject.task, &TASK_NAMESPACES);
        let cgroups: *const CgroupNamespace = load(all, &NAMESPACES_CGROUP);
        load(cgroups, &CGROUP_NAMESPACE_OWNER)
    };
    if is_made_by(subject, owner) {
        return 0;
    }
    if matches!(call, Configures::Yes) && !may_be_of_cgroups() {
        return 0;
    }
    refuse_mount(subject)
}

/// Whether the context that `fsconfig` is called with may be one of cgroups: it is, or who
/// shares the descriptors could put another in its place.
#[inline(never)]
fn may_be_of_cgroups() -> bool {
    const CGROUP: u64 = name(*b"cgroup\0\0");
    let task = current_task();
    // SAFETY: `current` is a valid task; the helper returns its registers, never NULL.
    let descriptor: u64 = unsafe {
        let registers = bpf_task_pt_regs(task.cast_mut().cast());
        load(registers as *const Registers, &REGISTERS_FIRST)
    };
    let files = Address::of(task).member(&TASK_FILES).follow();
    if files.member(&FILES_USERS).read() as u32 != 1 {
        return true;
    }
    let all = files.member(&FILES_TABLE).follow();
    let all = all.member(&FILE_TABLE_FILES).follow();
    let file = all.plus((descriptor as u32 as u64) << 3).follow();
    let context = file.member(&FILE_PRIVATE).follow();
    let kind = context.member(&CONTEXT_TYPE).follow();
    let name = kind.member(&FILESYSTEM_NAME).follow().read();
    name == 0 || name & SIX == CGROUP
}

/// Whether the task's mount namespace belongs to a user namespace that the session made.
#[inline(always)]
fn is_own_namespace(subject: &Subject) -> bool {
    // SAFETY: `current` is a valid task; what is not there loads as zero.
    let owner: *const UserNamespace = unsafe {
        let all: *const Namespaces = load(subject.task, &TASK_NAMESPACES);
        let mounts: *const MountNamespace = load(all, &NAMESPACES_MOUNT);
        load(mounts, &MOUNT_NAMESPACE_OWNER)
    };
    is_made_by(subject, owner)
}

#[inline(always)]
const fn name(text: [u8; 8]) -> u64 {
    u64::from_ne_bytes(text)
}

const TMPFS: u64 = name(*b"tmpfs\0\0\0");
/// Of eight bytes those before the sixth, its NUL.
const SIX: u64 = u64::from_ne_bytes([255, 255, 255, 255, 255, 255, 0, 0]);

/// Whether filesystems of this type hold nothing from elsewhere when they are new, by the beginning of
/// the type's name.
#[inline(always)]
fn is_fresh(name: u64) -> bool {
    const FIVE: u64 = u64::from_ne_bytes([255, 255, 255, 255, 255, 0, 0, 0]);
    const SEVEN: u64 = u64::from_ne_bytes([255, 255, 255, 255, 255, 255, 255, 0]);
    name & FIVE == self::name(*b"proc\0\0\0\0")
        || name & SIX == self::name(*b"sysfs\0\0\0")
        || name & SIX == TMPFS
        || name & SEVEN == self::name(*b"devpts\0\0")
        || name & SEVEN == self::name(*b"mqueue\0\0")
        || name == self::name(*b"cgroup2\0")
}

#[inline(always)]
fn judge_type(subject: &Subject, kind: *const FilesystemType) -> i32 {
    // SAFETY: loaded from the hook's argument.
    let name: *const c_void = unsafe { load(kind, &FILESYSTEM_NAME) };
    judge_name(subject, number_at(name))
}

#[inline(always)]
fn judge_name(subject: &Subject, name: u64) -> i32 {
    if is_fresh(name) {
        return 0;
    }
    refuse_mount(subject)
}

/// `int sb_mount(const char *dev_name, const struct path *, const char *type, unsigned long flags,
/// void *data)`
#[lsm(hook = "sb_mount")]
fn sb_mount(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        let result = private(subject);
        let flags: u64 = ctx.arg(3);
        if result != 0 || flags & MS_OTHER != 0 || !may_mount(subject) {
            return result;
        }
        judge_name(subject, number_at(ctx.arg(2)))
    })
}

/// `int sb_umount(struct vfsmount *, int flags)`
#[lsm(hook = "sb_umount")]
fn sb_umount(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        let flags: u32 = ctx.arg(1);
        let result = private(subject);
        if result == 0 && flags & MNT_FORCE != 0 {
            return refuse_mount(subject);
        }
        result
    })
}

/// `int sb_pivotroot(const struct path *old, const struct path *new)`
#[lsm(hook = "sb_pivotroot")]
fn sb_pivotroot(_ctx: LsmContext) -> i32 {
    // A closure of its own: a function as a value has no size, which BTF does not allow with a member.
    guard_alone(|subject| private(subject))
}

/// `int move_mount(const struct path *from, const struct path *to)`
#[lsm(hook = "move_mount")]
fn move_mount(_ctx: LsmContext) -> i32 {
    // A closure of its own: a function as a value has no size, which BTF does not allow with a member.
    guard_alone(|subject| private(subject))
}

/// `int sb_remount(struct super_block *, void *options)`: of the filesystem itself, for all who use it.
#[lsm(hook = "sb_remount")]
fn sb_remount(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        let result = private(subject);
        if result != 0 || !may_mount(subject) || is_own(subject, ctx.arg(0)) {
            return result;
        }
        refuse_mount(subject)
    })
}

/// Whether a filesystem belongs to a user namespace that the session made.
#[inline(always)]
fn is_own(subject: &Subject, superblock: *const SuperBlock) -> bool {
    // SAFETY: the hook's argument.
    is_made_by(subject, unsafe { load(superblock, &SB_USER_NAMESPACE) })
}

/// `int fs_context_parse_param(struct fs_context *, struct fs_parameter *)`: before a filesystem looks
/// at what it is told, since making one can change what it stands on (overlayfs clears its work
/// directory). Zero leaves the parameter to the filesystem: the kernel's own function, which answers
/// `-ENOPARAM`, is called after it.
#[lsm(hook = "fs_context_parse_param")]
fn fs_context_parse_param(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        let result = private(subject);
        if result != 0 || !may_mount(subject) {
            return result;
        }
        let context: *const FsContext = ctx.arg(0);
        // SAFETY: the hook's argument.
        judge_type(subject, unsafe { load(context, &CONTEXT_TYPE) })
    })
}

/// `int sb_kern_mount(const struct super_block *)`: a filesystem that was made or found, before anybody
/// can see it.
#[lsm(hook = "sb_kern_mount")]
fn sb_kern_mount(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        let superblock: *const SuperBlock = ctx.arg(0);
        let result = private(subject);
        if result != 0 || !may_mount(subject) {
            return result;
        }
        // SAFETY: the hook's argument, and what is loaded from it.
        let (name, dev): (u64, u32) = unsafe {
            let kind: *const FilesystemType = load(superblock, &SB_TYPE);
            let name: *const c_void = load(kind, &FILESYSTEM_NAME);
            (number_at(name), load(superblock, &SB_DEV))
        };
        let result = judge_name(subject, name);
        if result != 0 || name & SIX != TMPFS || !is_own(subject, superblock) {
            return result;
        }
        match OWN.insert(&dev, &subject.label.generation, 0) {
            Ok(()) => 0,
            Err(_) => -ENOMEM,
        }
    })
}
