//! Sockets that a session gives an address.
//!
//! | hook | does |
//! |---|---|
//! | `socket_bind` | makes a Unix socket the session's own; notes that an Internet socket gets an address |
//! | `socket_listen` | makes a TCP socket the session's own |
//!
//! A socket is owned by the session that gave it its address, whoever made it: before that nobody can
//! reach it, and a socket that has one already is left alone, so that one which somebody outside
//! bound and handed in stays theirs. These hooks run before the kernel finds out whether the
//! call is one that can succeed.

use core::ffi::c_void;

use agent_abi::{Reason, Right, event::Detail, ledger::NO_RULE};
use agent_decide::destination::{AF_INET, AF_INET6, AF_UNIX};
use aya_ebpf::{helpers::generated::bpf_skc_to_unix_sock, macros::lsm, programs::LsmContext};

use super::network::Given;
use crate::{
    decide::{EACCES, ENOMEM, refuse},
    kernel::{
        SOCK_FAMILY, SOCK_PROTOCOL, SOCK_STATE, SOCKET_SK, Sock, Socket, UNIX_ADDRESS, UnixSock,
        load,
    },
    maps::SOCKETS,
    sockets::{own, set_flag},
    subject::{Subject, guard},
    values::{BOUND, UNSPECIFIED},
};

/// `TCP_CLOSE` in `skc_state`: neither connected nor listening.
const CLOSED: u8 = 7;

/// `int socket_bind(struct socket *, struct sockaddr *, int addrlen)`
#[lsm(hook = "socket_bind")]
fn socket_bind(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        // SAFETY: the hook's argument.
        let sock: *const Sock = unsafe { load(ctx.arg::<*const Socket>(0), &SOCKET_SK) };
        if sock.is_null() {
            return 0; // closed meanwhile: the protocol answers
        }
        // SAFETY: not NULL, and loaded from the hook's argument.
        let family: u16 = unsafe { load(sock, &SOCK_FAMILY) };
        if u64::from(family) == AF_UNIX {
            return bind_unix(subject, sock);
        }
        if family != AF_INET && family != AF_INET6 {
            return 0;
        }
        let given = Given::read(ctx.arg(1), family);
        if given.address(family).is_unspecified() {
            return 0;
        }
        bind_specific(subject, sock, &given, family)
    })
}

#[inline(always)]
fn bind_unix(subject: &Subject, sock: *const Sock) -> i32 {
    // SAFETY: the helper checks that the socket is a Unix one.
    let unix: *const UnixSock = unsafe { bpf_skc_to_unix_sock(sock.cast_mut().cast()) }
        .cast_const()
        .cast();
    if unix.is_null() {
        return 0;
    }
    // SAFETY: not NULL, and typed by the helper.
    let address: *const c_void = unsafe { load(unix, &UNIX_ADDRESS) };
    if !address.is_null() || own(subject, sock) {
        0
    } else {
        -ENOMEM
    }
}

/// What was sent to `0.0.0.0` was judged by the socket's address, which must not change under it.
#[inline(always)]
fn bind_specific(subject: &Subject, sock: *const Sock, given: &Given, family: u16) -> i32 {
    let Some(state) = SOCKETS.get_or_create(sock) else {
        return -ENOMEM;
    };
    if set_flag(state, BOUND) & UNSPECIFIED == 0 {
        return 0;
    }
    // SAFETY: loaded from the hook's argument.
    let protocol: u16 = unsafe { load(sock, &SOCK_PROTOCOL) };
    let address = given.address(family);
    let detail = Detail {
        words: [address.high, address.low],
        extra: u64::from(given.port()) | u64::from(protocol) << 16,
    };
    let reason = Reason::Ambiguous;
    refuse(subject, Right::NetConnect, reason, NO_RULE, detail, EACCES)
}

/// `int socket_listen(struct socket *, int backlog)`
#[lsm(hook = "socket_listen")]
fn socket_listen(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        // SAFETY: the hook's argument.
        let sock: *const Sock = unsafe { load(ctx.arg::<*const Socket>(0), &SOCKET_SK) };
        if sock.is_null() {
            return 0;
        }
        // SAFETY: not NULL, and loaded from the hook's argument.
        let (family, state): (u16, u8) =
            unsafe { (load(sock, &SOCK_FAMILY), load(sock, &SOCK_STATE)) };
        let is_internet = family == AF_INET || family == AF_INET6;
        // What listens already is whose it is.
        if !is_internet || state != CLOSED || own(subject, sock) {
            0
        } else {
            -ENOMEM
        }
    })
}
