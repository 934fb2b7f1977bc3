//! Internet destinations and socket kinds.
//!
//! | hook | right |
//! |---|---|
//! | `socket_create` | `net.socket`: families, types and protocols that the other hooks can judge |
//! | `socket_connect` | `net.connect` (TCP and UDP); nothing for TCP to a loopback address at which the session listens itself |
//! | `socket_sendmsg` with an address | the same (UDP, TCP Fast Open) |
//! | `socket_sendmsg` with control messages | `net.option`, see [`super::socket_options`] |

use core::mem::offset_of;

use agent_abi::{
    Reason, Right,
    event::Detail,
    ledger::NO_RULE,
    net::{Address, NetEntry, NetKey, POLICY_BITS},
};
use agent_decide::{
    destination::{AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP, first_match, is_ordinary_socket},
    label::reason_of,
};
use aya_ebpf::{
    btf_maps::lpm_trie::Key, helpers::generated::bpf_probe_read_kernel, macros::lsm,
    programs::LsmContext,
};

use super::socket_options::{is_batch, judge_control, refuse_batch};
use crate::{
    decide::{EACCES, count_allowed, refuse},
    kernel::{
        INET_SOURCE, MSG_CONTROL, MSG_CONTROL_LENGTH, MSG_NAME, MSG_NAMELEN, MsgHdr,
        SOCK_ADDRESS_V6, SOCK_FAMILY, SOCK_PROTOCOL, SOCKET_SK, Sock, SockAddr, Socket, load,
        member, number_at, numbers_are_cheap,
    },
    listeners::reaches_own,
    maps::{NET, SOCKETS},
    sockets::set_flag,
    subject::{Subject, guard, guard_unless},
    values::{BOUND, CONNECTED, UNSPECIFIED},
};

const AF_UNSPEC: u16 = 0;
/// `SIN6_LEN_RFC2133`: an IPv6 address without its scope.
const SIN6_LENGTH: i32 = 24;

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

/// Sockets whose every destination passes a hook of this file or of [`super::unix`]. The kernel's own
/// are not the session's.
#[inline(always)]
fn is_ordinary(ctx: &LsmContext) -> bool {
    let Kind {
        family,
        kind,
        protocol,
    } = Kind::of(ctx);
    ctx.arg::<u32>(3) != 0 || is_ordinary_socket(family, kind, protocol)
}

/// `int socket_connect(struct socket *, struct sockaddr *, int addrlen)`
#[lsm(hook = "socket_connect")]
fn socket_connect(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        destination(subject, ctx.arg(0), ctx.arg(1), ctx.arg(2), Act::Connect)
    })
}

