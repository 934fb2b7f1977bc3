//! What is acted on: from a dentry up to the root of its filesystem, then the automaton down the
//! names, from the state that the session's image has for that root.
//!
//! Invariant: the resulting state is that of a path which the tree really had at one moment. The
//! dcache changes names and parents only with `rename_lock` held for writing (`d_move()`,
//! fs/dcache.c); the same even sequence before and after means that no rename came between. A
//! walk that is disturbed too often ends in a refusal.

use core::{arch::asm, ffi::c_void, ptr::addr_of_mut};

use agent_abi::{
    Image, Reason,
    image::SINK,
    limits::{IMAGE_WORDS, MAX_DEPTH, MAX_NAME, MAX_SUPERBLOCKS},
};
use aya_ebpf::helpers::generated::{bpf_loop, bpf_probe_read_kernel};

use crate::{
    directory::{Version, remember},
    kernel::{
        DENTRY_NAME, DENTRY_NAME_LENGTH, DENTRY_PARENT, DENTRY_SB, Dentry, SB_DEV, SB_ROOT,
        SuperBlock, load, rename_lock,
    },
    maps::SUPERBLOCKS,
    scratch::{NameRef, Scratch},
};

/// Walks begun anew before giving up. A walk takes about a microsecond, a rename holds the lock
/// for less; 64 disturbed ones in a row do not happen by chance.
const ATTEMPTS: u32 = 64;

/// Marks a walk that reached no root of a filesystem that sessions know.
const UNKNOWN_MOUNT: u32 = u32::MAX;
/// Marks a walk that went too deep or ended in a disconnected directory.
const UNRESOLVABLE: u32 = u32::MAX - 1;

