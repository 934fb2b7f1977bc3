//! Socket options and control messages: those that programs use and that change neither where a
//! packet goes, nor what stands in it as its source, nor what others' sockets get.
//!
//! An allow-list, by level and number: what is not here is refused (`net.option`). A call of
//! `setsockopt` is judged by these two alone, since its value is still in the caller's memory.

/// `SOL_SOCKET`
pub const SOCKET: u32 = 1;
/// `IPPROTO_IP`
pub const IP: u32 = 0;
/// `IPPROTO_TCP`
pub const TCP: u32 = 6;
/// `IPPROTO_UDP`
pub const UDP: u32 = 17;
/// `IPPROTO_IPV6`
pub const IPV6: u32 = 41;
/// `SOL_NETLINK`
pub const NETLINK: u32 = 270;

/// A level's harmless options: bit `n` of word `n / 64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options([u64; 2]);

impl Options {
    const fn of(numbers: &[u32]) -> Self {
        let mut words = [0; 2];
        let mut at = 0;
        while at < numbers.len() {
            words[(numbers[at] / 64) as usize] |= 1 << (numbers[at] % 64);
            at += 1;
        }
        Self(words)
    }

    /// Whether this option is among them.
    #[must_use]
    #[inline(always)]
    pub const fn contains(self, number: u32) -> bool {
        let word = if number < 64 { self.0[0] } else { self.0[1] };
        number < 128 && word >> (number & 63) & 1 == 1
    }
}

/// Left out: `SO_DONTROUTE`, `SO_BINDTODEVICE`, `SO_BINDTOIFINDEX` and `SO_MARK`, which choose another
/// way for packets; classic and extended BPF (`SO_ATTACH_*`, `SO_LOCK_FILTER`), which in a group of
/// `SO_REUSEPORT` steers others' connections; what only root outside has a use for.
/// `SO_SNDBUFFORCE` and its like are decided by the capability that they need.
const SOCKET_OPTIONS: Options = Options::of(&[
    1,  // SO_DEBUG
    2,  // SO_REUSEADDR
    6,  // SO_BROADCAST
    7,  // SO_SNDBUF
    8,  // SO_RCVBUF
    9,  // SO_KEEPALIVE
    10, // SO_OOBINLINE
    11, // SO_NO_CHECK
    12, // SO_PRIORITY
    13, // SO_LINGER
    14, // SO_BSDCOMPAT
    15, // SO_REUSEPORT
    16, // SO_PASSCRED
    18, // SO_RCVLOWAT
    19, // SO_SNDLOWAT
    20, // SO_RCVTIMEO_OLD
    21, // SO_SNDTIMEO_OLD
    29, // SO_TIMESTAMP_OLD
    32, // SO_SNDBUFFORCE
    33, // SO_RCVBUFFORCE
    34, // SO_PASSSEC
    35, // SO_TIMESTAMPNS_OLD
    37, // SO_TIMESTAMPING_OLD
    40, // SO_RXQ_OVFL
    42, // SO_PEEK_OFF
    45, // SO_SELECT_ERR_QUEUE
    46, // SO_BUSY_POLL
    47, // SO_MAX_PACING_RATE
    49, // SO_INCOMING_CPU
    53, // SO_CNX_ADVICE
    60, // SO_ZEROCOPY
    61, // SO_TXTIME
    63, // SO_TIMESTAMP_NEW
    64, // SO_TIMESTAMPNS_NEW
    65, // SO_TIMESTAMPING_NEW
    66, // SO_RCVTIMEO_NEW
    67, // SO_SNDTIMEO_NEW
    69, // SO_PREFER_BUSY_POLL
    72, // SO_BUF_LOCK
    74, // SO_TXREHASH
    76, // SO_PASSPIDFD
    82, // SO_RCVPRIORITY
    83, // SO_PASSRIGHTS
    84, // SO_INQ
]);

