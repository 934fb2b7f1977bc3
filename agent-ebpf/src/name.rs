//! A name in the dcache.

use core::ffi::c_void;

use crate::kernel::{
    DENTRY_FLAGS, DENTRY_INODE, DENTRY_NAME, DENTRY_NAME_LENGTH, DENTRY_SB, DENTRY_SHORT_NAME,
    Dentry, INODE_FLAGS, Inode, SB_MAGIC, SuperBlock, load, member, number_at, number_at_by,
};

/// `DCACHE_OP_COMPARE`: the filesystem compares names in a way of its own.
const OP_COMPARE: u32 = 1 << 1;
/// Where `Name::length` notes it: above every length.
const OWN_COMPARISON: u64 = 1 << 32;

/// `S_CASEFOLD` in `inode::i_flags`
const CASEFOLD: u32 = 1 << 15;
const EXT4_MAGIC: u64 = 0xef53;
const F2FS_MAGIC: u64 = 0xf2f5_2010;
const TMPFS_MAGIC: u64 = 0x0102_1994;
const PROC_MAGIC: u64 = 0x9fa0;

/// Bytes of a name that are kept in a register.
pub(crate) const HEAD: u32 = 8;

/// A name in the dcache: valid under RCU, as long as the program runs.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Name {
    pub address: u64,
    /// In bytes; above them whether the name is [ambiguous](Self::is_ambiguous).
    length: u64,
    /// The first [`HEAD`] bytes; what is beyond the name's end has no meaning.
    pub head: u64,
}

impl Name {
    /// The name of `dentry`; consistent if the dentry did not move meanwhile. Ambiguous already if the
    /// filesystem may take several spellings for one name.
    ///
    /// # Safety
    /// `dentry` is one that the verifier accepts for a direct load.
    #[inline(always)]
    pub(crate) unsafe fn of(dentry: *const Dentry) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self::read(dentry, own_comparison(dentry)) }
    }

    /// # Safety
    /// As for [`of`](Self::of).
    #[inline(always)]
    unsafe fn read(dentry: *const Dentry, ambiguous: u64) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let address: u64 = load(dentry, &DENTRY_NAME);
            let length: u32 = load(dentry, &DENTRY_NAME_LENGTH);
            // Short names are in the dentry itself, where a load is cheaper.
            let head = if address == member(dentry, &DENTRY_SHORT_NAME) as u64 {
                load(dentry, &DENTRY_SHORT_NAME)
            } else {
                number_at(address as *const c_void)
            };
            Self {
                address,
                length: u64::from(length) | ambiguous,
                head,
            }
        }
    }

    /// Takes it for what it is spelled like.
    #[inline(always)]
    pub(crate) fn take_as_spelled(&mut self) {
        self.length = self.bytes();
    }

    /// How long it is, in bytes.
    #[inline(always)]
    pub(crate) fn bytes(self) -> u64 {
        self.length & (OWN_COMPARISON - 1)
    }

    /// Whether these are its first bytes.
    #[inline(always)]
    pub(crate) fn begins_with(self, head: [u8; HEAD as usize]) -> bool {
        self.head == u64::from_ne_bytes(head) && self.bytes() >= u64::from(HEAD)
    }

    /// Whether other spellings may name the same object, such as `.ENV` for `.env`: then patterns
    /// cannot be held against it.
    #[inline(always)]
    pub(crate) fn is_ambiguous(self) -> bool {
        self.length >= OWN_COMPARISON
    }
}

/// A name that was gathered, to be read later; without its head, for want of room.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Gathered {
    pub address: u64,
    /// As in [`Name`].
    length: u64,
}

impl Gathered {
    /// The name of `dentry`, ambiguous only if the directory `parent` of `dentry` takes several spellings
    /// for one name.
    ///
    /// # Safety
    /// Both are dentries that the verifier accepts for a direct load.
    #[inline(always)]
    pub(crate) unsafe fn in_directory(dentry: *const Dentry, parent: *const Dentry) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let ambiguous = if folds_names(dentry, parent) {
                OWN_COMPARISON
            } else {
                0
            };
            let address: u64 = load(dentry, &DENTRY_NAME);
            let length: u32 = load(dentry, &DENTRY_NAME_LENGTH);
            Self {
                address,
                length: u64::from(length) | ambiguous,
            }
        }
    }

    /// With its head; consistent if the dentry did not move since. `room` is where it is read to if it has
    /// to be copied: there is none left on the stack.
    ///
    /// # Safety
    /// `room` is that of a live map value.
    #[inline(always)]
    pub(crate) unsafe fn name(self, room: *mut u64) -> Name {
        // SAFETY: the caller's promise; the helper fails on a bad address.
        let head = unsafe { number_at_by(self.address as *const c_void, room) };
        Name {
            address: self.address,
            length: self.length,
            head,
        }
    }

    /// How long it is, in bytes.
    #[inline(always)]
    pub(crate) fn bytes(self) -> u64 {
        self.length & (OWN_COMPARISON - 1)
    }

    /// As for [`Name::is_ambiguous`].
    #[inline(always)]
    pub(crate) fn is_ambiguous(self) -> bool {
        self.length >= OWN_COMPARISON
    }
}

/// [`OWN_COMPARISON`] if the filesystem has one, else 0. Without a branch, which verifiers would follow
/// at every level.
///
/// # Safety
/// `dentry` is one that the verifier accepts for a direct load.
#[inline(always)]
unsafe fn own_comparison(dentry: *const Dentry) -> u64 {
    // SAFETY: the caller's promise.
    let flags: u32 = unsafe { load(dentry, &DENTRY_FLAGS) };
    u64::from(flags & OP_COMPARE) << 31
}

/// Whether a directory says that it ignores case. Before 6.9 that is all that tells when a file is
/// created by opening it: the dentry gets its comparison in the lookup, which comes after the hook
/// (`lookup_open()`).
///
/// # Safety
/// `directory` is an inode that the verifier accepts for a direct load.
#[inline(always)]
pub(crate) unsafe fn is_casefolded(directory: *const Inode) -> bool {
    // SAFETY: the caller's promise.
    let flags: u32 = unsafe { load(directory, &INODE_FLAGS) };
    flags & CASEFOLD != 0
}

/// Whether the directory `parent` of `dentry` takes several spellings for one name. Filesystems that
/// fold case in some directories only say so in the inode; what /proc compares besides the name is who
/// may see it (`proc_sys_compare()`).
///
/// # Safety
/// Both are dentries that the verifier accepts for a direct load.
#[inline(always)]
unsafe fn folds_names(dentry: *const Dentry, parent: *const Dentry) -> bool {
    // SAFETY: the caller's promise; a flag loaded through NULL would be 0.
    unsafe {
        let directory: *const Inode = load(parent, &DENTRY_INODE);
        if is_casefolded(directory) {
            return true;
        }
        if own_comparison(dentry) == 0 {
            return false;
        }
        let superblock: *const SuperBlock = load(dentry, &DENTRY_SB);
        let magic: u64 = load(superblock, &SB_MAGIC);
        !matches!(magic, PROC_MAGIC | EXT4_MAGIC | F2FS_MAGIC | TMPFS_MAGIC)
    }
}
