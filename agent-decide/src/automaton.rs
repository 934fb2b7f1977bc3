//! The authority automaton: how a session's image is read.

use agent_abi::{Image, limits::IMAGE_WORDS};

use crate::opaque;

/// Word `index` of the image's tables; an index beyond them wraps around.
#[must_use]
#[inline(always)]
pub fn word(image: &Image, index: u64) -> u16 {
    // Opaque, or LLVM moves the mask away from its use, where the 6.1 verifier loses the bound
    // ("math between map_value pointer and register with unbounded min value").
    let index = opaque(index) as usize & (IMAGE_WORDS - 1);
    image.words[index]
}

/// The automaton's step: the state after one byte of a path.
#[must_use]
#[inline(always)]
pub fn next(image: &Image, state: u64, byte: u64) -> u64 {
    let class = u64::from(image.classes[(byte & 0xff) as usize]);
    let row = state.wrapping_mul(u64::from(image.header.columns));
    u64::from(word(image, row.wrapping_add(class)))
}

/// Whether no byte but `/` leads out of a state.
#[must_use]
#[inline(always)]
pub fn is_settled(image: &Image, state: u64) -> bool {
    state >= u64::from(image.header.settled)
}
