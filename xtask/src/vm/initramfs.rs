//! The initramfs: process 1, its modules, and the minimal root or what is laid over another.

use super::cpio::Archive;
use super::{Root, Vm};
use crate::build;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

const BUSYBOX: &str = "/usr/bin/busybox";

const PASSWD: &str = "\
root:x:0:0:root:/root:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
agent:x:1000:1000:agent:/home/agent:/bin/sh
";
const GROUP: &str = "root:x:0:\ntty:x:5:\nnogroup:x:65534:\nagent:x:1000:\n";
const HOSTS: &str = "127.0.0.1 localhost vm\n::1 localhost\n";

/// The whole initramfs of one run.
pub(super) fn make(vm: &Vm) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    let init = build::vm_init()?;
    archive.file("/init", 0o755, &read(&init)?);
    let mut order = String::new();
    for module in vm.kernel.carried_modules()? {
        archive.file(&format!("/modules/{}", module.name), 0o644, &module.bytes);
        order += &module.name;
        order.push('\n');
    }
    archive.file("/modules/order", 0o644, order.as_bytes());
    let under = match vm.root {
        Root::Minimal => {
            minimal_root(&mut archive)?;
            Path::new("/")
        }
        Root::Debian | Root::Systemd | Root::Agents => Path::new("/payload"),
    };
    for (from, to) in &vm.copies {
        archive.copy(from, &under.join(to.strip_prefix("/").unwrap_or(to)))?;
    }
    Ok(archive.finish())
}

fn minimal_root(archive: &mut Archive) -> Result<()> {
    for folder in [
        "/bin",
        "/sbin",
        "/usr/bin",
        "/usr/sbin",
        "/etc",
        "/var/lib",
        "/var/log",
    ] {
        archive.folder(folder, 0o755);
    }
    // As in every current distribution, and where modprobe looks.
    for folder in ["lib", "lib64"] {
        archive.folder(&format!("/usr/{folder}"), 0o755);
        archive.link(&format!("/{folder}"), &format!("usr/{folder}"));
    }
    archive.folder("/root", 0o700);
    archive.folder("/home/agent", 0o755);
    archive.folder("/var/tmp", 0o1777);
    let busybox = read(Path::new(BUSYBOX))?;
    archive.file("/bin/busybox", 0o755, &busybox);
    for applet in applets()? {
        archive.link(&format!("/{applet}"), "/bin/busybox");
    }
    archive.file("/etc/passwd", 0o644, PASSWD.as_bytes());
    archive.file("/etc/group", 0o644, GROUP.as_bytes());
    archive.file("/etc/hosts", 0o644, HOSTS.as_bytes());
    archive.file("/etc/hostname", 0o644, b"vm\n");
    Ok(())
}

/// Paths of busybox's applets, such as `bin/ls`.
fn applets() -> Result<Vec<String>> {
    let mut list = std::process::Command::new(BUSYBOX);
    let text = crate::exec::read_text(list.arg("--list-full"))?;
    let found = text
        .lines()
        .filter(|path| path.contains('/') && *path != "bin/busybox");
    Ok(found.map(str::to_owned).collect())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}