/// Left out: `IP_OPTIONS` (source routes), `IP_FREEBIND` and `IP_TRANSPARENT` (others' addresses as
/// source), `IP_UNICAST_IF` and `IP_MULTICAST_IF` (another network), membership and source filters
/// (the kernel tells them to the network, in bytes that the caller chooses), policies of IPsec,
/// `IP_HDRINCL`, the firewall's tables, multicast routing.
const IP_OPTIONS: Options = Options::of(&[
    1,  // IP_TOS
    2,  // IP_TTL
    6,  // IP_RECVOPTS
    7,  // IP_RETOPTS: whether to be told
    8,  // IP_PKTINFO: whether to be told
    10, // IP_MTU_DISCOVER
    11, // IP_RECVERR
    12, // IP_RECVTTL
    13, // IP_RECVTOS
    20, // IP_RECVORIGDSTADDR
    21, // IP_MINTTL
    23, // IP_CHECKSUM
    24, // IP_BIND_ADDRESS_NO_PORT
    25, // IP_RECVFRAGSIZE
    26, // IP_RECVERR_RFC4884
    33, // IP_MULTICAST_TTL
    34, // IP_MULTICAST_LOOP
    49, // IP_MULTICAST_ALL
    51, // IP_LOCAL_PORT_RANGE
]);

/// Left out: `IPV6_ADDRFORM`, which makes the socket one of IPv4 while another thread sends by it;
/// routing and other extension headers, also those of a flow label and of `IPV6_2292PKTOPTIONS`;
/// `IPV6_PKTINFO` (source and interface), `IPV6_NEXTHOP`, and what is left out of IPv4.
const IPV6_OPTIONS: Options = Options::of(&[
    2,  // IPV6_2292PKTINFO: whether to be told
    8,  // IPV6_2292HOPLIMIT: whether to be told
    11, // IPV6_FLOWINFO: whether to be told
    16, // IPV6_UNICAST_HOPS
    18, // IPV6_MULTICAST_HOPS
    19, // IPV6_MULTICAST_LOOP
    23, // IPV6_MTU_DISCOVER
    24, // IPV6_MTU
    25, // IPV6_RECVERR
    26, // IPV6_V6ONLY
    29, // IPV6_MULTICAST_ALL
    31, // IPV6_RECVERR_RFC4884
    33, // IPV6_FLOWINFO_SEND
    49, // IPV6_RECVPKTINFO
    51, // IPV6_RECVHOPLIMIT
    53, // IPV6_RECVHOPOPTS
    56, // IPV6_RECVRTHDR
    58, // IPV6_RECVDSTOPTS
    60, // IPV6_RECVPATHMTU
    62, // IPV6_DONTFRAG
    66, // IPV6_RECVTCLASS
    67, // IPV6_TCLASS
    70, // IPV6_AUTOFLOWLABEL
    72, // IPV6_ADDR_PREFERENCES
    73, // IPV6_MINHOPCOUNT
    74, // IPV6_RECVORIGDSTADDR
    77, // IPV6_RECVFRAGSIZE
]);

/// Left out: `TCP_REPAIR` and its kin, `TCP_ULP` (which can put another protocol in the socket's
/// place), signatures, keys of Fast Open.
const TCP_OPTIONS: Options = Options::of(&[
    1,  // TCP_NODELAY
    2,  // TCP_MAXSEG
    3,  // TCP_CORK
    4,  // TCP_KEEPIDLE
    5,  // TCP_KEEPINTVL
    6,  // TCP_KEEPCNT
    7,  // TCP_SYNCNT
    8,  // TCP_LINGER2
    9,  // TCP_DEFER_ACCEPT
    10, // TCP_WINDOW_CLAMP
    12, // TCP_QUICKACK
    13, // TCP_CONGESTION
    16, // TCP_THIN_LINEAR_TIMEOUTS
    17, // TCP_THIN_DUPACK
    18, // TCP_USER_TIMEOUT
    23, // TCP_FASTOPEN
    25, // TCP_NOTSENT_LOWAT
    27, // TCP_SAVE_SYN
    30, // TCP_FASTOPEN_CONNECT: `connect` was judged
    34, // TCP_FASTOPEN_NO_COOKIE
    36, // TCP_INQ
    37, // TCP_TX_DELAY
    44, // TCP_RTO_MAX_MS
    45, // TCP_RTO_MIN_US
    46, // TCP_DELACK_MAX_US
]);

