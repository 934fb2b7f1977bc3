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

impl NetEntries {
    /// The first [`MAX_NET_ENTRIES`] of `entries`; who makes a table sees to it that there are no more.
    #[must_use]
    pub fn of(entries: &[NetEntry]) -> Self {
        let mut all = [NetEntry::default(); MAX_NET_ENTRIES];
        let mut count = 0;
        for (place, entry) in all.iter_mut().zip(entries) {
            *place = *entry;
            count += 1;
        }
        Self {
            count,
            entries: all,
        }
    }
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

/// An IPv6 address, or an IPv4 one mapped, as two words in the order that it has in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    pub high: u64,
    pub low: u64,
}

/// The lower half of `::ffff:0.0.0.0`
const MAPPED: u64 = u64::from_ne_bytes([0, 0, 0xff, 0xff, 0, 0, 0, 0]);
/// The bytes of [`Address::low`] that an IPv4 address does not have.
const PREFIX: u64 = u64::from_ne_bytes([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);

impl Address {
    /// `::1`
    pub const LOOPBACK: Self = Self::from_bytes([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    /// `127.0.0.1`
    pub const LOOPBACK_V4: Self = Self::v4([127, 0, 0, 1]);
    /// `::`
    pub const UNSPECIFIED: Self = Self { high: 0, low: 0 };
    /// `0.0.0.0`
    pub const UNSPECIFIED_V4: Self = Self::v4([0; 4]);

    #[must_use]
    #[inline(always)]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
        Self {
            high: u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
            low: u64::from_ne_bytes([i, j, k, l, m, n, o, p]),
        }
    }

    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        let [a, b, c, d, e, f, g, h] = self.high.to_ne_bytes();
        let [i, j, k, l, m, n, o, p] = self.low.to_ne_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
    }

    #[must_use]
    #[inline(always)]
    pub const fn v4(bytes: [u8; 4]) -> Self {
        let [a, b, c, d] = bytes;
        Self {
            high: 0,
            low: MAPPED | u64::from_ne_bytes([0, 0, 0, 0, a, b, c, d]),
        }
    }

    /// Whether it stands for an IPv4 address.
    #[must_use]
    #[inline(always)]
    pub const fn is_v4(self) -> bool {
        self.high == 0 && self.low & PREFIX == MAPPED
    }

    /// Whether it is `::` or `0.0.0.0`, mapped or not: no destination of its own.
    #[must_use]
    #[inline(always)]
    pub const fn is_unspecified(self) -> bool {
        self.high == 0 && (self.low == 0 || self.low == MAPPED)
    }

    /// Where a socket whose own address is `source` gets by connecting or sending here.
    ///
    /// The unspecified addresses lead to the host itself: `0.0.0.0` to the socket's own address
    /// (`ip_route_output_key_hash_rcu()`), or to the loopback where it has none yet; `::` to the
    /// loopback (`tcp_v6_connect()`, `__ip6_datagram_connect()`), by IPv4 where the socket is bound to a
    /// mapped address.
    #[must_use]
    #[inline(always)]
    pub const fn reached(self, source: Self) -> Self {
        if !self.is_unspecified() {
            self
        } else if self.low == MAPPED {
            if source.is_v4() && source.low != MAPPED {
                source
            } else {
                Self::LOOPBACK_V4
            }
        } else if source.is_v4() {
            Self::LOOPBACK_V4
        } else {
            Self::LOOPBACK
        }
    }
}

const _: () = assert!(size_of::<NetKey>() == 20);
const _: () = assert!(size_of::<NetEntry>() == 8);
const _: () = assert!(size_of::<NetEntries>() == 4 + 8 * MAX_NET_ENTRIES);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unspecified_addresses_lead_to_the_host() {
        let own = Address::v4([10, 0, 0, 1]);
        let own_v6 = Address {
            high: 0xfd,
            low: 1 << 56,
        };
        for (to, source, reached) in [
            (own, Address::UNSPECIFIED, own),
            (
                Address::UNSPECIFIED_V4,
                Address::UNSPECIFIED,
                Address::LOOPBACK_V4,
            ),
            (
                Address::UNSPECIFIED_V4,
                Address::UNSPECIFIED_V4,
                Address::LOOPBACK_V4,
            ),
            (Address::UNSPECIFIED_V4, own, own),
            (Address::UNSPECIFIED, own, Address::LOOPBACK_V4),
            (Address::UNSPECIFIED, own_v6, Address::LOOPBACK),
            (
                Address::UNSPECIFIED,
                Address::UNSPECIFIED,
                Address::LOOPBACK,
            ),
        ] {
            assert_eq!(to.reached(source), reached, "{to:?} from {source:?}");
        }
    }

    #[test]
    fn bytes_stay_in_their_order() {
        let bytes = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1];
        assert_eq!(Address::from_bytes(bytes), Address::LOOPBACK_V4);
        assert_eq!(Address::LOOPBACK_V4.to_bytes(), bytes);
    }
}