/// State of the automaton at the path of `dentry`.
#[inline(always)]
pub fn state_of(
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
pub fn keep(image: &Image, scratch: *mut Scratch, dentry: *const Dentry) {
    // SAFETY: the current task's scratch.
    unsafe {
        if (*scratch).walk.depth > 0 {
            let version = Version::new((*scratch).walk.sequence, image);
            remember(dentry, version, (*scratch).walk.parent_state);
        }
    }
}

/// States at the paths that two dentries had at the same moment.
#[inline(always)]
pub fn states_of(
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

/// Gathers the names of `dentry` for an event, without a decision.
#[inline(always)]
pub fn gather(scratch: *mut Scratch, dentry: *const Dentry) {
    ascend_to_root(scratch, dentry);
}

#[inline(always)]
fn check(state: u32) -> Result<u32, Reason> {
    match state {
        UNKNOWN_MOUNT => Err(Reason::UnknownMount),
        UNRESOLVABLE => Err(Reason::Unresolvable),
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
        if !begin(scratch) {
            return 0;
        }
        resolve((*attempt).image, scratch, (*attempt).dentry);
        finish(scratch)
    }
}

unsafe extern "C" fn attempt_pair(_attempt: u32, attempt: *mut AttemptPair) -> i64 {
    // SAFETY: `attempt` is `states_of`'s.
    unsafe {
        let scratch = (*attempt).scratch;
        if !begin(scratch) {
            return 0;
        }
        resolve((*attempt).image, scratch, (*attempt).first);
        (*scratch).walk.first_state = (*scratch).walk.state;
        resolve((*attempt).image, scratch, (*attempt).second);
        finish(scratch)
    }
}

/// Notes the sequence of `rename_lock`; false while a rename is under way.
#[inline(always)]
unsafe fn begin(scratch: *mut Scratch) -> bool {
    let sequence = rename_sequence();
    // SAFETY: the current task's scratch.
    unsafe { (*scratch).walk.sequence = sequence };
    sequence & 1 == 0
}

/// 1 (stop) if no rename came between, else 0 (again).
#[inline(always)]
unsafe fn finish(scratch: *mut Scratch) -> i64 {
    // SAFETY: the current task's scratch.
    unsafe {
        if (*scratch).walk.sequence != rename_sequence() {
            return 0;
        }
        (*scratch).walk.stable = 1;
    }
    1
}

#[inline(always)]
pub fn rename_sequence() -> u32 {
    let mut sequence = 1_u32;
    // SAFETY: reads four bytes into a live local; a bad address makes the helper fail and zero
    // the destination, which the daemon's self-check at start rules out.
    unsafe {
        bpf_probe_read_kernel(
            (&raw mut sequence).cast(),
            size_of::<u32>() as u32,
            rename_lock() as *const c_void,
        );
    }
    sequence
}

/// Leaves the state at the path of `dentry` in the scratch, or one of the two marks.
#[inline(always)]
unsafe fn resolve(image: *const Image, scratch: *mut Scratch, dentry: *const Dentry) {
    ascend_to_root(scratch, dentry);
    // SAFETY: the image is a map value, the scratch the current task's.
    unsafe {
        let walk = addr_of_mut!((*scratch).walk);
        if (*walk).rooted == 0 {
            (*walk).state = UNRESOLVABLE;
            return;
        }
        let dev = (*walk).dev;
        let Some(number) = SUPERBLOCKS.get(&dev) else {
            (*walk).state = UNKNOWN_MOUNT;
            return;
        };
        let number = (*number as usize) & (MAX_SUPERBLOCKS - 1);
        (*walk).state = u32::from(*(&raw const (*image).roots).cast::<u16>().add(number));
        let mut descent = Descent { scratch, image };
        bpf_loop(
            (*walk).depth,
            descend as *mut c_void,
            (&raw mut descent).cast(),
            0,
        );
    }
}

#[repr(C)]
struct Ascent {
    dentry: *const Dentry,
    scratch: *mut Scratch,
}

#[inline(always)]
fn ascend_to_root(scratch: *mut Scratch, dentry: *const Dentry) {
    let mut ascent = Ascent { dentry, scratch };
    // SAFETY: the callback's context outlives the loop.
    unsafe {
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
        let parent: *const Dentry = load(dentry, &DENTRY_PARENT);
        if parent == dentry {
            let superblock: *const SuperBlock = load(dentry, &DENTRY_SB);
            (*walk).dev = load(superblock, &SB_DEV);
            let root: *const Dentry = load(superblock, &SB_ROOT);
            (*walk).rooted = u32::from(root == dentry);
            return 1;
        }
        let depth = (*walk).depth as usize;
        if depth >= MAX_DEPTH {
            return 1;
        }
        let length: u32 = load(dentry, &DENTRY_NAME_LENGTH);
        let name = NameRef {
            address: load(dentry, &DENTRY_NAME),
            length: u64::from(length),
        };
        (&raw mut (*scratch).names)
            .cast::<NameRef>()
            .add(depth & (MAX_DEPTH - 1))
            .write(name);
        (*walk).depth = depth as u32 + 1;
        (*ascent).dentry = parent;
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
        let image = (*descent).image;
        let walk = addr_of_mut!((*scratch).walk);
        let mut state = (*walk).state;
        if state == u32::from(SINK) {
            (*walk).parent_state = state;
            return 1;
        }
        let index = (*walk).depth.wrapping_sub(1).wrapping_sub(step) as usize & (MAX_DEPTH - 1);
        let name = (&raw const (*scratch).names)
            .cast::<NameRef>()
            .add(index)
            .read();
        let length = if name.length > MAX_NAME as u64 {
            MAX_NAME as u64
        } else {
            name.length
        };
        let component = (&raw mut (*scratch).component).cast::<u8>();
        bpf_probe_read_kernel(
            component.cast(),
            bounded(length),
            name.address as *const c_void,
        );
        (*walk).parent_state = state;
        state = next(image, state, b'/');
        let mut at = 0;
        while at < MAX_NAME {
            if at as u64 >= length {
                break;
            }
            state = next(image, state, *component.add(at));
            at += 1;
        }
        (*walk).state = state;
    }
    0
}

/// The automaton's step.
#[inline(always)]
pub unsafe fn next(image: *const Image, state: u32, byte: u8) -> u32 {
    // SAFETY: a class index is a byte, and `word` masks.
    unsafe {
        let header = &(*image).header;
        let class = u32::from(
            *(&raw const (*image).classes)
                .cast::<u8>()
                .add(byte as usize),
        );
        let row = header
            .transitions
            .wrapping_add(state.wrapping_mul(header.columns));
        u32::from(word(image, row.wrapping_add(class)))
    }
}

/// Word `index` of the image's tables; an index beyond them wraps around.
#[inline(always)]
pub unsafe fn word(image: *const Image, index: u32) -> u16 {
    let index = visible(u64::from(index)) as usize & (IMAGE_WORDS - 1);
    // SAFETY: masked to the array.
    unsafe { *(&raw const (*image).words).cast::<u16>().add(index) }
}

/// Keeps LLVM from moving the mask that follows away from its use: the 6.1 verifier loses the
/// bound otherwise ("math between map_value pointer and register with unbounded min value").
#[inline(always)]
pub fn visible(value: u64) -> u64 {
    let result;
    // SAFETY: a register move to itself.
    unsafe { asm!("{0} = {0}", inlateout(reg) value => result, options(pure, nomem, nostack)) };
    result
}

/// A length that the verifier sees to be at most 255.
#[inline(always)]
pub fn bounded(length: u64) -> u32 {
    (visible(length) & 0xff) as u32
}
