//! "10.0.0.0/8:443/tcp" and its kin.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    ops::Range,
    str::FromStr,
};

use super::{Destination, Endpoint, Prefix, TCP, UDP, V4_BASE, V4_BITS};

/// What is wrong with a destination.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DestinationError {
    /// Bytes of the destination as written.
    pub span: Range<usize>,
    pub message: String,
    /// What was expected.
    pub label: String,
    pub help: Option<String>,
}

fn error<T>(
    span: Range<usize>,
    message: impl Into<String>,
    label: impl Into<String>,
) -> Result<T, DestinationError> {
    Err(DestinationError {
        span,
        message: message.into(),
        label: label.into(),
        help: None,
    })
}

const FORMS: &str = "`ADDRESS[/BITS]:PORT[-PORT][/tcp or /udp]`, IPv6 in brackets, `*` for any";

/// Reads a destination.
///
/// # Errors
/// Says which part is wrong and what was expected there.
pub fn parse_destination(text: &str) -> Result<Destination, DestinationError> {
    let whole = 0..text.len();
    let (prefixes, rest) = if let Some(rest) = text.strip_prefix('*') {
        (vec![Prefix { bits: 0, length: 0 }, Prefix::V4], rest)
    } else if let Some(inner) = text.strip_prefix('[') {
        let Some(close) = inner.find(']') else {
            return error(
                whole,
                "the bracket is not closed",
                "expected `]` after the address",
            );
        };
        let span = 1..1 + close;
        let Ok(address) = Ipv6Addr::from_str(&inner[..close]) else {
            return error(
                span,
                format!("`{}` is no IPv6 address", &inner[..close]),
                "",
            );
        };
        let rest = &inner[close + 1..];
        let at = text.len() - rest.len();
        let (length, rest) = bits(rest, at, 128)?;
        let prefix = Prefix {
            bits: address.to_bits(),
            length,
        };
        if prefix.is_v4() {
            let v4 = Ipv4Addr::from_bits(address.to_bits() as u32);
            return error(
                span,
                "an IPv4 address in IPv6 form",
                format!("write `{v4}`"),
            );
        }
        (vec![checked(prefix, span)?], rest)
    } else {
        let end = text.find([':', '/']).unwrap_or(text.len());
        let span = 0..end;
        let Ok(address) = Ipv4Addr::from_str(&text[..end]) else {
            return Err(not_an_address(text, end));
        };
        let (length, rest) = bits(&text[end..], end, 32)?;
        let bits = V4_BASE | u128::from(address.to_bits());
        (
            vec![checked(
                Prefix {
                    bits,
                    length: V4_BITS + length,
                },
                span,
            )?],
            rest,
        )
    };
    let at = text.len() - rest.len();
    let Some(rest) = rest.strip_prefix(':') else {
        return error(
            at..text.len(),
            "no port is given",
            format!("expected `:443`, `:8000-8100` or `:*` (any port) here, as in {FORMS}"),
        );
    };
    let at = at + 1;
    let (ports, protocol) = match rest.split_once('/') {
        None => (rest, None),
        Some((ports, word)) => {
            let span = at + ports.len() + 1..text.len();
            match word {
                "tcp" => (ports, Some(TCP)),
                "udp" => (ports, Some(UDP)),
                _ => {
                    return error(
                        span,
                        format!("unknown protocol `{word}`"),
                        "expected `tcp` or `udp`",
                    );
                }
            }
        }
    };
    Ok(Destination {
        prefixes,
        ports: port_range(ports, at)?,
        protocol,
    })
}

/// Reads one address with port and protocol: "1.2.3.4:443/tcp". TCP where none is given.
///
/// # Errors
/// Says which part is wrong.
pub fn parse_endpoint(text: &str) -> Result<Endpoint, DestinationError> {
    let destination = parse_destination(text)?;
    match (destination.prefixes.as_slice(), destination.ports) {
        ([Prefix { bits, length: 128 }], (first, last)) if first == last => Ok(Endpoint {
            address: *bits,
            port: first,
            protocol: destination.protocol.unwrap_or(TCP),
        }),
        _ => error(
            0..text.len(),
            "more than one destination",
            "expected one address and one port",
        ),
    }
}

fn not_an_address(text: &str, end: usize) -> DestinationError {
    let word = &text[..end];
    if Ipv6Addr::from_str(text).is_ok() || text.matches(':').count() > 1 {
        return DestinationError {
            span: 0..text.len(),
            message: "an IPv6 address stands in brackets".to_owned(),
            label: "expected `[ADDRESS]:PORT`".to_owned(),
            help: None,
        };
    }
    let host = !word.is_empty() && word.contains(|c: char| c.is_ascii_alphabetic());
    DestinationError {
        span: 0..end.max(1).min(text.len()),
        message: if host {
            format!("`{word}` is a host name")
        } else {
            format!("`{word}` is no IPv4 address")
        },
        label: format!("expected {FORMS}"),
        help: host.then(|| {
            "the kernel decides on addresses; a name can point anywhere tomorrow. \
             Write the addresses that it stands for"
                .to_owned()
        }),
    }
}

/// An optional `/BITS`, and what follows it.
fn bits(rest: &str, at: usize, most: u8) -> Result<(u8, &str), DestinationError> {
    let Some(tail) = rest.strip_prefix('/') else {
        return Ok((most, rest));
    };
    let end = tail.find(':').unwrap_or(tail.len());
    let span = at + 1..at + 1 + end;
    match tail[..end].parse::<u8>() {
        Ok(length) if length <= most && tail.starts_with(|c: char| c.is_ascii_digit()) => {
            Ok((length, &tail[end..]))
        }
        _ => error(
            span,
            format!("`{}` is no prefix length", &tail[..end]),
            format!("expected 0 to {most}"),
        ),
    }
}

fn checked(prefix: Prefix, span: Range<usize>) -> Result<Prefix, DestinationError> {
    let masked = Prefix {
        bits: prefix.bits & Prefix::mask(prefix.length),
        ..prefix
    };
    if masked == prefix {
        return Ok(prefix);
    }
    error(
        span,
        "the address has bits beyond the prefix",
        format!("did you mean `{masked}`?"),
    )
}

fn port_range(text: &str, at: usize) -> Result<(u16, u16), DestinationError> {
    if text == "*" {
        return Ok((0, u16::MAX));
    }
    let number = |word: &str, at: usize| match word.parse::<u16>() {
        Ok(port) if !word.starts_with('+') => Ok(port),
        _ => error(
            at..at + word.len(),
            format!("`{word}` is no port"),
            "expected 0 to 65535, a range such as `8000-8100`, or `*`",
        ),
    };
    let Some((first, last)) = text.split_once('-') else {
        let port = number(text, at)?;
        return Ok((port, port));
    };
    let range = (number(first, at)?, number(last, at + first.len() + 1)?);
    if range.0 > range.1 {
        return error(
            at..at + text.len(),
            "the port range is reversed",
            format!("expected `{last}-{first}`"),
        );
    }
    Ok(range)
}
