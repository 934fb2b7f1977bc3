//! Which socket a TCP connection to this host would reach: the kernel's own table of listening sockets,
//! read as `__inet_lookup_listener()` and `inet6_lookup_listener()` read it.
//!
//! Listening sockets are freed after a grace period (`SOCK_RCU_FREE`), and hooks run within one, so
//! what is in the table stays a socket while it is looked at.

use core::ffi::c_void;

use agent_abi::net::Address;
use aya_ebpf::helpers::generated::bpf_loop;

use crate::{
    kernel::{
        BUCKET_HEAD, HASHINFO_LISTENERS, HASHINFO_LISTENERS_MASK, HashInfo, NET_HASHINFO, NET_MIX,
        Net, SOCK_ADDRESS, SOCK_ADDRESS_V6, SOCK_FAMILY, SOCK_NET, SOCK_NODE, SOCK_PORT, Sock,
        container, load, member, number_at,
    },
    sockets::owner_of,
    subject::Subject,
};

/// Sockets of one bucket that are looked at. With more, nothing is known.
const MAX_SOCKETS: u32 = 128;

const AF_INET6: u16 = 10;

/// A socket of the session's own.
const OWN: u64 = 1;
/// A socket of others, or doubt.
const OTHER: u64 = 2;

/// Whether a connection by `sock` to this loopback address would reach a listening socket that the
/// session made listen, and could reach no other.
#[inline(always)]
pub(crate) fn reaches_own(subject: &Subject, sock: *const Sock, to: Address, port: u16) -> bool {
    let is_loopback = to == Address::LOOPBACK || (to.is_v4() && (to.low >> 32) as u8 == 127);
    if subject.image.is_none() || !is_loopback {
        return false;
    }
    // SAFETY: `sock` is the hook's socket; what is loaded from it is typed.
    let (net, mix, table): (*const Net, u32, *const HashInfo) = unsafe {
        let net: *const Net = load(sock, &SOCK_NET);
        (net, load(net, &NET_MIX), load(net, &NET_HASHINFO))
    };
    let any = if to.is_v4() {
        Address::UNSPECIFIED_V4
    } else {
        Address::UNSPECIFIED
    };
    let label = u64::from(subject.label.slot) | u64::from(subject.label.generation) << 32;
    let mut search = Search {
        node: 0,
        net: net as u64,
        address: to,
        port,
        label,
        found: 0,
        ended: 0,
    };
    // First those that are bound to the address, then those to none: the first of either takes it.
    search.bucket(table, hash(to, mix) ^ u32::from(port));
    if search.found == 0 {
        search.address = any;
        search.bucket(table, hash(any, mix) ^ u32::from(port));
    }
    search.found == OWN
}

#[repr(C)]
struct Search {
    /// The place in the bucket's list; the lowest bit is set at its end.
    node: u64,
    net: u64,
    address: Address,
    port: u16,
    label: u64,
    found: u64,
    ended: u64,
}

impl Search {
    /// Looks at every socket of one bucket.
    #[inline(always)]
    fn bucket(&mut self, table: *const HashInfo, hash: u32) {
        // SAFETY: a typed pointer of the connecting socket's network namespace.
        let mask: u32 = unsafe { load(table, &HASHINFO_LISTENERS_MASK) };
        // As a number: 6.1 lets nothing that is not constant be added to a typed pointer.
        let buckets = number_at(member(table, &HASHINFO_LISTENERS));
        // The head of the list is the last member, so a bucket ends with it.
        let size = member(core::ptr::null::<Sock>(), &BUCKET_HEAD) as u64 + size_of::<u64>() as u64;
        let place = buckets.wrapping_add(u64::from(hash & mask).wrapping_mul(size));
        self.node = number_at(member(place as *const Sock, &BUCKET_HEAD));
        self.ended = 0;
        // SAFETY: the callback has the signature that bpf_loop expects, and its context outlives it.
        unsafe { bpf_loop(MAX_SOCKETS, look as *mut c_void, (&raw mut *self).cast(), 0) };
        if self.ended == 0 {
            self.found |= OTHER;
        }
    }

