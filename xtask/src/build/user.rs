//! Static binaries for the VM: they run on every root, whatever C library it has.

use super::{OBJECT_VARIABLE, Profile, Warnings, ebpf_object};
use crate::{cache, exec, paths};
use anyhow::{Context, Result};
use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// With `--target`, flags do not reach build scripts and procedural macros, which cannot be static.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// A binary of this workspace.
pub(crate) struct Static {
    pub(crate) package: &'static str,
    pub(crate) binary: &'static str,
    pub(crate) profile: Profile,
}

/// Compiles the binary, and the eBPF object before it.
pub(crate) fn static_binary(what: &Static, warnings: Warnings) -> Result<PathBuf> {
    let object = ebpf_object(warnings)?;
    compile(what, Some(object), warnings)
}

/// Compiles the binary for a VM: without debug information, which would double what is loaded at
/// boot; names of functions stay for backtraces.
pub(crate) fn static_binary_for_vm(what: &Static) -> Result<PathBuf> {
    let whole = static_binary(what, Warnings::Hide)?;
    let stripped = cache::with_suffix(&whole, ".stripped");
    let _lock = cache::lock("strip")?;
    let is_newer = |than: Duration| cache::age(&stripped).is_some_and(|age| age < than);
    if !cache::age(&whole).is_some_and(is_newer) {
        cache::make(&stripped, |path| {
            let mut strip = Command::new("strip");
            exec::run(strip.args(["--strip-debug", "-o"]).arg(path).arg(&whole))
        })?;
    }
    Ok(stripped)
}

/// Process 1 of the VM.
pub(crate) fn vm_init() -> Result<PathBuf> {
    let what = Static {
        package: "vm-init",
        binary: "bailiff-vm-init",
        profile: Profile::Release,
    };
    compile(&what, None, Warnings::Hide)
}

fn compile(what: &Static, object: Option<PathBuf>, warnings: Warnings) -> Result<PathBuf> {
    let mut cargo = cargo();
    cargo.args(["build", "--quiet", "--package", what.package]);
    cargo.args(["--bin", what.binary, "--target", TARGET, "--target-dir"]);
    cargo.arg(paths::target());
    cargo.env(
        "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS",
        "-C target-feature=+crt-static",
    );
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
        cargo.env_remove(variable);
    }
    if let Some(object) = object {
        cargo.env(OBJECT_VARIABLE, object);
    }
    let profile = match what.profile {
        Profile::Dev => "debug",
        Profile::Vm => {
            cargo.args(["--profile", "vm"]);
            "vm"
        }
        Profile::Release => {
            cargo.arg("--release");
            "release"
        }
    };
    let compiled = warnings.run(&mut cargo);
    compiled.with_context(|| format!("compile {}", what.binary))?;
    Ok(paths::target().join(TARGET).join(profile).join(what.binary))
}

/// The cargo that runs this program, in the workspace.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.current_dir(paths::workspace());
    cargo
}
