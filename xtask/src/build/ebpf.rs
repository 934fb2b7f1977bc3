//! Compiles `agent-ebpf` to one BPF object.

use super::toolchain::{self, Compiler, Toolchain};
use super::{Warnings, object_check};
use crate::paths;
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::Command;

const TARGET: &str = "bpfel-unknown-none";

pub(super) fn build(warnings: Warnings) -> Result<PathBuf> {
    let toolchain = toolchain::find()?;
    let mut cargo = toolchain.cargo();
    cargo.arg("build");
    add_target(&mut cargo, &toolchain);
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
    warnings
        .run(&mut cargo)
        .context("compile the kernel side")?;
    let object = output().join(TARGET).join("release/bailiff-ebpf");
    object_check::check(&object)?;
    Ok(object)
}

/// Clippy over the kernel side, with warnings as errors.
pub(super) fn lints() -> Result<Command> {
    let toolchain = toolchain::find()?;
    let mut clippy = toolchain.clippy()?;
    add_target(&mut clippy, &toolchain);
    clippy.args(["--", "-D", "warnings"]);
    Ok(clippy)
}

fn output() -> PathBuf {
    paths::target().join("ebpf")
}

/// What is compiled, for which machine and where to.
fn add_target(cargo: &mut Command, toolchain: &Toolchain) {
    cargo.current_dir(paths::workspace().join("agent-ebpf"));
    cargo.args(["--quiet", "--release", "--target", TARGET, "--target-dir"]);
    cargo.arg(output());
    if toolchain.compiler == Compiler::Nightly {
        cargo.args(["-Z", "build-std=core"]);
    }
}
