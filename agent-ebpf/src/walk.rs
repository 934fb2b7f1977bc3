//! What is acted on: from a dentry up to the root of its filesystem, then the automaton down the
//! names, from the state that the session's image has for that root.
//!
//! Invariant: the resulting state is that of a path which the tree really had at one moment. The dcache
//! changes the name and the parent of a dentry in `__d_move()` alone (fs/dcache.c), with `rename_lock` held
//! for writing and within a write section of the dentry's own `d_seq`. So there are two proofs, and either
//! is enough:
//! - The same even sequence of `rename_lock` before and after: no rename came between. Quick, but renames
//!   anywhere on the host spoil it.
//! - Each dentry's `d_seq` was even before its name and parent were read, and is the same once everything
//!   has been read. The second look at every one comes after the first look at every other, so at the
//!   moment in between all names and parents were what was read: that chain existed then. Only who moves
//!   the object or a directory above it spoils this.
//!
//! For two objects the moment is the same for both chains. A walk that neither proves is begun anew, and
//! one that is disturbed too often ends in a refusal.

use core::{ffi::c_void, ptr::addr_of_mut};

use agent_abi::{
    Image, KernelFilesystem, Reason,
    filesystem::{KINDS, NO_KIND, OWN_KIND},
    image::SINK,
    limits::{MAX_DEPTH, MAX_NAME, MAX_SUPERBLOCKS},
    superblock::{CANDIDATES, NOBODY, candidate},
};
use aya_ebpf::helpers::generated::bpf_loop;

use crate::{
    automaton::{is_settled, next, read_name},
    directory::{Version, remember},
    kernel::{
        DENTRY_PARENT, DENTRY_SB, DENTRY_SEQUENCE, Dentry, SB_DEV, SB_MAGIC, SB_ROOT, SuperBlock,
        load, opaque,
    },
    maps::{OWN, SUPERBLOCKS},
    name::{Gathered, Name},
    renames::{is_renaming, rename_sequence},
    scratch::{ROWS, Scratch},
};

/// Walks begun anew before giving up. A walk takes a few microseconds, and only who moves the object or
/// what is above it disturbs one.
const ATTEMPTS: u32 = 512;

/// No row: what is only gathered to be shown.
const NO_ROW: u32 = ROWS as u32;
/// No even sequence: what was found is not of one.
const NO_SEQUENCE: u32 = 1;

/// Marks a walk that reached no root of a filesystem that sessions know.
const UNKNOWN_MOUNT: u32 = u32::MAX;
/// Marks a walk that went too deep or ended in a disconnected directory.
const UNRESOLVABLE: u32 = u32::MAX - 1;
/// Marks a walk along a name of several spellings, on which the grant's decision depends.
const AMBIGUOUS: u32 = u32::MAX - 2;

/// State of the automaton at the path of `dentry`.
#[inline(always)]
pub(crate) fn state_of(
    image: &Image,
    scratch: *mut Scratch,
    dentry: *const Dentry,
) -> Result<u32, Reason> {
    let mut attempt = Attempt {
        dentry,
        scratch,
        image,
    };
    // SAFETY: `scratch` is the current task's; the callback's context outlives the loop.
    unsafe {
        (*scratch).walk.stable = 0;
        bpf_loop(
            ATTEMPTS,
            attempt_one as *mut c_void,
            (&raw mut attempt).cast(),
            0,
        );
        if (*scratch).walk.stable == 0 {
            return Err(Reason::Unstable);
        }
        check((*scratch).walk.state)
    }
}

/// Remembers the directory of `dentry`, whose state the last walk found.
#[inline(always)]
pub(crate) fn keep(image: &Image, scratch: *mut Scratch, dentry: *const Dentry) {
    // SAFETY: the current task's scratch.
    unsafe {
        if (*scratch).walk.depth > 0 && !is_renaming((*scratch).walk.sequence) {
            let version = Version::new((*scratch).walk.sequence, image);
            remember(dentry, version, u64::from((*scratch).walk.directory_state));
        }
    }
}

