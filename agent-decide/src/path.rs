//! The state at a path that is written down.
//!
//! The kernel side walks dentries instead, from the object up and then down its names
//! (`agent-ebpf/src/walk.rs`): the verifier follows no loop over bytes of this length in one frame, so
//! names are read piece by piece there. The steps are [`next`]'s in both; scenarios hold the two together.

use agent_abi::{
    Image, Reason,
    limits::{MAX_DEPTH, MAX_NAME},
};

use crate::automaton::{is_settled, next};

/// The state after `path` from the state `from`: empty for where it begins, else `/` and a name for each
/// component.
///
/// # Errors
/// [`Reason::Unresolvable`] for what is too deep for the kernel side, or has a name that no filesystem has.
pub fn follow(image: &Image, from: u64, path: &[u8]) -> Result<u64, Reason> {
    let mut state = from;
    let names = path.split(|byte| *byte == b'/').skip(1);
    for (depth, name) in names.enumerate() {
        if depth >= MAX_DEPTH || name.len() > MAX_NAME {
            return Err(Reason::Unresolvable);
        }
        state = next(image, state, u64::from(b'/'));
        for byte in name {
            if is_settled(image, state) {
                break;
            }
            state = next(image, state, u64::from(*byte));
        }
    }
    Ok(state)
}
