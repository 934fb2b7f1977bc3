//! Iterators over tasks: links of them, and passes.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use super::sys::{address, bpf, owned};

const BPF_LINK_CREATE: i64 = 28;
const BPF_ITER_CREATE: i64 = 33;
const BPF_TRACE_ITER: u32 = 28;

#[repr(C)]
struct PassAttr {
    link: u32,
    flags: u32,
}

#[repr(C)]
struct LinkAttr {
    program: u32,
    target: u32,
    kind: u32,
    flags: u32,
    info: u64,
    info_length: u32,
    padding: u32,
}

/// `bpf_iter_link_info` of an iterator over tasks: a union with one of 16 bytes.
#[repr(C)]
#[derive(Default)]
struct LinkInfo {
    thread: u32,
    process: u32,
    pidfd: u32,
    unused: u32,
}

/// Opens a new pass of the iterator with this link; reading it to the end runs it.
/// Minimum kernel: 5.8.
pub(super) fn pass(link: &OwnedFd) -> io::Result<OwnedFd> {
    let pass = PassAttr {
        link: link.as_raw_fd().unsigned_abs(),
        flags: 0,
    };
    bpf(BPF_ITER_CREATE, &pass).and_then(owned)
}

/// A link of an iterator over tasks that sees the one of this number alone. Minimum kernel: 6.1.
pub(super) fn link_to_task(program: &OwnedFd, thread: u32) -> io::Result<OwnedFd> {
    let info = LinkInfo {
        thread,
        ..LinkInfo::default()
    };
    let link = LinkAttr {
        program: program.as_raw_fd().unsigned_abs(),
        target: 0,
        kind: BPF_TRACE_ITER,
        flags: 0,
        info: address(&info),
        info_length: size_of::<LinkInfo>() as u32,
        padding: 0,
    };
    bpf(BPF_LINK_CREATE, &link).and_then(owned)
}
