//! Destinations and sockets: scenarios 9 to 11 and 13 of the fixture, section F of the catalogue.

use crate::{
    acts::{Act, SendBy, Way},
    harness::{Check, ground::Ground, matrix::Case, process},
};

const CONNECT: &str = "net.connect";
const LOCAL: &str = "127.0.0.1";

/// Addresses that the loopback interface has besides its own.
pub(crate) fn prepare() -> Check {
    process::shell(
        "for a in 10.9.8.7/32 10.9.9.9/32 169.254.169.254/32; do ip address add $a dev lo 2>&1 || true; done
         ip address add fd00:9::9/128 dev lo nodad 2>&1 || true
         echo 3 > /proc/sys/net/ipv4/tcp_fastopen",
    )
    .map(drop)
}

fn case(name: &'static str, refused: impl Fn(&mut Ground<'_>) -> Act + 'static) -> Case {
    Case::new("network", name, CONNECT, refused).errno(libc::EACCES)
}

fn tcp(g: &mut Ground<'_>, address: &str, granted: bool) -> Act {
    Act::Tcp {
        address: address.into(),
        port: g.tcp(granted),
    }
}

fn udp(g: &mut Ground<'_>, address: &str, granted: bool, by: SendBy) -> Act {
    Act::Udp {
        address: address.into(),
        port: g.udp(granted),
        by,
    }
}

fn socket(name: &'static str, family: i32, kind: i32, protocol: i32) -> Case {
    Case::new("network", name, "net.socket", move |_| Act::Socket {
        family,
        kind,
        protocol,
    })
    .reason("not-granted")
    .errno(libc::EACCES)
    // There is no word for it in a grant yet.
    .never()
    .twin(|_| Act::Socket {
        family: libc::AF_INET,
        kind: libc::SOCK_STREAM,
        protocol: 0,
    })
}

