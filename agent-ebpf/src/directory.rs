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
//! The sequence has 32 bits and could come around; the daemon replaces every image, and so its
//! epoch, long before 2^31 renames fit in.

use core::mem::MaybeUninit;

use agent_abi::Image;
use aya_ebpf::helpers::generated::bpf_probe_read_kernel;

use crate::{
    kernel::{
        DENTRY_INODE, DENTRY_NAME, DENTRY_NAME_LENGTH, DENTRY_PARENT, DENTRY_SEQUENCE, Dentry,
        Inode, load,
    },
    maps::DIRECTORIES,
    walk::{next, rename_sequence, visible},
};

/// Sessions that can remember one directory at the same time; others take turns.
const WAYS: usize = 4;

/// Longest name that the short way reads. It is on the stack.
const SHORT_NAME: usize = 64;

/// Value of the `DIRECTORIES` inode storage.
#[repr(C)]
pub struct Remembered {
    ways: [Way; WAYS],
}

#[repr(C)]
struct Way {
    version: u64,
    /// State in the low 16 bits; above them bits of the mixed version, so that two halves of
    /// different writers do not pass for one.
    state: u64,
}

/// When, and for which image, a state holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Version(u64);

impl Version {
    #[inline(always)]
    pub fn new(sequence: u32, image: &Image) -> Self {
        Self(u64::from(sequence) | u64::from(image.header.epoch) << 32)
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

/// State of the automaton at the path of `dentry`, and since when, if its directory is remembered.
#[inline(always)]
pub fn recall(image: &Image, dentry: *const Dentry) -> Option<(u32, Version)> {
    // Not cleared first: that would cost more than all the rest.
    let mut name = MaybeUninit::<[u8; SHORT_NAME]>::uninit();
    // SAFETY: the hook's dentry and what is loaded from it; the name is read by a helper that
    // fails on a bad address, into a buffer that the mask fits.
    unsafe {
        let before: u32 = load(dentry, &DENTRY_SEQUENCE);
        let parent: *const Dentry = load(dentry, &DENTRY_PARENT);
        let length: u32 = load(dentry, &DENTRY_NAME_LENGTH);
        let address: *const u8 = load(dentry, &DENTRY_NAME);
        if parent == dentry || length as usize >= SHORT_NAME || before & 1 != 0 {
            return None;
        }
        let inode: *const Inode = load(parent, &DENTRY_INODE);
        if inode.is_null() {
            return None;
        }
        let remembered = DIRECTORIES.get(inode)?;
        let size = visible(u64::from(length)) as u32 & (SHORT_NAME as u32 - 1);
        let name = name.as_mut_ptr().cast::<u8>();
        bpf_probe_read_kernel(name.cast(), size, address.cast());
        let version = Version::new(rename_sequence(), image);
        let after: u32 = load(dentry, &DENTRY_SEQUENCE);
        let way = (&raw const (*remembered).ways)
            .cast::<Way>()
            .add(version.way());
        let kept = (&raw const (*way).state).read_volatile();
        let unmixed = kept ^ version.mixed();
        if after != before || (*way).version != version.0 || unmixed > 0xffff || version.0 & 1 != 0
        {
            return None;
        }
        let mut state = next(image, unmixed as u32, b'/');
        let mut at = 0;
        while at < SHORT_NAME {
            if at as u32 >= length {
                break;
            }
            state = next(image, state, *name.add(at));
            at += 1;
        }
        Some((state, version))
    }
}

/// Keeps the state of the directory in which `dentry` is, unless it has moved since `version`.
#[inline(always)]
pub fn remember(dentry: *const Dentry, version: Version, state: u32) {
    // SAFETY: the hook's dentry and what is loaded from it.
    unsafe {
        let parent: *const Dentry = load(dentry, &DENTRY_PARENT);
        let inode: *const Inode = load(parent, &DENTRY_INODE);
        if inode.is_null() || u64::from(rename_sequence()) != version.0 & 0xffff_ffff {
            return;
        }
        let Some(remembered) = DIRECTORIES.get_or_create(inode) else {
            return;
        };
        let way = (&raw mut (*remembered).ways)
            .cast::<Way>()
            .add(version.way());
        (&raw mut (*way).version).write_volatile(version.0);
        (&raw mut (*way).state).write_volatile(u64::from(state) | version.mixed());
    }
}
