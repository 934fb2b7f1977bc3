//! Which QEMU this is, and what it can be trusted with.
//!
//! Emulating several processors in parallel, QEMU 7.2 loses changes that one processor makes to the
//! code that another runs. Kernels patch their code all the time: at boot, and whenever a BPF
//! program is attached. A tenth of the boots and every run that toggled tracepoints under load ended
//! in an oops; with QEMU 10.0 none of twenty did. One processor has nothing to lose.

use super::Accelerator;
use crate::apt::{self, Apt};
use crate::{cache, exec, paths, tools};
use anyhow::{Context, Result};
use std::fs;
use std::process::Command;
use std::time::Duration;

/// From this version on several emulated processors are safe.
const SAFE: u32 = 10;

/// After a newer QEMU could not be had, the next attempt waits this long.
const RETRY: Duration = Duration::from_secs(24 * 3600);

/// How many of the wanted processors a VM can have.
pub(super) fn processors(wanted: u32, accelerator: Accelerator) -> Result<u32> {
    if wanted == 1 || accelerator == Accelerator::Kvm || version()? >= SAFE {
        return Ok(wanted);
    }
    update()?;
    if version()? >= SAFE {
        return Ok(wanted);
    }
    eprintln!(
        "warning: QEMU is older than {SAFE}, so the VM gets one processor instead of {wanted}"
    );
    Ok(1)
}

/// Gets a safe QEMU from the backports to this machine's release, if they have one.
pub(crate) fn update() -> Result<()> {
    if version()? >= SAFE {
        return Ok(());
    }
    let _lock = cache::lock("qemu")?;
    let tried = paths::cache()?.join("qemu-update-failed");
    if version()? >= SAFE || cache::age(&tried).is_some_and(|age| age < RETRY) {
        return Ok(());
    }
    eprintln!("installing a newer QEMU: this one cannot be trusted with two processors");
    if let Err(error) = install_from_backports() {
        eprintln!("warning: {error:#}");
        fs::write(&tried, "")?;
    }
    Ok(())
}

fn install_from_backports() -> Result<()> {
    let mut apt = Apt::for_machine()?.command("apt-get");
    apt.args(["--target-release", &apt::backports()?]);
    tools::install_with(apt, &["qemu-system-x86"])
}

/// The major version.
fn version() -> Result<u32> {
    let text = exec::read_text(Command::new("qemu-system-x86_64").arg("--version"))?;
    parse(&text).with_context(|| format!("read QEMU's version from {text:?}"))
}

fn parse(text: &str) -> Option<u32> {
    let (_, version) = text.split_once("version ")?;
    version.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_found() {
        let text = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright";
        assert_eq!(parse(text), Some(7));
        assert_eq!(parse("QEMU emulator version 10.0.2"), Some(10));
    }
}
