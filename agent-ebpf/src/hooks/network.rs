//! Internet destinations and socket kinds.
//!
//! | hook | right |
//! |---|---|
//! | `socket_create` | `net.socket`: families, types and protocols that the other hooks can judge |
//! | `socket_connect` | `net.connect` (TCP and UDP) |
//! | `socket_sendmsg` with an address | `net.connect` (UDP, TCP Fast Open) |

use core::mem::offset_of;

use agent_abi::{
    Reason, Right,
    event::Detail,
    ledger::NO_RULE,
    limits::MAX_NET_ENTRIES,
    net::{NetEntry, NetKey, POLICY_BITS},
};
use aya_ebpf::{
    btf_maps::lpm_trie::Key, helpers::generated::bpf_probe_read_kernel, macros::lsm,
    programs::LsmContext,
};

use crate::{
    decide::{EACCES, count_allowed, refuse},
    kernel::{
        MSG_NAME, MSG_NAMELEN, MsgHdr, SOCK_FAMILY, SOCK_PROTOCOL, SOCKET_SK, Sock, SockAddr,
        Socket, load, number_at, numbers_are_cheap,
    },
    maps::NET,
    subject::{Subject, guard, guard_unless},
};

const AF_UNSPEC: u16 = 0;
const AF_UNIX: u64 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const AF_NETLINK: u64 = 16;
const SOCK_STREAM: u64 = 1;
const SOCK_DGRAM: u64 = 2;
const IPPROTO_TCP: u64 = 6;
const IPPROTO_UDP: u64 = 17;
const NETLINK_ROUTE: u64 = 0;

/// `int socket_create(int family, int type, int protocol, int kern)`
#[lsm(hook = "socket_create")]
fn socket_create(ctx: LsmContext) -> i32 {
    guard_unless(&ctx, is_ordinary, |subject, ctx| {
        let Kind {
            family,
            kind,
            protocol,
        } = Kind::of(ctx);
        let detail = Detail {
            words: [family, kind],
            extra: protocol << 16,
        };
        refuse(
            subject,
            Right::NetSocket,
            Reason::NotGranted,
            NO_RULE,
            detail,
            EACCES,
        )
    })
}

/// What `socket` was asked for.
struct Kind {
    family: u64,
    kind: u64,
    protocol: u64,
}

impl Kind {
    #[inline(always)]
    fn of(ctx: &LsmContext) -> Self {
        Self {
            family: ctx.arg::<u32>(0).into(),
            kind: ctx.arg::<u32>(1).into(),
            protocol: ctx.arg::<u32>(2).into(),
        }
    }
}

/// Sockets whose every destination passes a hook of this file or of [`super::unix`]. Not so
/// MPTCP, SCTP, SMC, RDS, raw and packet sockets; `NETLINK_ROUTE` only reads without capabilities.
/// The kernel's own are not the session's.
#[inline(always)]
fn is_ordinary(ctx: &LsmContext) -> bool {
    let Kind {
        family,
        kind,
        protocol,
    } = Kind::of(ctx);
    if ctx.arg::<u32>(3) != 0 || family == AF_UNIX {
        return true;
    }
    if family == AF_NETLINK {
        return protocol == NETLINK_ROUTE;
    }
    if family != u64::from(AF_INET) && family != u64::from(AF_INET6) {
        return false;
    }
    (kind == SOCK_STREAM && (protocol == 0 || protocol == IPPROTO_TCP))
        || (kind == SOCK_DGRAM && (protocol == 0 || protocol == IPPROTO_UDP))
}

/// `int socket_connect(struct socket *, struct sockaddr *, int addrlen)`
#[lsm(hook = "socket_connect")]
fn socket_connect(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        destination(subject, ctx.arg(0), ctx.arg(1), ctx.arg(2), true)
    })
}

/// `int socket_sendmsg(struct socket *, struct msghdr *, int size)`. Without an address the
/// message goes where `connect` was judged to go.
#[lsm(hook = "socket_sendmsg")]
fn socket_sendmsg(ctx: LsmContext) -> i32 {
    guard_unless(
        &ctx,
        |ctx| address_of(ctx).0.is_null(),
        |subject, ctx| {
            let (address, length) = address_of(ctx);
            destination(subject, ctx.arg(0), address, length, false)
        },
    )
}

/// Where the message of `sendmsg` is to go, if it says so, and how long that is.
#[inline(always)]
fn address_of(ctx: &LsmContext) -> (*const SockAddr, i32) {
    let message: *const MsgHdr = ctx.arg(1);
    // SAFETY: the hook's argument.
    unsafe { (load(message, &MSG_NAME), load(message, &MSG_NAMELEN)) }
}

