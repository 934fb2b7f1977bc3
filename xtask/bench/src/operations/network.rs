use anyhow::Result;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsRawFd;

use super::must;
use crate::clock::count;

/// The port that grants, rulesets and profiles open.
pub(crate) const PORT: u16 = 4242;

pub(super) fn connect() -> Result<impl FnMut() -> u64> {
    // Before the first count, and once: a limited process may not be allowed to bind.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT))?;
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: PORT.to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from(Ipv4Addr::LOCALHOST).to_be(),
        },
        sin_zero: [0; 8],
    };
    Ok(move || {
        let mut socket = -1;
        let taken = count(|| {
            // SAFETY: a live address of the length given.
            unsafe {
                socket = must(libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0), "socket");
                let length = size_of::<libc::sockaddr_in>() as u32;
                must(
                    libc::connect(socket, (&raw const address).cast(), length),
                    "connect",
                );
            }
        });
        // SAFETY: live descriptors. Closed so that no connection lingers.
        unsafe {
            let linger = libc::linger {
                l_onoff: 1,
                l_linger: 0,
            };
            let accepted = must(
                libc::accept(
                    listener.as_raw_fd(),
                    std::ptr::null_mut(),
                    std::ptr::null_mut(),
                ),
                "accept",
            );
            libc::setsockopt(
                socket,
                libc::SOL_SOCKET,
                libc::SO_LINGER,
                (&raw const linger).cast(),
                size_of::<libc::linger>() as u32,
            );
            libc::close(socket);
            libc::close(accepted);
        }
        taken
    })
}
