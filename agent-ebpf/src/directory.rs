//! The short way: the automaton's state after a directory's path, remembered with the directory's
//! inode, so that only the last name has to be read.
//!
//! Invariant: the answer is that of a path which the object really had at one moment, the moment at
//! which the sequence of `rename_lock` is read here.
//! - The object's own parent and name are read between two equal, even readings of its `d_seq`,
//!   which every move of a dentry changes (`__d_move()`, fs/dcache.c); the moment is between them.
//! - The directory's path at that moment is the one that its state was found for, because the
//!   state is kept with that sequence, and every change of a directory's path changes it.
//! - The state belongs to that directory and no other, because inode storage is freed with its
//!   inode, and a directory's inode has one dentry.
//! - A state kept for another image has another epoch.
//!
//! The sequence has 32 bits and could come around; the daemon gives every image a new epoch long
//! before 2^31 renames fit in (`renew_epochs()`). While no daemon runs nobody does: then an entry
//! could hold again after as many renames as bring the very same sequence back, in hours.

use core::mem::MaybeUninit;

use agent_abi::Image;

use crate::{
    automaton::read_name,
    kernel::{DENTRY_INODE, DENTRY_PARENT, DENTRY_SEQUENCE, Dentry, Inode, load},
    maps::DIRECTORIES,
    name::{Name, is_casefolded},
    renames::{is_renaming, rename_sequence},
    values::{WAYS, Way},
};

/// Room on the stack for a name; longer ones go the long way.
const ROOM: usize = 64;

/// When, and for which image, a state holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version(u64);

impl Version {
    #[inline(always)]
    pub(crate) fn new(sequence: u32, image: &Image) -> Self {
        Self(u64::from(sequence) | u64::from(image.header.epoch) << 32)
    }

    /// The sequence of `rename_lock`.
    #[inline(always)]
    pub(crate) fn sequence(self) -> u32 {
        self.0 as u32
    }

    /// The upper 48 bits of an odd multiple: neighbouring versions never share them.
    #[inline(always)]
    fn mixed(self) -> u64 {
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) & !0xffff
    }

    #[inline(always)]
    fn way(self) -> usize {
        (self.0 >> 32) as usize & (WAYS - 1)
    }
}

/// State of the automaton at the path of `dentry`, if its directory is remembered.
#[inline(always)]
pub(crate) fn recall(image: &Image, dentry: *const Dentry) -> Option<u64> {
    // Not cleared first: that would cost more than all the rest.
    let mut rest = MaybeUninit::<[u8; ROOM]>::uninit();
    // SAFETY: the hook's dentry and what is loaded from it.
    unsafe {
        let before: u32 = load(dentry, &DENTRY_SEQUENCE);
        let parent: *const Dentry = load(dentry, &DENTRY_PARENT);
        let name = Name::of(dentry);
        if parent == dentry || before & 1 != 0 {
            return None;
        }
        let inode: *const Inode = load(parent, &DENTRY_INODE);
        if inode.is_null() {
            return None;
        }
        if is_casefolded(inode) {
            return None;
        }
        let remembered = DIRECTORIES.get(inode)?;
        let version = Version::new(rename_sequence(), image);
        let way = (&raw const (*remembered).ways)
            .cast::<Way>()
            .add(version.way());
        let kept = (&raw const (*way).state).read_volatile();
        let unmixed = kept ^ version.mixed();
        if (*way).version != version.0 || unmixed > 0xffff || is_renaming(version.sequence()) {
            return None;
        }
        let state = read_name::<ROOM>(image, unmixed, name, rest.as_mut_ptr().cast())?;
        let after: u32 = load(dentry, &DENTRY_SEQUENCE);
        (after == before).then_some(state)
    }
}

/// Keeps the state of the directory in which `dentry` is, unless it has moved since `version`.
#[inline(always)]
pub(crate) fn remember(dentry: *const Dentry, version: Version, state: u64) {
    // SAFETY: the hook's dentry and what is loaded from it.
    unsafe {
        let parent: *const Dentry = load(dentry, &DENTRY_PARENT);
        let inode: *const Inode = load(parent, &DENTRY_INODE);
        if inode.is_null() || rename_sequence() != version.sequence() {
            return;
        }
        let Some(remembered) = DIRECTORIES.get_or_create(inode) else {
            return;
        };
        let way = (&raw mut (*remembered).ways)
            .cast::<Way>()
            .add(version.way());
        (&raw mut (*way).version).write_volatile(version.0);
        (&raw mut (*way).state).write_volatile(state | version.mixed());
    }
}
