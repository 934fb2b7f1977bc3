//! Which tool chain compiles for `bpfel-unknown-none` here.

use crate::{exec, tools};
use anyhow::{Context, Result};
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_PACKAGES: &[&str] = &["rustc-web", "libstd-rust-web-dev-bpf"];
const LLVM_PACKAGE: &str = "llvm-22-dev";
const LLVM_PREFIX: &str = "/usr/lib/llvm-22";
const LINKER_VERSION: &str = "0.13.0";

/// Where `core` for the BPF target comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compiler {
    /// Debian's rustc, whose packages hold a prebuilt `core` for BPF.
    Debian,
    /// rustup's nightly, which builds `core` from the component rust-src.
    Nightly,
}

pub(super) struct Toolchain {
    pub(super) compiler: Compiler,
    pub(super) linker: PathBuf,
}

impl Toolchain {
    /// A cargo that compiles for BPF, with nothing of the caller's own flags.
    pub(super) fn cargo(&self) -> Command {
        let cargo = env::var_os("CARGO").unwrap_or("cargo".into());
        self.command(Path::new(&cargo))
    }

    /// `cargo clippy` of the same compiler.
    pub(super) fn clippy(&self) -> Result<Command> {
        if self.compiler == Compiler::Debian {
            tools::need(tools::KERNEL_SIDE_LINTS)?;
        }
        let mut clippy = self.command(Path::new(tools::DEBIAN_CLIPPY));
        clippy.arg("clippy");
        Ok(clippy)
    }

    fn command(&self, debian_program: &Path) -> Command {
        let mut cargo = match self.compiler {
            Compiler::Debian => {
                let mut cargo = Command::new(debian_program);
                cargo.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1");
                cargo
            }
            Compiler::Nightly => {
                let mut cargo = Command::new("rustup");
                cargo
                    .args(["run", "nightly", "cargo"])
                    .env_remove("RUSTC")
                    .env_remove("CARGO");
                cargo.env_remove("RUSTUP_TOOLCHAIN");
                cargo
            }
        };
        for variable in [
            "RUSTFLAGS",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTDOCFLAGS",
        ] {
            cargo.env_remove(variable);
        }
        cargo
    }
}

/// The tool chain, installed if there is none.
pub(crate) fn set_up() -> Result<()> {
    find().map(|_| ())
}

pub(super) fn find() -> Result<Toolchain> {
    let compiler = match installed_compiler() {
        Some(compiler) => compiler,
        None => {
            eprintln!("installing {}: compile for BPF", DEBIAN_PACKAGES.join(" "));
            tools::install(DEBIAN_PACKAGES)?;
            installed_compiler()
                .with_context(|| format!("{DEBIAN_RUSTC} still has no core for bpfel"))?
        }
    };
    let linker = match find_linker() {
        Some(linker) => linker,
        None => install_linker()?,
    };
    Ok(Toolchain { compiler, linker })
}

fn installed_compiler() -> Option<Compiler> {
    if has_debian_core() {
        return Some(Compiler::Debian);
    }
    has_nightly_source().then_some(Compiler::Nightly)
}

fn has_debian_core() -> bool {
    let mut print = Command::new(DEBIAN_RUSTC);
    print.args(["--print", "target-libdir", "--target", "bpfel-unknown-none"]);
    exec::read_text(&mut print).is_ok_and(|folder| {
        Path::new(folder.trim())
            .read_dir()
            .is_ok_and(|mut entries| {
                entries.any(|entry| {
                    entry.is_ok_and(|entry| {
                        entry.file_name().to_string_lossy().starts_with("libcore")
                    })
                })
            })
    })
}

fn has_nightly_source() -> bool {
    let mut print = Command::new("rustup");
    print
        .args(["run", "nightly", "rustc", "--print", "sysroot"])
        .env_remove("RUSTUP_TOOLCHAIN");
    exec::read_text(&mut print).is_ok_and(|sysroot| {
        Path::new(sysroot.trim())
            .join("lib/rustlib/src/rust/library/core/src/lib.rs")
            .exists()
    })
}

fn find_linker() -> Option<PathBuf> {
    tools::find("bpf-linker").or_else(|| {
        let home = env::var_os("CARGO_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")))?;
        Some(home.join("bin/bpf-linker")).filter(|path| path.exists())
    })
}

fn install_linker() -> Result<PathBuf> {
    if !Path::new(LLVM_PREFIX).join("bin/llvm-config").exists() {
        eprintln!("installing {LLVM_PACKAGE}: bpf-linker is built on it");
        tools::install(&[LLVM_PACKAGE])?;
    }
    eprintln!("building bpf-linker {LINKER_VERSION}: links BPF programs");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args([
        "install",
        "bpf-linker",
        "--version",
        LINKER_VERSION,
        "--locked",
    ]);
    cargo.args(["--no-default-features", "--features", "llvm-22"]);
    cargo
        .env("LLVM_PREFIX", LLVM_PREFIX)
        .env_remove("CARGO_TARGET_DIR");
    exec::run(&mut cargo)?;
    find_linker().context("bpf-linker is still missing after installing it")
}
