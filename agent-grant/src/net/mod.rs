//! Network destinations.

mod parse;
mod table;

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use agent_abi::net::Address;

pub use parse::{DestinationError, parse_destination, parse_endpoint};
pub(crate) use table::first_match;
pub use table::{NetTable, NetTableError, Node};

/// TCP.
pub const TCP: u8 = 6;
/// UDP.
pub const UDP: u8 = 17;

/// Where IPv4 lives among 128-bit addresses: `::ffff:0:0/96`.
pub(crate) const V4_BASE: u128 = 0xffff_0000_0000;
pub(crate) const V4_BITS: u8 = 96;

/// A network: the first `length` bits of `bits`. IPv4 stands below `::ffff:0:0/96`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    pub bits: u128,
    /// 0 to 128.
    pub length: u8,
}

impl Prefix {
    pub(crate) const V4: Self = Self {
        bits: V4_BASE,
        length: V4_BITS,
    };

    pub(crate) fn mask(length: u8) -> u128 {
        if length == 0 {
            0
        } else {
            u128::MAX << (128 - u32::from(length.min(128)))
        }
    }

    #[must_use]
    pub fn contains(self, address: u128) -> bool {
        (address ^ self.bits) & Self::mask(self.length) == 0
    }

    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.length <= other.length && self.contains(other.bits)
    }

    #[must_use]
    pub fn is_v4(self) -> bool {
        Self::V4.covers(self)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_v4() {
            let address = Ipv4Addr::from_bits(self.bits as u32);
            match self.length - V4_BITS {
                32 => write!(f, "{address}"),
                length => write!(f, "{address}/{length}"),
            }
        } else {
            let address = Ipv6Addr::from_bits(self.bits);
            match self.length {
                128 => write!(f, "[{address}]"),
                length => write!(f, "[{address}]/{length}"),
            }
        }
    }
}

/// What one entry of `to` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// One network; for `*` all of IPv4 and all of IPv6.
    pub prefixes: Vec<Prefix>,
    /// First and last port.
    pub ports: (u16, u16),
    /// IP protocol; `None` is TCP and UDP.
    pub protocol: Option<u8>,
}

impl Destination {
    /// Whether an endpoint is one of those named.
    #[must_use]
    pub fn contains(&self, to: Endpoint) -> bool {
        let port = (self.ports.0..=self.ports.1).contains(&to.port);
        let protocol = self.protocol.is_none_or(|own| own == to.protocol);
        // IPv4 addresses are decided by the rules about IPv4 alone.
        let mut networks = self
            .prefixes
            .iter()
            .filter(|prefix| prefix.is_v4() == Prefix::V4.contains(to.address));
        port && protocol && networks.any(|prefix| prefix.contains(to.address))
    }
}

/// One address, port and protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// 128 bits; IPv4 mapped.
    pub address: u128,
    pub port: u16,
    pub protocol: u8,
}

impl Endpoint {
    /// Where a socket without an address of its own gets by connecting here: the kernel side decides on
    /// that.
    #[must_use]
    pub fn reached(self) -> Self {
        let address = Address::from_bytes(self.address.to_be_bytes());
        let reached = address.reached(Address::UNSPECIFIED);
        Self {
            address: u128::from_be_bytes(reached.to_bytes()),
            ..self
        }
    }

    /// Whether it is `0.0.0.0` or `::`, which are no destinations of their own.
    #[must_use]
    pub fn is_unspecified(self) -> bool {
        Address::from_bytes(self.address.to_be_bytes()).is_unspecified()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = Prefix {
            bits: self.address,
            length: 128,
        };
        match self.protocol {
            TCP => write!(f, "{prefix}:{}/tcp", self.port),
            UDP => write!(f, "{prefix}:{}/udp", self.port),
            other => write!(f, "{prefix}:{}/{other}", self.port),
        }
    }
}