/// Left out: `UDP_ENCAP`, which makes the kernel speak for the socket.
const UDP_OPTIONS: Options = Options::of(&[
    1,   // UDP_CORK
    101, // UDP_NO_CHECK6_TX
    102, // UDP_NO_CHECK6_RX
    103, // UDP_SEGMENT
    104, // UDP_GRO
]);

const NETLINK_OPTIONS: Options = Options::of(&[
    1,  // NETLINK_ADD_MEMBERSHIP: to be told of changes
    2,  // NETLINK_DROP_MEMBERSHIP
    3,  // NETLINK_PKTINFO
    4,  // NETLINK_BROADCAST_ERROR
    5,  // NETLINK_NO_ENOBUFS
    10, // NETLINK_CAP_ACK
    11, // NETLINK_EXT_ACK
    12, // NETLINK_GET_STRICT_CHK
]);

/// Whether `setsockopt` with this level and option needs no right.
#[must_use]
#[inline(always)]
pub const fn is_harmless(level: u32, option: u32) -> bool {
    let options = match level {
        SOCKET => SOCKET_OPTIONS,
        IP => IP_OPTIONS,
        TCP => TCP_OPTIONS,
        UDP => UDP_OPTIONS,
        IPV6 => IPV6_OPTIONS,
        NETLINK => NETLINK_OPTIONS,
        _ => return false,
    };
    options.contains(option)
}

const SOCKET_MESSAGES: Options = Options::of(&[
    1,  // SCM_RIGHTS, which Internet sockets ignore
    2,  // SCM_CREDENTIALS, the same
    12, // SO_PRIORITY
    37, // SO_TIMESTAMPING_OLD
    61, // SCM_TXTIME
    65, // SO_TIMESTAMPING_NEW
    81, // SCM_TS_OPT_ID
]);

const IP_MESSAGES: Options = Options::of(&[
    1, // IP_TOS
    2, // IP_TTL
]);

const IPV6_MESSAGES: Options = Options::of(&[
    8,  // IPV6_2292HOPLIMIT
    11, // IPV6_FLOWINFO
    52, // IPV6_HOPLIMIT
    62, // IPV6_DONTFRAG
    67, // IPV6_TCLASS
]);

const UDP_MESSAGES: Options = Options::of(&[
    103, // UDP_SEGMENT
]);

/// What a control message of `sendmsg` on an Internet socket does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    Harmless,
    /// It names a source and an interface: `in_pktinfo` or `in6_pktinfo`, with the interface so
    /// many bytes behind the message's header. Harmless where it leaves the interface open (0); the
    /// source has to be the host's own.
    Source {
        interface: u32,
    },
    Refused,
}

/// What a control message with this level and type does.
#[must_use]
#[inline(always)]
pub const fn control(level: u32, kind: u32) -> Control {
    let harmless = match (level, kind) {
        (IP, 8) => return Control::Source { interface: 0 },
        (IPV6, 2 | 50) => return Control::Source { interface: 16 },
        (SOCKET, _) => SOCKET_MESSAGES.contains(kind),
        (IP, _) => IP_MESSAGES.contains(kind),
        (IPV6, _) => IPV6_MESSAGES.contains(kind),
        (UDP, _) => UDP_MESSAGES.contains(kind),
        _ => false,
    };
    if harmless {
        Control::Harmless
    } else {
        Control::Refused
    }
}

/// Levels by the names of the kernel's headers.
const LEVELS: [(u32, &str); 6] = [
    (SOCKET, "SOL_SOCKET"),
    (IP, "IPPROTO_IP"),
    (TCP, "IPPROTO_TCP"),
    (UDP, "IPPROTO_UDP"),
    (IPV6, "IPPROTO_IPV6"),
    (NETLINK, "SOL_NETLINK"),
];

