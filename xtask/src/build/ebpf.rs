//! Compiles `agent-ebpf` to one BPF object.

use super::toolchain::{self, Compiler};
use super::{Warnings, object_check};
use crate::paths;
use anyhow::{Context, Result};
use std::path::PathBuf;

const TARGET: &str = "bpfel-unknown-none";

pub(super) fn build(warnings: Warnings) -> Result<PathBuf> {
    let toolchain = toolchain::find()?;
    let folder = paths::target().join("ebpf");
    let mut cargo = toolchain.cargo();
    cargo
        .args([
            "build",
            "--quiet",
            "--release",
            "--target",
            TARGET,
            "--target-dir",
        ])
        .arg(&folder);
    if toolchain.compiler == Compiler::Nightly {
        cargo.args(["-Z", "build-std=core"]);
    }
    let linker = format!("linker={}", toolchain.linker.display());
    let codegen = [
        &linker,
        "linker-plugin-lto",
        "panic=abort",
        "debuginfo=2",
        "link-arg=--btf",
        "target-cpu=v2",
    ];
    // Encoded, since a path may hold a space.
    let flags: Vec<String> = codegen.iter().map(|option| format!("-C{option}")).collect();
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    cargo.current_dir(paths::workspace().join("agent-ebpf"));
    warnings
        .run(&mut cargo)
        .context("compile the kernel side")?;
    let object = folder.join(TARGET).join("release/bailiff-ebpf");
    object_check::check(&object)?;
    Ok(object)
}