/// States at the paths that two dentries had at the same moment.
#[inline(always)]
pub(crate) fn states_of(
    image: &Image,
    scratch: *mut Scratch,
    first: *const Dentry,
    second: *const Dentry,
) -> Result<(u32, u32), Reason> {
    let mut attempt = AttemptPair {
        first,
        second,
        scratch,
        image,
    };
    // SAFETY: as in `state_of`.
    unsafe {
        (*scratch).walk.stable = 0;
        bpf_loop(
            ATTEMPTS,
            attempt_pair as *mut c_void,
            (&raw mut attempt).cast(),
            0,
        );
        if (*scratch).walk.stable == 0 {
            return Err(Reason::Unstable);
        }
        Ok((
            check((*scratch).walk.first_state)?,
            check((*scratch).walk.state)?,
        ))
    }
}

/// What an event is about.
#[derive(Clone, Copy)]
pub(crate) struct Object {
    pub dentry: *const Dentry,
    pub which: Which,
}

/// By which walk it was judged.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(crate) enum Which {
    First,
    Second,
    Unwalked,
}

impl Object {
    /// That of [`state_of`], or the first of [`states_of`].
    #[inline(always)]
    pub(crate) fn first(dentry: *const Dentry) -> Self {
        let which = Which::First;
        Self { dentry, which }
    }

    /// The second of [`states_of`].
    #[inline(always)]
    pub(crate) fn second(dentry: *const Dentry) -> Self {
        let which = Which::Second;
        Self { dentry, which }
    }

    /// One that was judged by something else than its path.
    #[inline(always)]
    pub(crate) fn unwalked(dentry: *const Dentry) -> Self {
        let which = Which::Unwalked;
        Self { dentry, which }
    }
}

/// Gathers the names of an object for its event.
#[inline(always)]
pub(crate) fn gather(scratch: *mut Scratch, dentry: *const Dentry, which: Which) {
    let row = match which {
        Which::First | Which::Second => NO_ROW,
        Which::Unwalked => 0,
    };
    ascend_to_root(scratch, dentry, row);
}

/// Whether the names that were gathered, and have been copied, are those by which the object was judged: so
/// it is if its dentries are still as the walk found them. Without a walk, if they are still as they were
/// gathered.
#[inline(always)]
pub(crate) fn is_as_judged(scratch: *mut Scratch, dentry: *const Dentry, which: Which) -> bool {
    // SAFETY: the current task's scratch.
    unsafe {
        let walk = addr_of_mut!((*scratch).walk);
        let (own, above, depth) = match which {
            Which::First => (0, 0, (*walk).first_depth),
            Which::Second => (1, (*walk).second_row, (*walk).second_depth),
            Which::Unwalked => (0, 0, (*walk).depth),
        };
        if !matches!(which, Which::Unwalked) && (*walk).stable == 0 {
            return false;
        }
        (*walk).torn = 0;
        compare(scratch, dentry, own, above, depth);
        (*walk).torn == 0
    }
}

#[inline(always)]
fn check(state: u32) -> Result<u32, Reason> {
    match state {
        UNKNOWN_MOUNT => Err(Reason::UnknownMount),
        UNRESOLVABLE => Err(Reason::Unresolvable),
        AMBIGUOUS => Err(Reason::Ambiguous),
        state => Ok(state),
    }
}

#[repr(C)]
struct Attempt {
    dentry: *const Dentry,
    scratch: *mut Scratch,
    image: *const Image,
}

#[repr(C)]
struct AttemptPair {
    first: *const Dentry,
    second: *const Dentry,
    scratch: *mut Scratch,
    image: *const Image,
}

unsafe extern "C" fn attempt_one(_attempt: u32, attempt: *mut Attempt) -> i64 {
    // SAFETY: `attempt` is `state_of`'s.
    unsafe {
        let scratch = (*attempt).scratch;
        begin(scratch);
        resolve(&*(*attempt).image, scratch, (*attempt).dentry, 0);
        (*scratch).walk.first_depth = (*scratch).walk.depth;
        if undisturbed(scratch) {
            return 1;
        }
        compare_first(scratch, (*attempt).dentry);
        finish(scratch)
    }
}

