//! Values of maps that this side alone reads.

use agent_abi::Label;

/// Sessions that can remember one directory at the same time; others take turns.
pub(crate) const WAYS: usize = 4;

/// Value of the `DIRECTORIES` inode storage.
#[repr(C)]
pub(crate) struct Remembered {
    pub ways: [Way; WAYS],
}

#[repr(C)]
pub(crate) struct Way {
    pub version: u64,
    /// State after the `/` that ends the directory's path in the low 16 bits; above them bits of the
    /// mixed version, so that two halves of different writers do not pass for one.
    pub state: u64,
}

/// Value of the `SOCKETS` storage.
#[repr(C)]
pub(crate) struct SocketState {
    /// The session that bound it (Unix) or made it listen (TCP); generation 0 for none.
    pub owner: Label,
    /// [`BOUND`], [`CONNECTED`] and [`UNSPECIFIED`]
    pub flags: u64,
}

/// Somebody set about to bind it to an address.
pub(crate) const BOUND: u64 = 1;
/// Somebody set about to connect it, which gives a UDP socket an address until it disconnects.
pub(crate) const CONNECTED: u64 = 2;
/// Something was sent to an unspecified address, and judged by the socket's own.
pub(crate) const UNSPECIFIED: u64 = 4;

/// Where the assembly that sets a flag looks for them.
const _: () = assert!(core::mem::offset_of!(SocketState, flags) == 8);
