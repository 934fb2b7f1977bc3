//! What kind of object a file is, and where it stands.

use agent_decide::needs::is_zero;

use crate::kernel::{
    DENTRY_INODE, DENTRY_SB, Dentry, FILE_INODE, FILE_MOUNT, File, INODE_MODE, Inode,
    MOUNT_NAMESPACE, MOUNT_VFSMOUNT, SB_FLAGS, SB_MAGIC, SuperBlock, VfsMount, container, is_null,
    load, member, number_at,
};

/// `SB_KERNMOUNT`: a filesystem that the kernel mounts for itself and that has no path.
pub(crate) const SB_KERNMOUNT: u64 = 1 << 22;
const PIPEFS_MAGIC: u64 = 0x5049_5045;
const SOCKFS_MAGIC: u64 = 0x534f_434b;
pub(crate) const TMPFS_MAGIC: u64 = 0x0102_1994;
/// What has a descriptor and nothing else: eventfd, epoll, inotify, BPF maps, io_uring …
const ANON_INODE_FS_MAGIC: u64 = 0x0904_1934;
/// Process descriptors (6.9+). What may be done with one is judged at its use.
const PIDFS_MAGIC: u64 = 0x5049_4446;
const HUGETLBFS_MAGIC: u64 = 0x9584_58f6;
const DMA_BUF_MAGIC: u64 = 0x444d_4142;
const SECRETMEM_MAGIC: u64 = 0x5345_434d;
const GUEST_MEMFD_MAGIC: u64 = 0x474d_454d;

pub(crate) const S_IFMT: u16 = 0o170_000;
pub(crate) const S_IFDIR: u16 = 0o040_000;
pub(crate) const S_IFCHR: u16 = 0o020_000;
const S_IFLNK: u16 = 0o120_000;

/// Whether a dentry is a directory.
#[inline(always)]
pub(crate) fn is_directory(dentry: *const Dentry) -> bool {
    // SAFETY: the hook's dentry; a negative one has no inode.
    unsafe { !is_null(dentry, &DENTRY_INODE) && has_directory_mode(load(dentry, &DENTRY_INODE)) }
}

/// 1 for a symbolic link, else 0, as for a name without an inode. Without branches.
///
/// Read as numbers: from 6.5 on verifiers take a dentry's inode for never NULL, and a load through it has
/// nothing then that catches the fault.
#[inline(always)]
pub(crate) fn is_symlink(dentry: *const Dentry) -> u64 {
    let inode = number_at(member(dentry, &DENTRY_INODE)) as *const Inode;
    let mode = number_at(member(inode, &INODE_MODE)) as u16;
    is_zero(u64::from((mode ^ S_IFLNK) & S_IFMT))
}

/// The mode of an open file.
#[inline(always)]
pub(crate) fn mode_of(file: *const File) -> u16 {
    // SAFETY: the hook's file; an open one always has an inode, and a mode loaded through NULL
    // would be 0.
    unsafe {
        let inode: *const Inode = load(file, &FILE_INODE);
        load(inode, &INODE_MODE)
    }
}

/// Zero for an open directory.
#[inline(always)]
pub(crate) fn other_than_directory(file: *const File) -> u64 {
    u64::from((mode_of(file) ^ S_IFDIR) & S_IFMT)
}

/// Whether an open file is of a character device.
#[inline(always)]
pub(crate) fn is_character_device(file: *const File) -> bool {
    mode_of(file) & S_IFMT == S_IFCHR
}

/// # Safety
/// `inode` is one that the verifier accepts for a direct load.
#[inline(always)]
unsafe fn has_directory_mode(inode: *const Inode) -> bool {
    if inode.is_null() {
        return false;
    }
    // SAFETY: the caller's promise.
    let mode: u16 = unsafe { load(inode, &INODE_MODE) };
    mode & S_IFMT == S_IFDIR
}

/// Where an object stands.
pub(crate) enum Place {
    /// In a filesystem that is mounted somewhere.
    Named,
    /// Never had a path: pipes, sockets, memfds and shared memory of the process itself, opened
    /// again through `/proc/self/fd`; process descriptors and their like.
    Anonymous,
    /// In the layer below a stacked filesystem (overlayfs), which opens it with the agent as
    /// `current` after the agent's own open was decided.
    Layer,
}

/// `MNT_NS_INTERNAL`: a mount that is in no namespace, so that no path leads into it.
const INTERNAL_NAMESPACE: u64 = (-22_i64).cast_unsigned();

/// Where an open file, whose dentry is `dentry`, stands.
#[inline(always)]
pub(crate) fn place_of(file: *const File, dentry: *const Dentry) -> Place {
    // SAFETY: the hook's file.
    place(unsafe { load(file, &FILE_MOUNT) }, dentry)
}

/// Where the path made of `mount` and `dentry` stands.
#[inline(always)]
pub(crate) fn place(mount: *const VfsMount, dentry: *const Dentry) -> Place {
    // `struct mount` is around the `vfsmount`; the verifier knows only the inner struct.
    let namespace = number_at(member(container(mount, &MOUNT_VFSMOUNT), &MOUNT_NAMESPACE));
    if namespace != INTERNAL_NAMESPACE {
        return Place::Named;
    }
    match standing(dentry) {
        (false, _) => Place::Layer,
        (true, true) => Place::Anonymous,
        // The kernel's own, such as namespaces: no root that a session knows, and so refused.
        (true, false) => Place::Named,
    }
}

/// Whether an object that a hook gives without its mount never had a path.
#[inline(always)]
pub(crate) fn is_anonymous(dentry: *const Dentry) -> bool {
    standing(dentry) == (true, true)
}

/// Whether the filesystem of `dentry` is one that the kernel mounts for itself, and whether it is one
/// of objects without a path.
#[inline(always)]
fn standing(dentry: *const Dentry) -> (bool, bool) {
    // SAFETY: the hook's dentry.
    let (flags, magic): (u64, u64) = unsafe {
        let superblock: *const SuperBlock = load(dentry, &DENTRY_SB);
        (load(superblock, &SB_FLAGS), load(superblock, &SB_MAGIC))
    };
    let nameless = matches!(
        magic,
        PIPEFS_MAGIC
            | SOCKFS_MAGIC
            | TMPFS_MAGIC
            | ANON_INODE_FS_MAGIC
            | PIDFS_MAGIC
            | HUGETLBFS_MAGIC
            | DMA_BUF_MAGIC
            | SECRETMEM_MAGIC
            | GUEST_MEMFD_MAGIC
    );
    (flags & SB_KERNMOUNT != 0, nameless)
}
