//! Unix sockets.
//!
//! | hook | right |
//! |---|---|
//! | `unix_stream_connect`, `unix_may_send` | `file.connect` at the socket's path; abstract names: `unix.connect`; nothing for a socket that the session bound itself ([`super::sockets`]) |
//!
//! A connection keeps the label of the task that made it, on the end that is accepted
//! (`CONNECTIONS`): whoever accepts can ask whose it is when that task is gone.

use core::ffi::c_void;

use agent_abi::{FileRights, Reason, Right, event::Detail, ledger::NO_RULE};
use aya_ebpf::{helpers::generated::bpf_skc_to_unix_sock, macros::lsm, programs::LsmContext};

use crate::{
    decide::{EACCES, ENOMEM, file, refuse},
    kernel::{Dentry, SOCKET_SK, Sock, Socket, UNIX_ADDRESS, UNIX_DENTRY, UnixSock, load},
    maps::CONNECTIONS,
    sockets::is_own,
    subject::{Subject, guard},
};

/// `int unix_stream_connect(struct sock *, struct sock *other, struct sock *newsk)`. `newsk` is
/// what `accept` returns (`sock_graft()`).
#[lsm(hook = "unix_stream_connect")]
fn unix_stream_connect(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        let result = peer(subject, ctx.arg(1));
        if result != 0 {
            return result;
        }
        match CONNECTIONS.get_or_create(ctx.arg(2)) {
            Some(label) => {
                // SAFETY: a live map value of a socket that nobody else has yet.
                unsafe { *label = subject.label };
                0
            }
            None => -ENOMEM,
        }
    })
}

/// `int unix_may_send(struct socket *, struct socket *other)`
#[lsm(hook = "unix_may_send")]
fn unix_may_send(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        // SAFETY: the hook's argument.
        let other: *const Sock = unsafe { load(ctx.arg::<*const Socket>(1), &SOCKET_SK) };
        if other.is_null() {
            0
        } else {
            peer(subject, other)
        }
    })
}

#[inline(always)]
fn peer(subject: &Subject, other: *const Sock) -> i32 {
    if is_own(subject, other) {
        return 0;
    }
    // SAFETY: the helper checks that the socket is a Unix one.
    let other: *const UnixSock = unsafe { bpf_skc_to_unix_sock(other.cast_mut().cast()) }
        .cast_const()
        .cast();
    if other.is_null() {
        return unnamed(subject);
    }
    // SAFETY: not NULL, and typed by the helper.
    let (dentry, address): (*const Dentry, *const c_void) =
        unsafe { (load(other, &UNIX_DENTRY), load(other, &UNIX_ADDRESS)) };
    if !dentry.is_null() {
        return file(subject, dentry, FileRights::CONNECT);
    }
    if address.is_null() {
        // Without a name only `socketpair` leads there.
        return 0;
    }
    unnamed(subject)
}

#[inline(always)]
fn unnamed(subject: &Subject) -> i32 {
    let detail = Detail {
        words: [0; 2],
        extra: 0,
    };
    refuse(
        subject,
        Right::UnixConnect,
        Reason::NotGranted,
        NO_RULE,
        detail,
        EACCES,
    )
}
