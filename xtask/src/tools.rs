//! Programs that the build and the VM need, and how to get those that are missing.

use crate::{build, exec};
use anyhow::{Context, Result, bail};
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program, the Debian package that has it, and what it is for.
#[derive(Clone, Copy)]
pub(crate) struct Tool {
    program: &'static str,
    package: &'static str,
    purpose: &'static str,
}

const fn tool(program: &'static str, package: &'static str, purpose: &'static str) -> Tool {
    Tool {
        program,
        package,
        purpose,
    }
}

/// To get a kernel.
pub(crate) const KERNEL: &[Tool] = &[
    tool("dpkg-deb", "dpkg", "unpacks kernels"),
    tool(
        "/usr/share/keyrings/debian-archive-keyring.gpg",
        "debian-archive-keyring",
        "tells genuine packages",
    ),
];

/// To run a VM.
pub(crate) const VM: &[Tool] = &[
    tool("qemu-system-x86_64", "qemu-system-x86", "runs the kernels"),
    tool(
        "/usr/bin/busybox",
        "busybox-static",
        "is the minimal root's userland",
    ),
    tool("xz", "xz-utils", "unpacks kernel modules"),
    tool("zstd", "zstd", "unpacks kernel modules"),
    tool("strip", "binutils", "makes the programs for the VM smaller"),
    tool("depmod", "kmod", "indexes kernel modules"),
    tool("mke2fs", "e2fsprogs", "makes disk images"),
    tool(
        "setpriv",
        "util-linux",
        "ends a VM together with its caller",
    ),
];

/// To compile the fuzz targets.
pub(crate) const FUZZ: &[Tool] = &[tool("c++", "g++", "compiles libFuzzer")];

/// To put faults into a copy of the checkout.
pub(crate) const FAULTS: &[Tool] = &[tool("patch", "patch", "puts faults into the kernel side")];

/// Clippy of Debian's compiler for BPF.
pub(crate) const DEBIAN_CLIPPY: &str = "/usr/bin/cargo-clippy";

/// To lint the kernel side.
pub(crate) const KERNEL_SIDE_LINTS: &[Tool] = &[tool(
    DEBIAN_CLIPPY,
    "rust-web-clippy",
    "lints what is compiled for BPF",
)];

/// To make the Debian root image.
pub(crate) const DEBIAN_ROOT: &[Tool] =
    &[tool("mmdebstrap", "mmdebstrap", "builds the Debian root")];

/// To fetch programs of npm's registry.
pub(crate) const NPM: &[Tool] = &[tool("npm", "npm", "fetches agents' programs")];

/// Finds the tools; installs what is missing.
pub(crate) fn need(tools: &[Tool]) -> Result<()> {
    let missing: Vec<Tool> = tools
        .iter()
        .filter(|tool| find(tool.program).is_none())
        .copied()
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut packages: Vec<&str> = Vec::new();
    for tool in &missing {
        eprintln!(
            "installing {}: {} {}",
            tool.package, tool.program, tool.purpose
        );
        packages.push(tool.package);
    }
    install(&packages)?;
    match missing.iter().find(|tool| find(tool.program).is_none()) {
        Some(tool) => bail!(
            "{} is still missing after installing {}",
            tool.program,
            tool.package
        ),
        None => Ok(()),
    }
}

/// Installs `cargo-NAME`, a subcommand of cargo, where it is missing.
pub(crate) fn need_cargo(name: &str) -> Result<()> {
    let asked = build::cargo().args([name, "--version"]).output();
    if asked.is_ok_and(|answer| answer.status.success()) {
        return Ok(());
    }
    let package = format!("cargo-{name}");
    eprintln!("installing {package}");
    exec::run(build::cargo().args(["install", "--locked", &package]))
}

/// Installs Debian packages, with fresh package lists since those on a machine may be old.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let mut update = as_root(Command::new("apt-get"));
    // A source that does not answer need not be the one that has the packages.
    if let Err(error) = exec::read(update.args(["-qq", "update"])) {
        eprintln!("warning: not all package lists could be renewed: {error:#}");
    }
    install_with(Command::new("apt-get"), packages)
}

/// Installs Debian packages with an apt that is set up already.
pub(crate) fn install_with(apt: Command, packages: &[&str]) -> Result<()> {
    let mut command = as_root(apt);
    command.args(["-qq", "install", "-y", "--no-install-recommends"]);
    // Somebody else may be installing something.
    command.args(["-o", "DPkg::Lock::Timeout=600"]);
    exec::read(command.args(packages))
        .with_context(|| format!("install {}", packages.join(" ")))?;
    Ok(())
}

fn as_root(command: Command) -> Command {
    let mut command = if nix::unistd::geteuid().is_root() {
        command
    } else {
        let mut sudo = Command::new("sudo");
        sudo.arg(command.get_program()).args(command.get_args());
        sudo
    };
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// The program's path: in PATH, or where Debian keeps programs for root.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    if program.starts_with('/') {
        return Some(PathBuf::from(program)).filter(|path| path.exists());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let root_only = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(root_only)
        .map(|folder| folder.join(program))
        .find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
