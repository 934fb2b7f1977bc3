//! Internet destinations and kinds of sockets.

use agent_abi::{
    limits::MAX_NET_ENTRIES,
    net::{NetEntries, NetEntry},
};

/// `AF_UNIX`
pub const AF_UNIX: u64 = 1;
/// `AF_INET`
pub const AF_INET: u16 = 2;
/// `AF_INET6`
pub const AF_INET6: u16 = 10;
/// `AF_NETLINK`
pub const AF_NETLINK: u64 = 16;
/// `SOCK_STREAM`
pub const SOCK_STREAM: u64 = 1;
/// `SOCK_DGRAM`
pub const SOCK_DGRAM: u64 = 2;
/// `IPPROTO_TCP`
pub const IPPROTO_TCP: u64 = 6;
/// `IPPROTO_UDP`
pub const IPPROTO_UDP: u64 = 17;
/// `NETLINK_ROUTE`
pub const NETLINK_ROUTE: u64 = 0;

/// The entry that decides about a port and protocol: the first that holds them.
#[must_use]
#[inline(always)]
pub fn first_match(entries: &NetEntries, port: u16, protocol: u8) -> Option<NetEntry> {
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

/// Whether every destination of such a socket is judged where it connects or sends.
///
/// Not so MPTCP, SCTP, SMC, RDS, raw and packet sockets; `NETLINK_ROUTE` only reads without capabilities.
#[must_use]
#[inline(always)]
pub fn is_ordinary_socket(family: u64, kind: u64, protocol: u64) -> bool {
    if family == AF_UNIX {
        return true;
    }
    if family == AF_NETLINK {
        return protocol == NETLINK_ROUTE;
    }
    if family != AF_INET as u64 && family != AF_INET6 as u64 {
        return false;
    }
    (kind == SOCK_STREAM && (protocol == 0 || protocol == IPPROTO_TCP))
        || (kind == SOCK_DGRAM && (protocol == 0 || protocol == IPPROTO_UDP))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(ports: (u16, u16), protocol: u8, rule: u16) -> NetEntry {
        NetEntry {
            first: ports.0,
            last: ports.1,
            rule,
            protocol,
            allow: 1,
        }
    }

    #[test]
    fn the_first_entry_that_holds_port_and_protocol_decides() {
        let entries = NetEntries::of(&[
            entry((80, 80), 6, 0),
            entry((1, 1000), 17, 1),
            entry((443, 65535), 0, 2),
        ]);
        for (port, protocol, rule) in [
            (80, 6, Some(0)),
            (80, 17, Some(1)),
            (81, 6, None),
            (443, 17, Some(1)),
            (443, 6, Some(2)),
            (65535, 132, Some(2)),
            (0, 17, None),
        ] {
            let found = first_match(&entries, port, protocol).map(|entry| entry.rule);
            assert_eq!(found, rule, "{port}/{protocol}");
        }
        let full = NetEntries::of(&[entry((1, 1), 6, 7); MAX_NET_ENTRIES]);
        assert_eq!(first_match(&full, 2, 6), None);
    }

    #[test]
    fn only_tcp_udp_unix_and_route_sockets_are_ordinary() {
        let ordinary = [
            (AF_UNIX, 5, 0),
            (AF_NETLINK, 3, NETLINK_ROUTE),
            (2, SOCK_STREAM, 0),
            (2, SOCK_STREAM, IPPROTO_TCP),
            (10, SOCK_DGRAM, 0),
            (10, SOCK_DGRAM, IPPROTO_UDP),
        ];
        let other = [
            (AF_NETLINK, 3, 9),
            (2, SOCK_STREAM, 262),
            (2, SOCK_STREAM, 132),
            (2, SOCK_DGRAM, 1),
            (2, 3, 1),
            (2, 5, 132),
            (17, 3, 0),
            (40, SOCK_STREAM, 0),
        ];
        for (family, kind, protocol) in ordinary {
            assert!(
                is_ordinary_socket(family, kind, protocol),
                "{family} {kind} {protocol}"
            );
        }
        for (family, kind, protocol) in other {
            assert!(
                !is_ordinary_socket(family, kind, protocol),
                "{family} {kind} {protocol}"
            );
        }
    }
}
