//! Network destinations: the key and value of the `NET` longest-prefix-match trie.

use crate::limits::MAX_NET_ENTRIES;

/// Key of the `NET` trie, without aya's prefix length: the policy and the address.
///
/// Every address is 128 bits wide; an IPv4 address stands as `::ffff:a.b.c.d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct NetKey {
    /// [`ImageHeader::policy`](crate::ImageHeader::policy), in network byte order.
    pub policy: [u8; 4],
    pub address: [u8; 16],
}

/// Bits of a key before the address.
pub const POLICY_BITS: u32 = 32;

/// Value of the `NET` trie: everything that the grant says of this prefix, those of wider
/// prefixes included, so that the kernel looks up once. First match decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct NetEntries {
    pub count: u32,
    pub entries: [NetEntry; MAX_NET_ENTRIES],
}

/// One port range of a destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct NetEntry {
    /// First port, host byte order.
    pub first: u16,
    /// Last port, inclusive.
    pub last: u16,
    /// Rule number within the grant.
    pub rule: u16,
    /// IP protocol (6 TCP, 17 UDP); 0 is any.
    pub protocol: u8,
    /// 1 allows, 0 denies.
    pub allow: u8,
}

const _: () = assert!(size_of::<NetKey>() == 20);
const _: () = assert!(size_of::<NetEntry>() == 8);
const _: () = assert!(size_of::<NetEntries>() == 4 + 8 * MAX_NET_ENTRIES);
