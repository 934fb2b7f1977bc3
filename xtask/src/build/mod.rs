//! Compiles the kernel side, then the static binaries that run inside a VM.

mod ebpf;
mod object_check;
mod toolchain;
mod user;

pub(crate) use toolchain::set_up;
pub(crate) use user::{Static, static_binary, vm_init};

use anyhow::Result;
use std::path::PathBuf;

/// The environment variable that tells `agent-user` where the eBPF object is.
pub(crate) const OBJECT_VARIABLE: &str = "BAILIFF_EBPF_OBJECT";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    Dev,
    Release,
}

/// The eBPF object, compiled and checked.
pub(crate) fn ebpf_object() -> Result<PathBuf> {
    ebpf::build()
}

/// `bailiff`, static, with the eBPF object inside.
pub(crate) fn bailiff(profile: Profile) -> Result<PathBuf> {
    static_binary(&Static {
        package: "agent-user",
        binary: "bailiff",
        profile,
    })
}