unsafe extern "C" fn attempt_pair(_attempt: u32, attempt: *mut AttemptPair) -> i64 {
    // SAFETY: `attempt` is `states_of`'s.
    unsafe {
        let scratch = (*attempt).scratch;
        begin(scratch);
        let image = &*(*attempt).image;
        let (first, second) = ((*attempt).first, (*attempt).second);
        resolve(image, scratch, first, 0);
        let walk = addr_of_mut!((*scratch).walk);
        (*walk).first_state = (*walk).state;
        (*walk).first_depth = (*walk).depth;
        let sequence: u32 = load(second, &DENTRY_SEQUENCE);
        let parent: *const Dentry = load(first, &DENTRY_PARENT);
        let other: *const Dentry = load(second, &DENTRY_PARENT);
        if parent == other && (*walk).depth > 0 {
            (*scratch).sequences[1][0] = sequence;
            (*walk).second_row = 0;
            sibling(image, scratch, second);
        } else {
            (*walk).second_row = 1;
            resolve(image, scratch, second, 1);
        }
        (*walk).second_depth = (*walk).depth;
        if undisturbed(scratch) {
            return 1;
        }
        compare_first(scratch, first);
        compare(scratch, second, 1, (*walk).second_row, (*walk).second_depth);
        finish(scratch)
    }
}

/// Notes the sequence of `rename_lock`.
#[inline(always)]
unsafe fn begin(scratch: *mut Scratch) {
    // SAFETY: the current task's scratch.
    unsafe { (*scratch).walk.sequence = rename_sequence() };
}

/// Whether no rename came between: the first proof. If not, the second is to be looked for.
#[inline(always)]
unsafe fn undisturbed(scratch: *mut Scratch) -> bool {
    // SAFETY: the current task's scratch.
    unsafe {
        let walk = addr_of_mut!((*scratch).walk);
        if !is_renaming((*walk).sequence) && (*walk).sequence == rename_sequence() {
            (*walk).stable = 1;
            return true;
        }
        (*walk).sequence = NO_SEQUENCE;
        (*walk).torn = 0;
    }
    false
}

/// 1 (stop) if every dentry is as it was, else 0 (again).
#[inline(always)]
unsafe fn finish(scratch: *mut Scratch) -> i64 {
    // SAFETY: the current task's scratch.
    unsafe {
        if (*scratch).walk.torn != 0 {
            return 0;
        }
        (*scratch).walk.stable = 1;
    }
    1
}

#[inline(always)]
unsafe fn compare_first(scratch: *mut Scratch, dentry: *const Dentry) {
    // SAFETY: the current task's scratch.
    let depth = unsafe { (*scratch).walk.first_depth };
    compare(scratch, dentry, 0, 0, depth);
}

#[repr(C)]
struct Comparison {
    dentry: *const Dentry,
    scratch: *mut Scratch,
}

/// Looks whether the dentries from `dentry` up have moved since their sequences were noted, and sets `torn`
/// if so.
#[inline(always)]
fn compare(scratch: *mut Scratch, dentry: *const Dentry, own: u32, above: u32, depth: u32) {
    let mut comparison = Comparison { dentry, scratch };
    // SAFETY: the callback's context outlives the loop.
    unsafe {
        (*scratch).walk.own_row = own;
        (*scratch).walk.above_row = above;
        bpf_loop(
            depth,
            compare_one as *mut c_void,
            (&raw mut comparison).cast(),
            0,
        );
    }
}

unsafe extern "C" fn compare_one(step: u32, comparison: *mut Comparison) -> i64 {
    // SAFETY: `comparison` is `compare`'s; the index is masked to its array.
    unsafe {
        let scratch = (*comparison).scratch;
        let dentry = (*comparison).dentry;
        // The parent first: if the sequence is still the same then, so was the parent.
        let parent: *const Dentry = load(dentry, &DENTRY_PARENT);
        let now: u32 = load(dentry, &DENTRY_SEQUENCE);
        let row = if step == 0 {
            (*scratch).walk.own_row
        } else {
            (*scratch).walk.above_row
        };
        if *place_of_sequence(scratch, row, step) != now || now & 1 != 0 {
            (*scratch).walk.torn = 1;
            return 1;
        }
        (*comparison).dentry = parent;
    }
    0
}

