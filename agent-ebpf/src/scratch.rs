//! Working memory of one task: too large for the 512-byte stack, and not per CPU, because a
//! program can be preempted by another task's on a preemptible kernel.

use agent_abi::{event::EventRecord, limits::MAX_DEPTH};

use crate::{
    kernel::{INODE_INO, Inode, load, opaque},
    name::Gathered,
};

/// Rows of sequences; a power of two.
pub(crate) const ROWS: usize = 2;

/// What Linux 7.x gives to a task's storage at most (`kmalloc_nolock()`), without what it keeps there
/// itself.
const ROOM: usize = 8192 - 128;
const _: () = assert!(size_of::<Scratch>() <= ROOM);

/// Value of the `SCRATCH` task storage. Only programs that run for the task itself touch it.
#[repr(C)]
pub(crate) struct Scratch {
    /// The walk's findings; see [`crate::walk`]. Kept here and not on the stack because
    /// verifiers before 6.8 take what a `bpf_loop` callback leaves on the stack for constant.
    pub walk: WalkState,
    /// Names from the object (0) up to, and without, the root of its filesystem.
    pub names: [Gathered; MAX_DEPTH],
    /// `d_seq` of each of these dentries when it was read: of the first object's and of the
    /// second's.
    pub sequences: [[u32; MAX_DEPTH]; ROWS],
    /// Where the beginning of a name is read to.
    pub head: u64,
    /// The component that the automaton reads.
    pub component: [u8; 256],
    /// The message queue that the task made last.
    pub queue: NewQueue,
    /// The event under construction.
    pub record: EventRecord,
}

/// State of a walk in progress.
#[repr(C)]
pub(crate) struct WalkState {
    /// Names gathered.
    pub depth: u32,
    /// 1 once the root of the filesystem was reached.
    pub rooted: u32,
    /// State of the automaton.
    pub state: u32,
    /// State of the automaton before the last name, after the `/` before it.
    pub directory_state: u32,
    /// `s_dev` of the object's filesystem.
    pub dev: u32,
    /// Of a pair of objects, the state of the first.
    pub first_state: u32,
    /// Sequence of `rename_lock` when the walk began.
    pub sequence: u32,
    /// 1 once the walk was found stable.
    pub stable: u32,
    /// 1 once a dentry was found to have moved since it was walked.
    pub torn: u32,
    /// Levels of the first object, and of the second.
    pub first_depth: u32,
    pub second_depth: u32,
    /// In which row the second's levels above its own are: the first's where both are in one directory.
    pub second_row: u32,
    /// Row of the object's own sequence, and that of those above it, of the way up that is taken. Here and
    /// not in a callback's context, for which the stack of 512 bytes has little room.
    pub own_row: u32,
    pub above_row: u32,
    /// Bytes of path written, or still to be left out, while an event is put together.
    pub cursor: u32,
    /// `s_magic` of the object's filesystem, its low half.
    pub magic: u32,
}

/// A queue that the current task has just made: its inode, which no other has at the same time, and the
/// inode's number, which no other has had since the start.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct NewQueue {
    inode: u64,
    number: u64,
}

impl NewQueue {
    pub(crate) const NONE: Self = Self {
        inode: 0,
        number: 0,
    };

    /// # Safety
    /// `inode` is one that the verifier accepts for a direct load.
    #[inline(always)]
    pub(crate) unsafe fn of(inode: *const Inode) -> Self {
        Self {
            inode: opaque(inode as u64),
            // SAFETY: the caller's promise.
            number: unsafe { load(inode, &INODE_INO) },
        }
    }
}
