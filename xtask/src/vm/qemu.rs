//! QEMU's command line and process.

use super::{Accelerator, Root, Vm};
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use vm_init::frame::PORT;

/// The disks' serial numbers, by which process 1 finds them.
pub(super) const ROOT_DISK: &str = "root";
pub(super) const MODULES_DISK: &str = "modules";

/// What one run puts into the machine.
pub(super) struct Hardware<'a> {
    pub(super) processors: u32,
    pub(super) initramfs: &'a Path,
    /// Gets what the kernel writes to its console.
    pub(super) console: &'a Path,
    pub(super) root: Option<&'a Path>,
    pub(super) modules: &'a Path,
}

/// Starts QEMU; the socket is the host's end of the port to process 1.
pub(super) fn start(vm: &Vm, hardware: &Hardware<'_>) -> Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    // QEMU ends when this process does, however that ends.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "qemu-system-x86_64"]);
    command.args(arguments(vm, hardware));
    command
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::inherit());
    let child = command.spawn().context("start QEMU")?;
    Ok((child, ours))
}

fn arguments(vm: &Vm, hardware: &Hardware<'_>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = Vec::new();
    let mut add = |words: &[&str]| arguments.extend(words.iter().map(OsString::from));
    add(&[
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-no-reboot",
    ]);
    add(&["-machine", "pc,vmport=off,usb=off", "-cpu", "max"]);
    add(match vm.accelerator {
        // Without a word on threads `-icount` stays possible, which wants only one.
        Accelerator::Tcg if hardware.processors == 1 => &["-accel", "tcg"],
        Accelerator::Tcg => &["-accel", "tcg,thread=multi"],
        Accelerator::Kvm => &["-accel", "kvm"],
    });
    add(&[
        "-m",
        &vm.memory.to_string(),
        "-smp",
        &hardware.processors.to_string(),
    ]);
    add(&[
        "-chardev",
        &format!("file,id=console,path={}", escaped(hardware.console)),
    ]);
    add(&["-serial", "chardev:console"]);
    add(&[
        "-device",
        "virtio-serial-pci",
        "-chardev",
        "socket,id=port,fd=0",
    ]);
    add(&[
        "-device",
        &format!("virtserialport,chardev=port,name={PORT}"),
    ]);
    for (serial, disk) in [
        (ROOT_DISK, hardware.root),
        (MODULES_DISK, Some(hardware.modules)),
    ] {
        let Some(disk) = disk else { continue };
        // NVMe is built into every kernel of the matrix. What the VM writes goes to a temporary
        // file and is forgotten.
        let options = "if=none,format=raw,snapshot=on,cache=unsafe";
        add(&[
            "-drive",
            &format!("id={serial},file={},{options}", escaped(disk)),
        ]);
        add(&["-device", &format!("nvme,drive={serial},serial={serial}")]);
    }
    add(&["-append", &command_line(vm)]);
    arguments.extend(["-kernel".into(), vm.kernel.image().into_os_string()]);
    arguments.extend(["-initrd".into(), hardware.initramfs.as_os_str().to_owned()]);
    arguments.extend(vm.qemu_arguments.iter().cloned());
    arguments
}

/// The kernel takes the last of several values, so what the caller appends wins.
fn command_line(vm: &Vm) -> String {
    let mut words = vec![
        "console=ttyS0".to_owned(),
        // With -no-reboot a panic ends QEMU at once.
        "panic=-1".into(),
        "oops=panic".into(),
        "ignore_loglevel".into(),
        "random.trust_cpu=on".into(),
    ];
    if vm.root == Root::Minimal {
        words.push("rootfstype=tmpfs".into());
    }
    words.extend(vm.append.iter().cloned());
    words.join(" ")
}

/// A comma ends an option's value unless it is doubled.
fn escaped(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}