#[inline(always)]
fn destination(
    subject: &Subject,
    socket: *const Socket,
    address: *const SockAddr,
    length: i32,
    connecting: bool,
) -> i32 {
    // SAFETY: the hook's argument.
    let sock: *const Sock = unsafe { load(socket, &SOCKET_SK) };
    if sock.is_null() {
        return 0; // closed meanwhile: the protocol answers
    }
    // SAFETY: not NULL, and loaded from the hook's argument.
    let (family, protocol): (u16, u16) =
        unsafe { (load(sock, &SOCK_FAMILY), load(sock, &SOCK_PROTOCOL)) };
    if family != AF_INET && family != AF_INET6 {
        return 0;
    }
    let given = Given::read(address, family);
    // AF_UNSPEC disconnects; in a message on an IPv6 socket it means the connected peer. On an
    // IPv4 socket a message with it is sent as AF_INET.
    if given.family() == AF_UNSPEC && (connecting || family == AF_INET6) {
        return 0;
    }
    let is_v6 = family == AF_INET6 && given.family() != AF_INET;
    if length < if is_v6 { 24 } else { 8 } {
        return 0; // too short: the protocol answers EINVAL
    }
    let address = if is_v6 { given.v6() } else { given.v4() };
    judge(subject, address.reached(), given.port(), protocol as u8)
}

/// The beginning of a `sockaddr_in` (family, port, address) or `sockaddr_in6` (family, port, flow,
/// and the address from the second word on), as it is in memory.
struct Given {
    words: [u64; 3],
}

impl Given {
    /// Reads a kernel address that holds a `sockaddr_storage`, larger than what is read, for a socket of
    /// this family.
    #[inline(always)]
    fn read(address: *const SockAddr, family: u16) -> Self {
        let mut words = [0; 3];
        if numbers_are_cheap() {
            let at = |offset| number_at(address.wrapping_byte_add(offset).cast());
            words[0] = at(0);
            if family == AF_INET6 {
                words = [words[0], at(8), at(16)];
            }
            return Self { words };
        }
        // SAFETY: a live local of that size; a bad address leaves zeroes.
        unsafe { bpf_probe_read_kernel((&raw mut words).cast(), 24, address.cast()) };
        Self { words }
    }

    #[inline(always)]
    fn family(&self) -> u16 {
        self.words[0] as u16
    }

    #[inline(always)]
    fn port(&self) -> u16 {
        u16::from_be((self.words[0] >> 16) as u16)
    }

    #[inline(always)]
    fn v4(&self) -> Address {
        Address {
            high: 0,
            low: MAPPED | self.words[0] >> 32 << 32,
        }
    }

    #[inline(always)]
    fn v6(&self) -> Address {
        let [_, high, low] = self.words;
        Address { high, low }
    }
}

/// The lower half of `::ffff:0.0.0.0`
const MAPPED: u64 = u64::from_ne_bytes([0, 0, 0xff, 0xff, 0, 0, 0, 0]);
/// What `::1` and `127.0.0.1` have in their last four bytes more than the unspecified addresses.
const LOOPBACK: u64 = u64::from_ne_bytes([0, 0, 0, 0, 0, 0, 0, 1]);
const LOOPBACK_V4: u64 = u64::from_ne_bytes([0, 0, 0, 0, 127, 0, 0, 1]);

/// An IPv6 address, or an IPv4 one mapped, in the order that it has in memory.
struct Address {
    high: u64,
    low: u64,
}

impl Address {
    /// Where a connection to it leads: the unspecified addresses connect to the loopback.
    #[inline(always)]
    fn reached(mut self) -> Self {
        if self.high == 0 {
            if self.low == 0 {
                self.low = LOOPBACK;
            } else if self.low == MAPPED {
                self.low |= LOOPBACK_V4;
            }
        }
        self
    }
}

/// `Key<NetKey>` in whole words, since LLVM would put it together byte by byte.
#[repr(C)]
struct KeyWords {
    bits: u32,
    policy: u32,
    high: u64,
    low: u64,
}

const _: () = assert!(size_of::<KeyWords>() == size_of::<Key<NetKey>>());
const _: () = assert!(offset_of!(KeyWords, high) == 4 + offset_of!(NetKey, address));

#[inline(always)]
fn judge(subject: &Subject, address: Address, port: u16, protocol: u8) -> i32 {
    let matched = subject.image.and_then(|image| {
        let key = KeyWords {
            bits: POLICY_BITS + 128,
            policy: image.header.policy.to_be(),
            high: address.high,
            low: address.low,
        };
        // SAFETY: the same bytes, as asserted above, and better aligned.
        lookup(unsafe { &*(&raw const key).cast() }, port, protocol)
    });
    let rule = match matched {
        Some(entry) if entry.allow == 1 => {
            count_allowed(subject, entry.rule);
            return 0;
        }
        Some(entry) => entry.rule,
        None => NO_RULE,
    };
    let reason = if rule == NO_RULE {
        Reason::NoRule
    } else {
        Reason::Rule
    };
    let detail = Detail {
        words: [address.high, address.low],
        extra: u64::from(port) | u64::from(protocol) << 16,
    };
    refuse(subject, Right::NetConnect, reason, rule, detail, EACCES)
}

/// The first entry of the longest matching prefix that holds this port and protocol.
#[inline(always)]
fn lookup(key: &Key<NetKey>, port: u16, protocol: u8) -> Option<NetEntry> {
    let entries = NET.get(key)?;
    let mut index = 0;
    while index < MAX_NET_ENTRIES {
        if index as u32 >= entries.count {
            return None;
        }
        let entry = entries.entries[index];
        let in_range = entry.first <= port && port <= entry.last;
        if in_range && (entry.protocol == 0 || entry.protocol == protocol) {
            return Some(entry);
        }
        index += 1;
    }
    None
}
