//! Puts the eBPF object where the crate embeds it, and compares it with the tables of its programs and
//! maps. `cargo xtask build` says where it is; without it (in an editor, in `cargo test`) the object is
//! empty, and the daemon says so at start.
#![allow(
    clippy::disallowed_macros,
    reason = "a build script talks to Cargo by what it prints"
)]

use std::{env, fs, path::Path, process::ExitCode};

#[allow(dead_code, reason = "the daemon reads the rest")]
#[path = "src/kernel/hooks.rs"]
mod hooks;
#[allow(dead_code, reason = "the daemon reads the rest")]
#[path = "src/kernel/maps.rs"]
mod maps;
#[path = "src/kernel/object_tables.rs"]
mod object_tables;

fn main() -> ExitCode {
    println!("cargo::rerun-if-env-changed=BAILIFF_EBPF_OBJECT");
    let directory = env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    let target = Path::new(&directory).join("bailiff-ebpf.o");
    let Some(object) = env::var_os("BAILIFF_EBPF_OBJECT") else {
        fs::write(target, []).expect("OUT_DIR is writable");
        return ExitCode::SUCCESS;
    };
    let path = Path::new(&object);
    println!("cargo::rerun-if-changed={}", path.display());
    let object = fs::read(path).expect("the object that BAILIFF_EBPF_OBJECT names");
    let differences = object_tables::differences(&object).expect("an ELF object");
    for difference in &differences {
        println!("cargo::error={difference}");
    }
    if !differences.is_empty() {
        return ExitCode::FAILURE;
    }
    fs::write(target, object).expect("OUT_DIR is writable");
    ExitCode::SUCCESS
}