    /// Whether this socket takes connections to the address that is searched for.
    ///
    /// An IPv6 socket that is bound to a specific or mapped address has its IPv4 one beside it. One that
    /// takes no IPv4 (`IPV6_V6ONLY`) is counted all the same: if it is another's, that is doubt.
    #[inline(always)]
    fn is_taken_by(&self, sock: *const c_void) -> bool {
        let net = number_at(member(sock, &SOCK_NET));
        let port = number_at(member(sock, &SOCK_PORT)) as u16;
        if net != self.net || port != self.port {
            return false;
        }
        if self.address.is_v4() {
            return number_at(member(sock, &SOCK_ADDRESS)) as u32
                == (self.address.low >> 32) as u32;
        }
        let address = member(sock, &SOCK_ADDRESS_V6);
        number_at(member(sock, &SOCK_FAMILY)) as u16 == AF_INET6
            && number_at(address) == self.address.high
            && number_at(address.wrapping_byte_add(8)) == self.address.low
    }
}

unsafe extern "C" fn look(_step: u32, search: *mut Search) -> i64 {
    // SAFETY: `search` is `bucket`'s.
    let search = unsafe { &mut *search };
    if search.node & 1 == 1 || search.node == 0 {
        search.ended = 1;
        return 1;
    }
    let sock = container(search.node as *const Sock, &SOCK_NODE);
    if search.is_taken_by(sock) {
        let is_own = owner_of(sock as u64) == search.label;
        search.found |= if is_own { OWN } else { OTHER };
    }
    search.node = number_at(search.node as *const c_void);
    0
}

/// `ipv4_portaddr_hash()` and `ipv6_portaddr_hash()` without the port. The addresses are those that are
/// searched for: IPv4, `::1` and `::`.
#[inline(always)]
fn hash(address: Address, mix: u32) -> u32 {
    const BEGIN: u32 = 0xdead_beef;
    let words = [
        address.high as u32,
        (address.high >> 32) as u32,
        address.low as u32,
        (address.low >> 32) as u32,
    ];
    if address.is_v4() || address.is_unspecified() {
        let begin = mix.wrapping_add(BEGIN).wrapping_add(4);
        let first = if address.is_v4() { words[3] } else { 0 };
        return finish(begin.wrapping_add(first), begin, begin);
    }
    let begin = mix.wrapping_add(BEGIN).wrapping_add(16);
    let (a, b, c) = stir(
        begin.wrapping_add(words[0]),
        begin.wrapping_add(words[1]),
        begin.wrapping_add(words[2]),
    );
    finish(a.wrapping_add(words[3]), b, c)
}

/// `__jhash_mix()`
#[inline(always)]
fn stir(mut a: u32, mut b: u32, mut c: u32) -> (u32, u32, u32) {
    a = a.wrapping_sub(c) ^ c.rotate_left(4);
    c = c.wrapping_add(b);
    b = b.wrapping_sub(a) ^ a.rotate_left(6);
    a = a.wrapping_add(c);
    c = c.wrapping_sub(b) ^ b.rotate_left(8);
    b = b.wrapping_add(a);
    a = a.wrapping_sub(c) ^ c.rotate_left(16);
    c = c.wrapping_add(b);
    b = b.wrapping_sub(a) ^ a.rotate_left(19);
    a = a.wrapping_add(c);
    c = c.wrapping_sub(b) ^ b.rotate_left(4);
    b = b.wrapping_add(a);
    (a, b, c)
}

/// `__jhash_final()`
#[inline(always)]
fn finish(mut a: u32, mut b: u32, mut c: u32) -> u32 {
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    (c ^ b).wrapping_sub(b.rotate_left(24))
}