/// Where the sequence of a level is kept.
#[inline(always)]
unsafe fn place_of_sequence(scratch: *mut Scratch, row: u32, level: u32) -> *mut u32 {
    let index = u64::from(row) * MAX_DEPTH as u64 + u64::from(level);
    let index = opaque(index) as usize & (ROWS * MAX_DEPTH - 1);
    // SAFETY: the caller's scratch; masked to the array.
    unsafe { (&raw mut (*scratch).sequences).cast::<u32>().add(index) }
}

/// Leaves the state at the path of `dentry` in the scratch, or one of the two marks.
#[inline(always)]
unsafe fn resolve(image: &Image, scratch: *mut Scratch, dentry: *const Dentry, row: u32) {
    ascend_to_root(scratch, dentry, row);
    // SAFETY: the scratch is the current task's.
    unsafe {
        let walk = addr_of_mut!((*scratch).walk);
        if (*walk).rooted == 0 {
            (*walk).state = UNRESOLVABLE;
            return;
        }
        (*walk).state = root_state(image, (*walk).dev, (*walk).magic);
        if (*walk).state == UNKNOWN_MOUNT {
            return;
        }
        let mut descent = Descent { scratch, image };
        bpf_loop(
            (*walk).depth,
            descend as *mut c_void,
            (&raw mut descent).cast(),
            0,
        );
    }
}

/// The state at the root of a filesystem: by its number, or by its kind where it is the kernel's own,
/// which have no number. A frame of its own: inlined into a walk of two names it left none of the 512
/// bytes that all frames together may take.
#[inline(never)]
unsafe fn root_state(image: &Image, dev: u32, magic: u32) -> u32 {
    // SAFETY: every index is masked to its array.
    unsafe {
        if let Some(number) = superblock_number(dev) {
            let number = number as usize & (MAX_SUPERBLOCKS - 1);
            return u32::from(*(&raw const image.roots).cast::<u16>().add(number));
        }
        let mut kind = opaque(u64::from(KernelFilesystem::of_magic(magic)));
        if kind == u64::from(NO_KIND) {
            // What this session mounted for itself.
            match OWN.get(&dev) {
                Some(owner) if *owner == image.header.generation => {}
                _ => return UNKNOWN_MOUNT,
            }
            kind = opaque(u64::from(OWN_KIND));
        }
        let kind = opaque(kind) as usize & (KINDS - 1);
        u32::from(*(&raw const image.kinds).cast::<u16>().add(kind))
    }
}

/// The number of the filesystem with this device number, if sessions know it.
#[inline(always)]
pub(crate) fn superblock_number(dev: u32) -> Option<u32> {
    let mut choice = 0;
    while choice <= CANDIDATES {
        let number = if choice < CANDIDATES {
            candidate(dev, choice)
        } else {
            NOBODY
        };
        if let Some(owner) = SUPERBLOCKS.get(number)
            && owner.dev == dev
        {
            return Some(number);
        }
        choice += 1;
    }
    None
}

#[repr(C)]
struct Ascent {
    dentry: *const Dentry,
    scratch: *mut Scratch,
}

#[inline(always)]
fn ascend_to_root(scratch: *mut Scratch, dentry: *const Dentry, row: u32) {
    let mut ascent = Ascent { dentry, scratch };
    // SAFETY: the callback's context outlives the loop.
    unsafe {
        (*scratch).walk.own_row = row;
        (*scratch).walk.depth = 0;
        (*scratch).walk.rooted = 0;
        bpf_loop(
            MAX_DEPTH as u32 + 1,
            ascend as *mut c_void,
            (&raw mut ascent).cast(),
            0,
        );
    }
}