/// What is refused and that people may meet, for those who read events.
const REFUSED: [(u32, u32, &str); 43] = [
    (SOCKET, 5, "SO_DONTROUTE"),
    (SOCKET, 25, "SO_BINDTODEVICE"),
    (SOCKET, 26, "SO_ATTACH_FILTER"),
    (SOCKET, 36, "SO_MARK"),
    (SOCKET, 50, "SO_ATTACH_BPF"),
    (SOCKET, 51, "SO_ATTACH_REUSEPORT_CBPF"),
    (SOCKET, 52, "SO_ATTACH_REUSEPORT_EBPF"),
    (SOCKET, 62, "SO_BINDTOIFINDEX"),
    (IP, 3, "IP_HDRINCL"),
    (IP, 4, "IP_OPTIONS"),
    (IP, 7, "IP_RETOPTS"),
    (IP, 8, "IP_PKTINFO"),
    (IP, 15, "IP_FREEBIND"),
    (IP, 19, "IP_TRANSPARENT"),
    (IP, 32, "IP_MULTICAST_IF"),
    (IP, 35, "IP_ADD_MEMBERSHIP"),
    (IP, 36, "IP_DROP_MEMBERSHIP"),
    (IP, 39, "IP_ADD_SOURCE_MEMBERSHIP"),
    (IP, 41, "IP_MSFILTER"),
    (IP, 42, "MCAST_JOIN_GROUP"),
    (IP, 46, "MCAST_JOIN_SOURCE_GROUP"),
    (IP, 50, "IP_UNICAST_IF"),
    (TCP, 19, "TCP_REPAIR"),
    (TCP, 31, "TCP_ULP"),
    (UDP, 100, "UDP_ENCAP"),
    (IPV6, 1, "IPV6_ADDRFORM"),
    (IPV6, 6, "IPV6_2292PKTOPTIONS"),
    (IPV6, 9, "IPV6_NEXTHOP"),
    (IPV6, 17, "IPV6_MULTICAST_IF"),
    (IPV6, 20, "IPV6_JOIN_GROUP"),
    (IPV6, 21, "IPV6_LEAVE_GROUP"),
    (IPV6, 27, "IPV6_JOIN_ANYCAST"),
    (IPV6, 32, "IPV6_FLOWLABEL_MGR"),
    (IPV6, 42, "MCAST_JOIN_GROUP"),
    (IPV6, 46, "MCAST_JOIN_SOURCE_GROUP"),
    (IPV6, 50, "IPV6_PKTINFO"),
    (IPV6, 54, "IPV6_HOPOPTS"),
    (IPV6, 55, "IPV6_RTHDRDSTOPTS"),
    (IPV6, 57, "IPV6_RTHDR"),
    (IPV6, 59, "IPV6_DSTOPTS"),
    (IPV6, 75, "IPV6_TRANSPARENT"),
    (IPV6, 76, "IPV6_UNICAST_IF"),
    (IPV6, 78, "IPV6_FREEBIND"),
];

/// A level's name in the kernel's headers, where it has one.
#[must_use]
pub fn level_name(level: u32) -> Option<&'static str> {
    let found = LEVELS.iter().find(|(number, _)| *number == level);
    found.map(|(_, name)| *name)
}

/// The name of a refused option or control message, where it is a known one.
#[must_use]
pub fn refused_name(level: u32, number: u32) -> Option<&'static str> {
    let found = REFUSED.iter().find(|row| (row.0, row.1) == (level, number));
    found.map(|(_, _, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_name_among_the_refused_is_refused_somewhere() {
        for (level, number, name) in REFUSED {
            let refused = !is_harmless(level, number);
            let as_message = control(level, number) != Control::Harmless;
            assert!(refused || as_message, "{name}");
        }
    }

    #[test]
    fn numbers_beyond_the_table_are_refused() {
        for level in [SOCKET, IP, TCP, UDP, IPV6, NETLINK] {
            for number in [0, 127, 128, 129, 192, 200, 1 << 31, u32::MAX] {
                assert!(!is_harmless(level, number), "{level} {number}");
            }
        }
        for level in [2, 58, 132, 136, 255, 263, 282, u32::MAX] {
            assert!(!is_harmless(level, 1), "{level}");
            assert_eq!(control(level, 1), Control::Refused, "{level}");
        }
    }

    #[test]
    fn every_multicast_membership_is_refused() {
        for number in 35..=48 {
            assert!(!is_harmless(IP, number), "{number}");
        }
        for number in (20..=22).chain(27..=28).chain(42..=48) {
            assert!(!is_harmless(IPV6, number), "{number}");
        }
    }
}
