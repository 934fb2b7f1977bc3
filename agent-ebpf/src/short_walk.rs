//! The walk of [`crate::walk`] for what is not very deep: without scratch space and callbacks. Whatever
//! it does not manage is left to the long one, and so is every refusal.
//!
//! Invariant: as there, the states are those of paths that the tree really had at one moment.

use core::mem::MaybeUninit;

use agent_abi::{Image, limits::MAX_SUPERBLOCKS};

use crate::{
    automaton::{next, read_name},
    kernel::{DENTRY_PARENT, DENTRY_SB, Dentry, SB_DEV, SB_ROOT, SuperBlock, load},
    name::Name,
    renames::{is_renaming, rename_sequence},
    walk::superblock_number,
};

/// Calls a macro once for each directory that fits between an object and the root of its
/// filesystem. Not a loop, because the verifier has to see which slots of the stack are in use, and
/// LLVM turns loops into ones where it cannot.
macro_rules! for_each_level {
    ($step:ident($($argument:tt),*)) => {
        for_each_level!(@ $step [$($argument),*] 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)
    };
    (@ $step:ident $arguments:tt $($level:literal)*) => {
        $( $step!($level, $arguments); )*
    };
}

/// The same from the root down. Most objects are not deep, and slots are filled from the first on, so
/// the upper ones are asked together.
macro_rules! for_each_level_back {
    ($ancestors:ident, $step:ident($($argument:tt),*)) => {
        if !$ancestors.add(4).read_volatile().is_null() {
            if !$ancestors.add(8).read_volatile().is_null() {
                for_each_level!(@ $step [$($argument),*] 15 14 13 12 11 10 9 8);
            }
            for_each_level!(@ $step [$($argument),*] 7 6 5 4);
        }
        for_each_level!(@ $step [$($argument),*] 3 2 1 0);
    };
}

/// Empties a slot.
macro_rules! clear {
    ($level:literal, [$ancestors:ident]) => {
        $ancestors.add($level).write_volatile(core::ptr::null());
    };
}

/// One directory up; leaves the block at the root.
macro_rules! climb {
    ($level:literal, [$at:ident, $ancestors:ident, $root:lifetime]) => {
        let parent: *const Dentry = load($at, &DENTRY_PARENT);
        if parent == $at {
            break $root;
        }
        $ancestors.add($level).write_volatile($at);
        $at = parent;
    };
}

/// One directory down, where the slot has one. Not counted: verifiers would take walks of different
/// depth for different to the end.
macro_rules! descend {
    ($level:literal, [$image:ident, $state:ident, $ancestors:ident, $rest:ident]) => {
        let ancestor = $ancestors.add($level).read_volatile();
        if !ancestor.is_null() {
            $state = next($image, $state, u64::from(b'/'));
            $state = read_name::<ROOM>($image, $state, Name::of(ancestor), $rest)?;
        }
    };
}

/// Slots for the directories' addresses.
const LEVELS: usize = 16;

/// Room on the stack for a name.
const ROOM: usize = 32;

/// What a walk found.
pub(crate) struct Found {
    /// State of the automaton at the object's path.
    pub state: u64,
    /// That of its sibling; without one, the same.
    pub sibling: u64,
}

/// Walks from `dentry`, and to `sibling` in the same directory.
#[inline(always)]
pub(crate) fn short_walk(
    image: &Image,
    dentry: *const Dentry,
    sibling: Option<*const Dentry>,
) -> Option<Found> {
    let mut rest = MaybeUninit::<[u8; ROOM]>::uninit();
    let mut ancestors = MaybeUninit::<[*const Dentry; LEVELS]>::uninit();
    let rest: *mut u8 = rest.as_mut_ptr().cast();
    let ancestors: *mut *const Dentry = ancestors.as_mut_ptr().cast();
    let sequence = rename_sequence();
    // SAFETY: the hook's dentries and what is loaded from them; every index is below its bound.
    unsafe {
        let directory: *const Dentry = load(dentry, &DENTRY_PARENT);
        if directory == dentry || is_renaming(sequence) {
            return None;
        }
        if let Some(sibling) = sibling {
            let other: *const Dentry = load(sibling, &DENTRY_PARENT);
            if other != directory {
                return None;
            }
        }
        let mut at = directory;
        for_each_level!(clear(ancestors));
        #[allow(unused_assignments, reason = "the last level is followed by no other")]
        'root: {
            for_each_level!(climb(at, ancestors, 'root));
            return None;
        }
        let superblock: *const SuperBlock = load(at, &DENTRY_SB);
        let root: *const Dentry = load(superblock, &SB_ROOT);
        if root != at {
            return None;
        }
        let number = superblock_number(load(superblock, &SB_DEV))? as usize;
        let roots = (&raw const image.roots).cast::<u16>();
        let mut state = u64::from(*roots.add(number & (MAX_SUPERBLOCKS - 1)));
        for_each_level_back!(ancestors, descend(image, state, ancestors, rest));
        let directory = next(image, state, u64::from(b'/'));
        let state = read_name::<ROOM>(image, directory, Name::of(dentry), rest)?;
        let sibling = match sibling {
            Some(sibling) => read_name::<ROOM>(image, directory, Name::of(sibling), rest)?,
            None => state,
        };
        (rename_sequence() == sequence).then_some(Found { state, sibling })
    }
}