/// One step up: stops at a dentry that is its own parent, which is a root or a disconnected one.
unsafe extern "C" fn ascend(_step: u32, ascent: *mut Ascent) -> i64 {
    // SAFETY: `ascent` is `ascend_to_root`'s; loads go through dentries that RCU keeps.
    unsafe {
        let dentry = (*ascent).dentry;
        let scratch = (*ascent).scratch;
        let walk = addr_of_mut!((*scratch).walk);
        let sequence: u32 = load(dentry, &DENTRY_SEQUENCE);
        let parent: *const Dentry = load(dentry, &DENTRY_PARENT);
        if parent == dentry {
            let superblock: *const SuperBlock = load(dentry, &DENTRY_SB);
            (*walk).dev = load(superblock, &SB_DEV);
            let magic: u64 = load(superblock, &SB_MAGIC);
            (*walk).magic = magic as u32;
            let root: *const Dentry = load(superblock, &SB_ROOT);
            (*walk).rooted = u32::from(root == dentry);
            return 1;
        }
        let depth = (*walk).depth as usize;
        if depth >= MAX_DEPTH {
            return 1;
        }
        (*walk).depth = depth as u32 + 1;
        if (*walk).own_row != NO_ROW {
            *place_of_sequence(scratch, (*walk).own_row, depth as u32) = sequence;
        }
        // Last, since the helper in it leaves few registers to what is needed afterwards.
        (*ascent).dentry = parent;
        (&raw mut (*scratch).names)
            .cast::<Gathered>()
            .add(depth & (MAX_DEPTH - 1))
            .write(Gathered::in_directory(dentry, parent));
    }
    0
}

#[repr(C)]
struct Descent {
    scratch: *mut Scratch,
    image: *const Image,
}

/// One component down: `/`, then the bytes of its name.
unsafe extern "C" fn descend(step: u32, descent: *mut Descent) -> i64 {
    // SAFETY: `descent` is `resolve`'s; every index is masked to its array.
    unsafe {
        let scratch = (*descent).scratch;
        let walk = addr_of_mut!((*scratch).walk);
        if (*walk).state == u32::from(SINK) || (*walk).state == AMBIGUOUS {
            (*walk).directory_state = (*walk).state;
            return 1;
        }
        let index = (*walk).depth.wrapping_sub(1).wrapping_sub(step) as usize & (MAX_DEPTH - 1);
        let name = (&raw const (*scratch).names)
            .cast::<Gathered>()
            .add(index)
            .read()
            .name(&raw mut (*scratch).head);
        let image = &*(*descent).image;
        let state = next(image, u64::from((*walk).state), u64::from(b'/'));
        (*walk).directory_state = state as u32;
        let rest = (&raw mut (*scratch).component).cast::<u8>();
        (*walk).state = long_name(image, state, name, rest);
    }
    0
}

/// The state of another object in the directory of the one that was just resolved.
#[inline(always)]
unsafe fn sibling(image: &Image, scratch: *mut Scratch, dentry: *const Dentry) {
    // SAFETY: the scratch is the current task's.
    unsafe {
        let walk = addr_of_mut!((*scratch).walk);
        if matches!((*walk).state, UNKNOWN_MOUNT | UNRESOLVABLE | AMBIGUOUS) {
            return;
        }
        let rest = (&raw mut (*scratch).component).cast::<u8>();
        let state = u64::from((*walk).directory_state);
        // The same directory: what was found of the other's name holds for this one's.
        let other = (&raw const (*scratch).names).cast::<Gathered>().read();
        let mut name = Name::of(dentry);
        if !other.is_ambiguous() {
            name.take_as_spelled();
        }
        (*walk).state = long_name(image, state, name, rest);
    }
}

/// The state after a name of any length that a name can have.
#[inline(always)]
unsafe fn long_name(image: &Image, state: u64, mut name: Name, rest: *mut u8) -> u32 {
    const ROOM: usize = MAX_NAME + 1;
    if name.is_ambiguous() {
        let depends = state != u64::from(SINK) && !is_settled(image, state);
        if depends {
            return AMBIGUOUS;
        }
    }
    name.take_as_spelled();
    // SAFETY: `rest` is the scratch's component.
    match unsafe { read_name::<ROOM>(image, state, name, rest) } {
        Some(state) => state as u32,
        None => u32::from(SINK),
    }
}