/// `int socket_sendmsg(struct socket *, struct msghdr *, int size)`. Without an address the
/// message goes where `connect` was judged to go, unless a control message says otherwise.
#[lsm(hook = "socket_sendmsg")]
fn socket_sendmsg(ctx: LsmContext) -> i32 {
    guard_unless(
        &ctx,
        |ctx| address_of(ctx).0.is_null() && control_of(ctx).1 == 0,
        |subject, ctx| {
            let (control, length) = control_of(ctx);
            if length != 0 {
                let result = judge_control(subject, ctx.arg(0), control, length);
                if result != 0 {
                    return result;
                }
            }
            let (address, name_length) = address_of(ctx);
            if address.is_null() {
                return 0;
            }
            let act = Act::Send {
                has_control: length != 0,
            };
            destination(subject, ctx.arg(0), address, name_length, act)
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

/// Its control messages, and how many bytes those are.
#[inline(always)]
fn control_of(ctx: &LsmContext) -> (u64, u64) {
    let message: *const MsgHdr = ctx.arg(1);
    // SAFETY: the hook's argument.
    unsafe {
        (
            load(message, &MSG_CONTROL),
            load(message, &MSG_CONTROL_LENGTH),
        )
    }
}

/// What is done with a destination.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    Connect,
    Send { has_control: bool },
}

#[inline(always)]
fn destination(
    subject: &Subject,
    socket: *const Socket,
    address: *const SockAddr,
    length: i32,
    act: Act,
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
    // AF_UNSPEC disconnects. In a message an IPv4 socket takes it for AF_INET, and an IPv6 one for its
    // peer; it is judged as IPv4 on both, since whoever else has the socket may change its family before
    // the protocol looks (`IPV6_ADDRFORM`).
    if given.family() == AF_UNSPEC && act == Act::Connect {
        return 0;
    }
    let is_v6 = family == AF_INET6 && given.family() != AF_INET && given.family() != AF_UNSPEC;
    if length < if is_v6 { SIN6_LENGTH } else { 8 } {
        return 0; // too short: the protocol answers EINVAL
    }
    let address = if is_v6 { given.v6() } else { given.v4() };
    let mut to = Destination {
        sock,
        address,
        port: given.port(),
        protocol: protocol as u8,
    };
    if protocol == IPPROTO_UDP as u16 {
        let result = match act {
            Act::Connect if address.is_unspecified() => 0,
            Act::Connect => note_connect(subject, &to),
            Act::Send { .. } if is_batch(subject) => refuse_batch(subject),
            Act::Send { .. } => 0,
        };
        if result != 0 {
            return result;
        }
    }
    if address.is_unspecified() {
        let result = resolve(subject, &mut to, act);
        if result != 0 {
            return result;
        }
    }
    judge(subject, &to)
}

/// Where a message or connection goes, and by which socket.
struct Destination {
    sock: *const Sock,
    address: Address,
    port: u16,
    protocol: u8,
}

/// A UDP socket that connects gets an address of its own, so that `0.0.0.0` leads elsewhere.
#[inline(always)]
fn note_connect(subject: &Subject, to: &Destination) -> i32 {
    match SOCKETS.get_or_create(to.sock) {
        Some(state) if set_flag(state, CONNECTED) & UNSPECIFIED == 0 => 0,
        Some(_) => refuse_destination(subject, to, Reason::Ambiguous, NO_RULE),
        None => refuse_destination(subject, to, Reason::NoMemory, NO_RULE),
    }
}

/// Puts in the place of `0.0.0.0` or `::` what the kernel will make of it, which depends on the socket's own
/// address. That cannot change any more afterwards: [`BOUND`] and [`CONNECTED`] are set before it
/// does, and refused once [`UNSPECIFIED`] is. Returns what the hook returns, 0 to go on.
#[inline(never)]
fn resolve(subject: &Subject, to: &mut Destination, act: Act) -> i32 {
    let Some(state) = SOCKETS.get_or_create(to.sock) else {
        return refuse_destination(subject, to, Reason::NoMemory, NO_RULE);
    };
    // Connecting gives a UDP socket an address, here too.
    let (flags, excluded) = if act == Act::Connect && u64::from(to.protocol) == IPPROTO_UDP {
        (UNSPECIFIED | CONNECTED, UNSPECIFIED | CONNECTED)
    } else {
        (UNSPECIFIED, CONNECTED)
    };
    let before = set_flag(state, flags);
    let source = if to.address.is_v4() {
        let [.., a, b, c, d] = (number_at(member(to.sock, &INET_SOURCE)) << 32).to_ne_bytes();
        Address::v4([a, b, c, d])
    } else {
        let place = member(to.sock, &SOCK_ADDRESS_V6);
        Address {
            high: number_at(place),
            low: number_at(place.wrapping_byte_add(8)),
        }
    };
    // Binding may be under way, or a control message may name the source.
    let is_doubtful = before & excluded != 0
        || (before & BOUND != 0 && source.is_unspecified())
        || act == (Act::Send { has_control: true });
    if is_doubtful {
        return refuse_destination(subject, to, Reason::Ambiguous, NO_RULE);
    }
    to.address = to.address.reached(source);
    0
}

/// The beginning of a `sockaddr_in` (family, port, address) or `sockaddr_in6` (family, port, flow,
/// and the address from the second word on), as it is in memory.
pub(super) struct Given {
    words: [u64; 3],
}

impl Given {
    /// Reads a kernel address that holds a `sockaddr_storage`, larger than what is read, for a socket of
    /// this family.
    #[inline(always)]
    pub(super) fn read(address: *const SockAddr, family: u16) -> Self {
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
    pub(super) fn port(&self) -> u16 {
        u16::from_be((self.words[0] >> 16) as u16)
    }

    #[inline(always)]
    fn v4(&self) -> Address {
        Address {
            high: 0,
            low: Address::UNSPECIFIED_V4.low | self.words[0] >> 32 << 32,
        }
    }

    #[inline(always)]
    fn v6(&self) -> Address {
        let [_, high, low] = self.words;
        Address { high, low }
    }

    /// The address, for a socket of this family.
    #[inline(always)]
    pub(super) fn address(&self, family: u16) -> Address {
        if family == AF_INET6 {
            self.v6()
        } else {
            self.v4()
        }
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
fn judge(subject: &Subject, to: &Destination) -> i32 {
    let matched = subject.image.and_then(|image| {
        let key = KeyWords {
            bits: POLICY_BITS + 128,
            policy: image.header.policy.to_be(),
            high: to.address.high,
            low: to.address.low,
        };
        // SAFETY: the same bytes, as asserted above, and better aligned.
        lookup(unsafe { &*(&raw const key).cast() }, to.port, to.protocol)
    });
    let rule = match matched {
        Some(entry) if entry.allow == 1 => {
            count_allowed(subject, entry.rule);
            return 0;
        }
        Some(entry) => entry.rule,
        None => NO_RULE,
    };
    not_granted(subject, to, rule)
}

/// What no rule allows is refused, unless the session listens there itself.
#[inline(never)]
fn not_granted(subject: &Subject, to: &Destination, rule: u16) -> i32 {
    let is_tcp = u64::from(to.protocol) == IPPROTO_TCP;
    if is_tcp && reaches_own(subject, to.sock, to.address, to.port) {
        return 0;
    }
    refuse_destination(subject, to, reason_of(rule), rule)
}

#[inline(always)]
fn refuse_destination(subject: &Subject, to: &Destination, reason: Reason, rule: u16) -> i32 {
    let detail = Detail {
        words: [to.address.high, to.address.low],
        extra: u64::from(to.port) | u64::from(to.protocol) << 16,
    };
    refuse(subject, Right::NetConnect, reason, rule, detail, EACCES)
}

/// The first entry of the longest matching prefix that holds this port and protocol.
#[inline(always)]
fn lookup(key: &Key<NetKey>, port: u16, protocol: u8) -> Option<NetEntry> {
    first_match(NET.get(key)?, port, protocol)
}
