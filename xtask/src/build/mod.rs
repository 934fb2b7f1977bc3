//! Compiles the kernel side, then the static binaries that run inside a VM.

mod ebpf;
mod object_check;
mod toolchain;
mod user;

pub(crate) use toolchain::set_up;
pub(crate) use user::{Static, cargo, static_binary, static_binary_for_vm, vm_init};

use crate::exec;
use anyhow::Result;
use std::path::PathBuf;
use std::process::Command;

/// The environment variable that tells `agent-user` where the eBPF object is.
pub(crate) const OBJECT_VARIABLE: &str = "BAILIFF_EBPF_OBJECT";

/// How much the user side is optimised; the kernel side always is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    Dev,
    /// With the checks of [`Self::Dev`], for an emulated processor.
    Vm,
    Release,
}

impl Profile {
    pub(crate) fn release(release: bool) -> Profile {
        if release {
            Profile::Release
        } else {
            Profile::Dev
        }
    }
}

/// What becomes of the compiler's messages when it succeeds. When it fails they are always shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Warnings {
    Show,
    /// Where somebody wants to see the output of something else.
    Hide,
}

impl Warnings {
    fn run(self, command: &mut Command) -> Result<()> {
        match self {
            Warnings::Show => exec::run(command),
            Warnings::Hide => exec::read(command).map(|_| ()),
        }
    }
}

/// The eBPF object, compiled and checked.
pub(crate) fn ebpf_object(warnings: Warnings) -> Result<PathBuf> {
    ebpf::build(warnings)
}

/// Clippy over the kernel side, by the compiler that it is compiled with.
pub(crate) fn ebpf_lints() -> Result<Command> {
    ebpf::lints()
}

/// `bailiff`, with the eBPF object inside.
pub(crate) const fn bailiff(profile: Profile) -> Static {
    Static {
        package: "agent-user",
        binary: "bailiff",
        profile,
    }
}

/// The acceptance scenarios.
pub(crate) const fn scenarios(profile: Profile) -> Static {
    Static {
        package: "bailiff-tests",
        binary: "bailiff-scenarios",
        profile,
    }
}
