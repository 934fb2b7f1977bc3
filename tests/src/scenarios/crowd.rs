//! What ended gives back what it held.

use super::{Context, Single};
use crate::harness::{
    Check,
    daemon::BAILIFF,
    process::{self, eventually, shell},
};

pub(crate) fn scenarios() -> Vec<Single> {
    let new = |name, run| Single::new("crowd", name, run);
    vec![new(
        "an ended session gives its mount namespace back, and the disk in it",
        disk,
    )]
}

/// A disk that is mounted nowhere else is set up until the last who holds the namespace lets it go.
fn disk(_: &mut Context) -> Check {
    const IMAGE: &str = "/tmp/crowd.img";
    shell(&format!(
        "modprobe loop; mkdir -p /tmp/crowd; truncate -s 8M {IMAGE}; mkfs.ext4 -q -F {IMAGE}"
    ))?;
    let inside = format!("mount -o loop {IMAGE} /tmp/crowd && {BAILIFF} run --grant base -- true");
    let ran = process::must(&[
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        &inside,
    ]);
    let gone = ran.and_then(|_| {
        eventually("the disk is let go", 30, || {
            process::run(&["losetup", "-j", IMAGE]).is_ok_and(|told| told.stdout.is_empty())
        })
    });
    shell(&format!("rm -r /tmp/crowd {IMAGE}"))?;
    gone
}
