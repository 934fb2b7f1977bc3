//! The caller's terminal, for an interactive shell in the VM.

use anyhow::Result;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::Winsize;
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

nix::ioctl_read_bad!(get_window_size, libc::TIOCGWINSZ, Winsize);

/// Rows and columns of the caller's terminal; the classic size where there is none.
pub(super) fn size() -> (u16, u16) {
    let mut size = Winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the size outlives the call, which writes nothing else.
    let asked = unsafe { get_window_size(0, &raw mut size) };
    if asked.is_ok() && size.ws_row > 0 {
        (size.ws_row, size.ws_col)
    } else {
        (24, 80)
    }
}

/// Waits so long for standard input to have something, be it its end.
pub(super) fn has_input(wait: Duration) -> bool {
    let stdin = io::stdin();
    let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
    let wait = PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX);
    // An error is for the read that follows to report.
    poll(&mut fds, wait) != Ok(0)
}

/// Every key goes to the VM; the former mode comes back with the end of this value.
pub(super) struct RawMode {
    before: Option<Termios>,
}

impl RawMode {
    pub(super) fn enter() -> Result<RawMode> {
        let Ok(before) = tcgetattr(io::stdin()) else {
            return Ok(RawMode { before: None });
        };
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(io::stdin(), SetArg::TCSANOW, &raw)?;
        Ok(RawMode {
            before: Some(before),
        })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, before);
        }
    }
}
