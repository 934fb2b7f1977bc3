//! The authority automaton: how a session's image is read.

use core::ffi::c_void;

use agent_abi::{Image, limits::IMAGE_WORDS};
use aya_ebpf::helpers::generated::bpf_probe_read_kernel;

use crate::{
    kernel::opaque,
    name::{HEAD, Name},
};

/// The automaton's step.
///
/// # Safety
/// `image` is a live image.
#[inline(always)]
pub unsafe fn next(image: *const Image, state: u64, byte: u64) -> u64 {
    // SAFETY: the index of a class is a byte, and `word` masks.
    unsafe {
        let class = u64::from(
            *(&raw const (*image).classes)
                .cast::<u8>()
                .add((byte & 0xff) as usize),
        );
        let row = state.wrapping_mul(u64::from((*image).header.columns));
        u64::from(word(image, row.wrapping_add(class)))
    }
}

/// Whether no byte but `/` leads out of a state.
///
/// # Safety
/// `image` is a live image.
#[inline(always)]
pub unsafe fn is_settled(image: *const Image, state: u64) -> bool {
    // SAFETY: the caller's promise.
    state >= u64::from(unsafe { (*image).header.settled })
}

/// Word `index` of the image's tables; an index beyond them wraps around.
///
/// # Safety
/// `image` is a live image.
#[inline(always)]
pub unsafe fn word(image: *const Image, index: u64) -> u16 {
    // Opaque, or LLVM moves the mask away from its use, where the 6.1 verifier loses the bound
    // ("math between map_value pointer and register with unbounded min value").
    let index = opaque(index) as usize & (IMAGE_WORDS - 1);
    // SAFETY: masked to the array.
    unsafe { *(&raw const (*image).words).cast::<u16>().add(index) }
}

/// The state after a name. `rest` has room for `ROOM` bytes, a power of two. `None`: for less than the
/// name has and the automaton has to read, or the name is ambiguous.
///
/// # Safety
/// `image` is a live image.
#[inline(always)]
pub unsafe fn read_name<const ROOM: usize>(
    image: *const Image,
    state: u64,
    name: Name,
    rest: *mut u8,
) -> Option<u64> {
    if name.is_ambiguous() {
        return None;
    }
    let length = name.bytes();
    let (mut state, mut head, mut at) = (state, name.head, 0);
    // SAFETY: the caller's promise; the helper fails on a bad address.
    unsafe {
        while at < u64::from(HEAD) {
            if at >= length {
                return Some(state);
            }
            state = next(image, state, head);
            if is_settled(image, state) {
                return Some(state);
            }
            head >>= 8;
            at += 1;
        }
        if length >= ROOM as u64 {
            return None;
        }
        let size = opaque(length) as u32 & (ROOM as u32 - 1);
        bpf_probe_read_kernel(rest.cast(), size, name.address as *const c_void);
        // LLVM would leave out the bound below, which follows from the one above; the verifier
        // needs it.
        let length = opaque(length);
        while at < ROOM as u64 {
            if at >= length {
                break;
            }
            // Not asked whether it is settled: every way out of a loop is one more for the verifier.
            state = next(image, state, u64::from(*rest.add(at as usize)));
            at += 1;
        }
    }
    Some(state)
}

/// A length that the verifier sees to be at most 255.
#[inline(always)]
pub fn bounded(length: u64) -> u32 {
    (opaque(length) & 0xff) as u32
}
