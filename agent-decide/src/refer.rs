//! The refer rule: what gets another name gains no right by it.

use agent_abi::{FileRights, Image};

use crate::{automaton::word, label::Record};

/// What an object has before a move: a path, its state, its rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Old<T>(pub T);

/// What an object has after a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct New<T>(pub T);

/// Whether an object may get a path with state `new` for one with state `old`: for every path at or below
/// it, rights after ⊆ rights before, and what is in a directory loses no right to make it what it is
/// ([`ImageHeader::refer`](agent_abi::ImageHeader::refer)).
#[must_use]
#[inline(always)]
pub fn may_move(image: &Image, is_directory: bool, old: Old<u64>, new: New<u64>) -> bool {
    if !is_directory {
        return gained_by_file(
            Old(Record::of(image, old.0).rights(image)),
            New(Record::of(image, new.0).rights(image)),
        )
        .is_empty();
    }
    let header = &image.header;
    let classes = u64::from(header.refer_classes);
    let old = u64::from(word(image, classes.wrapping_add(old.0)));
    let new = u64::from(word(image, classes.wrapping_add(new.0)));
    let count = u64::from(header.refer_count);
    if count == 0 {
        return old == new;
    }
    let bit = new.wrapping_mul(count).wrapping_add(old);
    word(image, u64::from(header.refer).wrapping_add(bit >> 4)) >> (bit & 15) & 1 == 1
}

/// The rights that what is no directory would gain by a path with rights `new` for one with rights `old`.
///
/// Not `symlink`: it is about what is made, and a symbolic link is asked for it by
/// [`OfMove`](crate::needs::OfMove).
#[must_use]
#[inline(always)]
pub const fn gained_by_file(old: Old<FileRights>, new: New<FileRights>) -> FileRights {
    new.0.without(old.0.union(FileRights::SYMLINK))
}

/// What a refused move would have gained, for the event: for a directory it may be further down.
#[must_use]
#[inline(always)]
pub fn gained(image: &Image, old: Old<u64>, new: New<u64>) -> FileRights {
    let before = Record::of(image, old.0).rights(image);
    let gained = Record::of(image, new.0).rights(image).without(before);
    if gained.is_empty() {
        FileRights::CREATE
    } else {
        gained
    }
}