pub(crate) fn cases() -> Vec<Case> {
    let compiled = &[Way::Compiled];
    let mut cases = vec![
        case("connects to a port that is not granted", |g| {
            tcp(g, LOCAL, false)
        })
        .twin(|g| tcp(g, LOCAL, true)),
        case(
            "connects to a port of an IPv6 address that is not granted",
            |g| tcp(g, "::1", false),
        )
        .twin(|g| tcp(g, "::1", true)),
        case("connects to an address that is not granted", |g| {
            tcp(g, "10.9.9.9", true)
        })
        .twin(|g| tcp(g, LOCAL, true)),
        case("connects to an IPv6 address that is not granted", |g| {
            tcp(g, "fd00:9::9", true)
        })
        .twin(|g| tcp(g, "::1", true)),
        case(
            "connects to a mapped IPv4 address that is not granted",
            |g| tcp(g, "::ffff:10.9.9.9", true),
        )
        .twin(|g| tcp(g, "::ffff:127.0.0.1", true)),
        case(
            "connects to the unspecified address, which is the loopback's",
            |g| tcp(g, "0.0.0.0", false),
        )
        .twin(|g| tcp(g, "0.0.0.0", true)),
        case("connects by TCP where only UDP is granted", |g| {
            tcp(g, "10.9.8.7", true)
        })
        .twin(|g| udp(g, "10.9.8.7", true, SendBy::Connect)),
        case("connects to the metadata address", |g| {
            tcp(g, "169.254.169.254", true)
        })
        .twin(|g| tcp(g, LOCAL, true)),
        case("connects to an address that a rule denies", |g| {
            tcp(g, "127.0.0.9", true)
        })
        .rule("forbidden")
        .twin(|g| tcp(g, LOCAL, true)),
        case("sends to the metadata address without connecting", |g| {
            udp(g, "169.254.169.254", true, SendBy::SendTo)
        })
        .twin(|g| udp(g, LOCAL, true, SendBy::SendTo)),
        case("connects by UDP to what is not granted", |g| {
            udp(g, LOCAL, false, SendBy::Connect)
        })
        .twin(|g| udp(g, LOCAL, true, SendBy::Connect)),
        case("sends to what is not granted", |g| {
            udp(g, LOCAL, false, SendBy::SendTo)
        })
        .twin(|g| udp(g, LOCAL, true, SendBy::SendTo)),
        case("sends over IPv6 to what is not granted", |g| {
            udp(g, "::1", false, SendBy::SendTo)
        })
        .twin(|g| udp(g, "::1", true, SendBy::SendTo)),
        case("sends over IPv6 by an address without a scope", |g| {
            udp(g, "::1", false, SendBy::WithoutScope)
        })
        .twin(|g| udp(g, "::1", true, SendBy::WithoutScope)),
        case("sends to a mapped IPv4 address that is not granted", |g| {
            udp(g, "::ffff:127.0.0.1", false, SendBy::SendTo)
        })
        .twin(|g| udp(g, "::ffff:127.0.0.1", true, SendBy::SendTo)),
        case("sends by sendmsg to what is not granted", |g| {
            udp(g, LOCAL, false, SendBy::SendMsg)
        })
        .twin(|g| udp(g, LOCAL, true, SendBy::SendMsg)),
        case("sends by sendmmsg to what is not granted", |g| {
            udp(g, LOCAL, false, SendBy::SendMmsg)
        })
        .or_right("net.option")
        .or_reason("not-granted")
        .never()
        .ways(compiled)
        .twin(|g| udp(g, LOCAL, true, SendBy::SendMmsgConnected)),
        case("sends to an address without a family", |g| {
            udp(g, LOCAL, false, SendBy::Unspecified)
        })
        .ways(compiled)
        .twin(|g| udp(g, LOCAL, true, SendBy::Unspecified)),
        case("sends to an IPv4 address from an IPv6 socket", |g| {
            udp(g, LOCAL, false, SendBy::V4OnV6)
        })
        .ways(compiled)
        .twin(|g| udp(g, LOCAL, true, SendBy::V4OnV6)),
        case("opens a connection with its first data", |g| {
            Act::FastOpen {
                address: LOCAL.into(),
                port: g.tcp(false),
            }
        })
        .twin(|g| Act::FastOpen {
            address: LOCAL.into(),
            port: g.tcp(true),
        }),
        case("disconnects and connects elsewhere", |g| Act::Reconnect {
            first: (LOCAL.into(), 10_000),
            then: (LOCAL.into(), g.udp(false)),
        })
        .ways(compiled)
        .twin(|g| Act::Reconnect {
            first: (LOCAL.into(), 10_000),
            then: (LOCAL.into(), g.udp(true)),
        }),
        case("asks a resolver that is not granted", |g| {
            g.udp(false);
            Act::Udp {
                address: "10.9.9.9".into(),
                port: 53,
                by: SendBy::SendTo,
            }
        })
        .free(|g| udp(g, "10.9.9.9", false, SendBy::SendTo))
        .twin(|g| udp(g, LOCAL, true, SendBy::SendTo)),
    ];
    cases.extend(unix());
    cases.extend([
        socket(
            "opens a raw socket",
            libc::AF_INET,
            libc::SOCK_RAW,
            libc::IPPROTO_ICMP,
        ),
        socket("opens a packet socket", libc::AF_PACKET, libc::SOCK_RAW, 0),
        socket(
            "opens a ping socket",
            libc::AF_INET,
            libc::SOCK_DGRAM,
            libc::IPPROTO_ICMP,
        )
        .without_free(),
        socket(
            "opens a multipath TCP socket",
            libc::AF_INET,
            libc::SOCK_STREAM,
            262,
        ),
        socket(
            "opens an SCTP socket",
            libc::AF_INET,
            libc::SOCK_STREAM,
            132,
        )
        .without_free(),
        socket("opens a VM socket", libc::AF_VSOCK, libc::SOCK_STREAM, 0).without_free(),
        socket(
            "opens a socket of the kernel's cryptography",
            libc::AF_ALG,
            libc::SOCK_SEQPACKET,
            0,
        )
        .without_free(),
        socket(
            "opens a netlink socket of the audit system",
            libc::AF_NETLINK,
            libc::SOCK_RAW,
            9,
        )
        .twin(|_| Act::Socket {
            family: libc::AF_NETLINK,
            kind: libc::SOCK_RAW,
            protocol: 0,
        }),
        socket(
            "opens a netlink socket of the firewall",
            libc::AF_NETLINK,
            libc::SOCK_RAW,
            12,
        ),
    ]);
    cases
}

fn unix() -> Vec<Case> {
    let case = |name, refused: fn(&mut Ground<'_>) -> Act| {
        Case::new("network", name, "file.connect", refused).errno(libc::EACCES)
    };
    vec![
        case("connects to the socket of a container engine", |g| {
            let path = format!("/run/{}-docker.sock", g.tag());
            Act::UnixStream { path: g.unix(path) }
        })
        .twin(|g| {
            let path = g.inside("own.sock");
            Act::UnixStream { path: g.unix(path) }
        }),
        case("connects to a socket through a link inside", |g| {
            let path = g.outside("agent.sock");
            let target = g.unix(path);
            let link = g.inside("link");
            Act::UnixStream {
                path: g.symlink(&target, link),
            }
        })
        .twin(|g| {
            let path = g.inside("agent.sock");
            let target = g.unix(path);
            let link = g.inside("link");
            Act::UnixStream {
                path: g.symlink(&target, link),
            }
        }),
        case("sends to a socket outside", |g| {
            let path = g.outside("log.sock");
            Act::UnixDatagram {
                path: g.unix_datagram(path),
            }
        })
        .twin(|g| {
            let path = g.inside("log.sock");
            Act::UnixDatagram {
                path: g.unix_datagram(path),
            }
        }),
        Case::new(
            "network",
            "connects to an abstract socket",
            "unix.connect",
            |g| Act::Abstract {
                name: g.abstract_name(),
            },
        )
        .reason("not-granted")
        .never()
        .errno(libc::EACCES),
    ]
}
