//! Names in the dcache, read through the automaton.
//!
//! [`agent_decide::path`] is the same for a path that is written down. This is not shared: a name's head
//! is in a register and the rest has to be copied first, within bounds that the verifier can follow.

use core::ffi::c_void;

use agent_abi::Image;
pub(crate) use agent_decide::automaton::{is_settled, next};
use agent_decide::opaque;
use aya_ebpf::helpers::generated::bpf_probe_read_kernel;

use crate::name::{HEAD, Name};

/// The state after a name. `rest` has room for `ROOM` bytes, a power of two. `None`: for less than the
/// name has and the automaton has to read, or the name is ambiguous.
///
/// # Safety
/// `rest` has that room; `name` is valid.
#[inline(always)]
pub(crate) unsafe fn read_name<const ROOM: usize>(
    image: &Image,
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
pub(crate) fn bounded(length: u64) -> u32 {
    (opaque(length) & 0xff) as u32
}
