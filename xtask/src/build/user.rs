//! Static binaries for the VM: they run on every root, whatever C library it has.

use super::{OBJECT_VARIABLE, Profile, ebpf_object};
use crate::{exec, paths};
use anyhow::{Context, Result};
use std::env;
use std::path::PathBuf;
use std::process::Command;

/// With `--target`, flags do not reach build scripts and procedural macros, which cannot be static.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// A binary of this workspace.
pub(crate) struct Static {
    pub(crate) package: &'static str,
    pub(crate) binary: &'static str,
    pub(crate) profile: Profile,
}

/// Compiles the binary, and the eBPF object before it.
pub(crate) fn static_binary(what: &Static) -> Result<PathBuf> {
    let object = ebpf_object()?;
    compile(what, Some(object))
}

/// Process 1 of the VM.
pub(crate) fn vm_init() -> Result<PathBuf> {
    let what = Static {
        package: "vm-init",
        binary: "bailiff-vm-init",
        profile: Profile::Release,
    };
    compile(&what, None)
}

fn compile(what: &Static, object: Option<PathBuf>) -> Result<PathBuf> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args([
        "build",
        "--quiet",
        "--package",
        what.package,
        "--bin",
        what.binary,
    ]);
    cargo
        .args(["--target", TARGET, "--target-dir"])
        .arg(paths::target());
    cargo.env(
        "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS",
        "-C target-feature=+crt-static",
    );
    cargo
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    if let Some(object) = object {
        cargo.env(OBJECT_VARIABLE, object);
    }
    let profile = match what.profile {
        Profile::Dev => "debug",
        Profile::Release => {
            cargo.arg("--release");
            "release"
        }
    };
    cargo.current_dir(paths::workspace());
    exec::run(&mut cargo).with_context(|| format!("compile {}", what.binary))?;
    Ok(paths::target().join(TARGET).join(profile).join(what.binary))
}
