//! User namespaces that sessions made: capabilities there are not the host's.
//!
//! Known by their address, from when one is made until it is freed. Both are seen by programs that the kernel
//! may skip. One whose making was skipped is nobody's. One whose end was skipped is taken out when another is
//! made at its address, by whomever, and from 6.18 on told from that other by a number that none gets again.

use agent_abi::nested::Made;

use crate::{
    address::Address,
    kernel::{USER_NAMESPACE_ID, USER_NAMESPACE_PARENT, UserNamespace, opaque},
    maps::MADE,
    subject::Subject,
};

/// One more than the kernel lets be below each other (`create_user_ns()`).
const LEVELS: u32 = 34;

/// Notes who made a namespace; 0 for nobody's.
#[inline(always)]
pub(crate) fn note(namespace: *const UserNamespace, generation: u32) {
    let address = opaque(namespace as u64);
    let _ = MADE.remove(&address);
    if generation == 0 {
        return;
    }
    let made = Made {
        id: id_of(address),
        generation,
        unused: 0,
    };
    // Without room it is nobody's, and the session has no capability there.
    let _ = MADE.insert(&address, &made, 0);
}

#[inline(always)]
pub(crate) fn forget(namespace: *const UserNamespace) {
    let _ = MADE.remove(&opaque(namespace as u64));
}

/// Whether the session made a user namespace, or one above it.
#[inline(always)]
pub(crate) fn is_made_by(subject: &Subject, namespace: *const UserNamespace) -> bool {
    subject.image.is_some() && is_made(subject.label.generation, opaque(namespace as u64)) != 0
}

/// A program of its own: most hooks that ask have little room left.
#[inline(never)]
fn is_made(generation: u32, namespace: u64) -> u32 {
    let mut at = namespace;
    let mut level = 0;
    while level < LEVELS && at != 0 {
        // SAFETY: the value is written once, before the namespace can be found.
        if let Some(made) = unsafe { MADE.get(&at) }
            && made.generation == generation
            && made.id == id_of(at)
        {
            return 1;
        }
        at = opaque(Address::at(at).member(&USER_NAMESPACE_PARENT).read());
        level += 1;
    }
    0
}

#[inline(always)]
fn id_of(namespace: u64) -> u64 {
    Address::at(namespace).member(&USER_NAMESPACE_ID).read()
}
