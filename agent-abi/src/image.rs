//! The session image: everything that a hook needs to decide, in the one value of one map, so
//! that replacing it is one atomic pointer swap (`IMAGES[slot]`).

use crate::{
    filesystem::KINDS,
    limits::{IMAGE_WORDS, MAX_SUPERBLOCKS},
    right::FILE_RIGHTS,
};

/// First word of every image; a hook that finds another refuses. It changes with the layout, so that
/// no program reads another build's image as its own.
pub const IMAGE_MAGIC: u32 = u32::from_le_bytes(*b"BLF4");

/// First word of the image of a session whose processes were set free: a label that names it is none.
/// It stands in the slot from the moment of the release until no task has the label any more, so that
/// all are free at once, and no copy of the label that is still being made can bind anybody.
pub const RELEASED_MAGIC: u32 = u32::from_le_bytes(*b"BLFx");

/// The automaton's sink: no right here, and none on any path below.
pub const SINK: u16 = 0;

/// Words of one label record: the allowed rights, then the deciding rule of each right.
pub const LABEL_WORDS: usize = 1 + FILE_RIGHTS;

/// What a session may do, compiled.
///
/// Read by hooks without a lock: an image is never changed in place, only replaced.
#[derive(Clone)]
#[repr(C)]
pub struct Image {
    pub header: ImageHeader,
    /// Byte to column of the transition table.
    pub classes: [u8; 256],
    /// Superblock number (value of the `SUPERBLOCKS` map) to the state of the automaton at that
    /// filesystem's root. [`SINK`] where the session cannot see it.
    pub roots: [u16; MAX_SUPERBLOCKS],
    /// The same for what is told by its kind and not by its number
    /// ([`KernelFilesystem`](crate::KernelFilesystem)).
    pub kinds: [u16; KINDS],
    /// First the transitions, `next_state[state * columns + class]`, then the tables that the header
    /// points to.
    pub words: [u16; IMAGE_WORDS],
}

/// Where the tables are, and the rights that are not about files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ImageHeader {
    /// [`IMAGE_MAGIC`] or [`RELEASED_MAGIC`].
    pub magic: u32,
    /// The session's generation; must equal that of the task's label.
    pub generation: u32,
    /// First part of this session's keys in the `NET` trie. Never reused while the host is up.
    pub policy: u32,
    /// 1 records what would be refused and refuses nothing.
    pub audit: u32,
    /// Columns of the transition table.
    pub columns: u32,
    /// States of the automaton.
    pub states: u32,
    /// The first settled state; from it on all are. In a settled state every byte but `/` leads back
    /// to it, so the rest of a name need not be read.
    pub settled: u32,
    /// Word index of `label[state]`: a word index of the state's label record, relative to
    /// `labels`, see [`LABEL_WORDS`].
    pub state_labels: u32,
    /// Word index of the first label record.
    pub labels: u32,
    /// Word index of `refer_class[state]`.
    pub refer_classes: u32,
    /// Word index of the refer relation, a bit matrix: bit `new * refer_count + old`, the lowest
    /// bit of a word first, is set iff a directory (or file) in class `old` may get a name in
    /// class `new`: no path, its own and those below, gains a right, and none loses write, create
    /// or attr (what may not be made there must not be moved there ready-made).
    pub refer: u32,
    /// Rows and columns of the refer relation. 0 where it would not fit: then only a move
    /// between equal classes is allowed.
    pub refer_count: u32,
    /// Capabilities granted, bit = capability number.
    pub capabilities: u64,
    /// [`Surface`](crate::Surface) bits granted.
    pub surface: u32,
    /// Increases with every image of the host; part of every cache key.
    pub epoch: u32,
}

const _: () = assert!(size_of::<ImageHeader>() == 64);
const _: () = assert!(
    size_of::<Image>() == 64 + 256 + 2 * (MAX_SUPERBLOCKS + KINDS + IMAGE_WORDS),
    "the image has padding"
);
const _: () = assert!(align_of::<Image>() == 8);
