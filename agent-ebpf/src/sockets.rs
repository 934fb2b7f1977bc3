//! What is kept with a socket: whose it is, and what was done to its own address.
//!
//! The storage belongs to the kernel's `struct sock` and is freed with it, so it is never another
//! socket's. Only sockets that need it have it: those that a session binds (Unix) or makes listen
//! (TCP), and those whose own address matters, see [`SocketState::flags`].

use core::arch::asm;

use crate::{
    kernel::{
        SOCK_STORAGE, STORAGE_DATA_MAP, STORAGE_DATA_VALUE, STORAGE_ELEMENT_DATA,
        STORAGE_ELEMENT_NODE, STORAGE_LIST, Sock, member, number_at, opaque,
    },
    maps::SOCKETS,
    subject::Subject,
    values::SocketState,
};

/// Sets a flag, and returns those that were set before. Orders it against the kernel's later accesses to
/// the socket: of two tasks that set a flag each and look for the other's, one finds it.
#[inline(always)]
pub(crate) fn set_flag(state: *mut SocketState, flag: u64) -> u64 {
    let before;
    // SAFETY: an atomic operation, which is a full barrier, on a live map value.
    unsafe {
        asm!("{0} = atomic_fetch_or((u64 *)({1} + 8), {0})", inlateout(reg) flag => before,
            in(reg) state, options(nostack));
    }
    before
}

/// Makes it the socket of this session, for good. False: no memory.
#[inline(always)]
pub(crate) fn own(subject: &Subject, sock: *const Sock) -> bool {
    match SOCKETS.get_or_create(sock) {
        Some(state) => {
            // SAFETY: a live map value. Two tasks that own at once are of sessions that share the socket.
            unsafe { (*state).owner = subject.label };
            true
        }
        None => false,
    }
}

/// Whether it is a socket of this session, which has not ended.
#[inline(always)]
pub(crate) fn is_own(subject: &Subject, sock: *const Sock) -> bool {
    subject.image.is_some()
        && SOCKETS.get(sock).is_some_and(|state| {
            // SAFETY: the value lives as long as the program runs (RCU).
            unsafe { (*state).owner == subject.label }
        })
}

/// How many storages of one socket are looked at: one for each map that keeps something with sockets.
const MAX_STORAGES: usize = 8;

/// The owner of a socket that the verifier has no type for, as the bits of a label; 0 for none.
#[inline(always)]
pub(crate) fn owner_of(sock: u64) -> u64 {
    let sock: *const Sock = sock as *const Sock;
    let storage = number_at(member(sock, &SOCK_STORAGE));
    if storage == 0 {
        return 0;
    }
    let mut node = number_at(member(storage as *const Sock, &STORAGE_LIST));
    let mut step = 0;
    while step < MAX_STORAGES && node != 0 {
        let element = crate::kernel::container(node as *const Sock, &STORAGE_ELEMENT_NODE);
        let data = member(element, &STORAGE_ELEMENT_DATA);
        let map = number_at(member(data, &STORAGE_DATA_MAP));
        if opaque(map) == opaque(SOCKETS.address()) {
            return number_at(member(data, &STORAGE_DATA_VALUE));
        }
        node = number_at(node as *const _);
        step += 1;
    }
    0
}
