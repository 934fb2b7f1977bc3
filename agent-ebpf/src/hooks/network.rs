//! Internet destinations and socket kinds.
//!
//! | hook | right |
//! |---|---|
//! | `socket_create` | `net.socket`: families, types and protocols that the other hooks can judge |
//! | `socket_connect` | `net.connect` (TCP and UDP) |
//! | `socket_sendmsg` with an address | `net.connect` (UDP, TCP Fast Open) |

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
        Socket, load,
    },
    maps::NET,
    subject::{Subject, guard},
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
    guard(|subject| {
        let family: u64 = ctx.arg::<u32>(0).into();
        let kind: u64 = ctx.arg::<u32>(1).into();
        let protocol: u64 = ctx.arg::<u32>(2).into();
        let kernel: u32 = ctx.arg(3);
        if kernel != 0 || is_ordinary(family, kind, protocol) {
            return 0;
        }
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

/// Sockets whose every destination passes a hook of this file or of [`super::unix`]. Not so
/// MPTCP, SCTP, SMC, RDS, raw and packet sockets; `NETLINK_ROUTE` only reads without capabilities.
#[inline(always)]
fn is_ordinary(family: u64, kind: u64, protocol: u64) -> bool {
    if family == AF_UNIX {
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
    guard(|subject| destination(subject, ctx.arg(0), ctx.arg(1), ctx.arg(2), true))
}

/// `int socket_sendmsg(struct socket *, struct msghdr *, int size)`. Without an address the
/// message goes where `connect` was judged to go.
#[lsm(hook = "socket_sendmsg")]
fn socket_sendmsg(ctx: LsmContext) -> i32 {
    guard(|subject| {
        let message: *const MsgHdr = ctx.arg(1);
        // SAFETY: the hook's argument.
        let (address, length): (*const SockAddr, i32) =
            unsafe { (load(message, &MSG_NAME), load(message, &MSG_NAMELEN)) };
        if address.is_null() {
            return 0;
        }
        destination(subject, ctx.arg(0), address, length, false)
    })
}

/// The beginning of a `sockaddr_in` or `sockaddr_in6`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Address {
    family: u16,
    port: [u8; 2],
    /// IPv4 address, or IPv6 flow information.
    v4: [u8; 4],
    v6: [u8; 16],
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
    let mut raw = Address {
        family: 0,
        port: [0; 2],
        v4: [0; 4],
        v6: [0; 16],
    };
    // SAFETY: a kernel address that holds a `sockaddr_storage`, larger than what is read.
    unsafe {
        bpf_probe_read_kernel(
            (&raw mut raw).cast(),
            size_of::<Address>() as u32,
            address.cast(),
        );
    }
    // AF_UNSPEC disconnects; in a message on an IPv6 socket it means the connected peer. On an
    // IPv4 socket a message with it is sent as AF_INET.
    if raw.family == AF_UNSPEC && (connecting || family == AF_INET6) {
        return 0;
    }
    let v6 = family == AF_INET6 && raw.family != AF_INET;
    if length < if v6 { 24 } else { 8 } {
        return 0; // too short: the protocol answers EINVAL
    }
    let address = normalised(&raw, v6);
    judge(
        subject,
        address,
        u16::from_be_bytes(raw.port),
        protocol as u8,
    )
}

/// The address as 16 bytes: IPv4 mapped, and the unspecified address as the loopback that it
/// connects to.
#[inline(always)]
fn normalised(raw: &Address, v6: bool) -> [u8; 16] {
    let mut address = if v6 {
        raw.v6
    } else {
        let [a, b, c, d] = raw.v4;
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
    };
    let high = u64::from_ne_bytes(first_half(&address));
    let low = u64::from_be_bytes(second_half(&address));
    if high == 0 && low == 0 {
        address[15] = 1;
    } else if high == 0 && low == 0xffff_0000_0000 {
        address[12] = 127;
        address[15] = 1;
    }
    address
}

#[inline(always)]
const fn first_half(address: &[u8; 16]) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = *address;
    [a, b, c, d, e, f, g, h]
}

#[inline(always)]
const fn second_half(address: &[u8; 16]) -> [u8; 8] {
    let [.., a, b, c, d, e, f, g, h] = *address;
    [a, b, c, d, e, f, g, h]
}

#[inline(always)]
fn judge(subject: &Subject, address: [u8; 16], port: u16, protocol: u8) -> i32 {
    let matched = subject.image.and_then(|image| {
        let key = NetKey {
            policy: image.header.policy.to_be_bytes(),
            address,
        };
        lookup(&Key::new(POLICY_BITS + 128, key), port, protocol)
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
        words: [
            u64::from_ne_bytes(first_half(&address)),
            u64::from_ne_bytes(second_half(&address)),
        ],
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
