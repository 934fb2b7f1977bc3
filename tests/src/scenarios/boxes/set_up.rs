//! What a service manager or a container's runtime does in front of a program, in one process that executes
//! nothing: a box.

use std::{
    ffi::CString,
    fs, io,
    os::{
        fd::AsRawFd,
        unix::{fs::PermissionsExt, process::CommandExt},
    },
    path::Path,
    process::Command,
};

use crate::acts::SECRET;

/// Where a root is made.
const ROOT: &str = "/run/scenarios/box";

/// `bailiff-scenarios box KIND CGROUP COMMAND…`: goes to the cgroup, sets a box up, and becomes the command.
pub(crate) fn become_box(kind: &str, cgroup: &str, command: &[&str]) -> io::Result<()> {
    let (program, arguments) = (command[0], &command[1..]);
    fs::write(format!("{cgroup}/cgroup.procs"), "0")?;
    if kind == "init" {
        return as_init(|| become_box("mounts", cgroup, command));
    }
    if kind == "none" {
        // As `bailiff run` does: `mount` has a set-user-id bit, which nobody is to gain by.
        // SAFETY: numbers.
        unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        return Err(Command::new(program).args(arguments).exec());
    }
    if let Some(pid) = kind.strip_prefix("enter:") {
        enter(pid)?;
        return Err(Command::new(program).args(arguments).exec());
    }
    unshare(libc::CLONE_NEWNS)?;
    mount("none", "/", "", libc::MS_REC | libc::MS_PRIVATE, "")?;
    match kind {
        "root" => {
            fs::create_dir_all(ROOT)?;
            mount("box", ROOT, "tmpfs", 0, "")?;
            fill_root(ROOT)?;
            enter_root()?;
        }
        "overlay" => {
            overlay()?;
            enter_root()?;
        }
        "twice" => {
            devices()?;
            // In a child, so that there is somebody to set up more.
            let status = Command::new(program)
                .args(["bash", "-c", "true"])
                .status()?;
            if !status.success() {
                return Err(io::Error::other(format!("the first ended with {status}")));
            }
            filesystem("/w/own")?;
        }
        _ => {
            devices()?;
            filesystem("/w/own")?;
            if Path::new("/srv/outside/own").exists() {
                filesystem("/srv/outside/own")?;
            }
        }
    }
    Err(Command::new(program).args(arguments).exec())
}

/// Goes to the mount namespace of a process.
fn enter(pid: &str) -> io::Result<()> {
    let namespace = fs::File::open(format!("/proc/{pid}/ns/mnt"))?;
    // SAFETY: a live descriptor.
    match unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNS) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A filesystem with a file on it.
fn filesystem(point: &str) -> io::Result<()> {
    mount("box", point, "tmpfs", 0, "")?;
    fs::write(format!("{point}/given"), SECRET)
}

/// As `PrivateDevices=` makes them.
fn devices() -> io::Result<()> {
    mount("box", "/dev", "tmpfs", libc::MS_NOSUID, "mode=755")?;
    let null = CString::from(c"/dev/null");
    // SAFETY: a live string and numbers.
    if unsafe { libc::mknod(null.as_ptr(), libc::S_IFCHR | 0o666, libc::makedev(1, 3)) } < 0 {
        return Err(io::Error::last_os_error());
    }
    fs::set_permissions("/dev/null", fs::Permissions::from_mode(0o666))?;
    fs::write("/dev/kmsg-like", SECRET)
}

fn fill_root(root: &str) -> io::Result<()> {
    for directory in ["w/tool", "w/outside", "etc", "given", "dev", "old"] {
        fs::create_dir_all(format!("{root}/{directory}"))?;
    }
    fs::write(format!("{root}/w/x"), SECRET)?;
    fs::write(format!("{root}/etc/secret"), SECRET)?;
    let busybox = ["/usr/bin/busybox", "/bin/busybox"];
    let busybox = busybox.iter().find(|path| Path::new(path).exists());
    let busybox = busybox.ok_or_else(|| io::Error::other("no busybox"))?;
    for copy in ["w/tool/busybox", "etc/busybox"] {
        fs::copy(busybox, format!("{root}/{copy}")).map(drop)?;
    }
    Ok(())
}

/// An image below, and what is written above it.
fn overlay() -> io::Result<()> {
    let layers = "/run/scenarios/box-layers";
    fs::create_dir_all(layers)?;
    fs::create_dir_all(ROOT)?;
    mount("layers", layers, "tmpfs", 0, "")?;
    for directory in ["lower", "upper", "work"] {
        fs::create_dir(format!("{layers}/{directory}"))?;
    }
    fill_root(&format!("{layers}/lower"))?;
    let options = format!("lowerdir={layers}/lower,upperdir={layers}/upper,workdir={layers}/work");
    mount("overlay", ROOT, "overlay", 0, &options)
}

fn enter_root() -> io::Result<()> {
    for (from, to) in [("/srv/reference", "given"), ("/srv/outside", "w/outside")] {
        mount(from, &format!("{ROOT}/{to}"), "", libc::MS_BIND, "")?;
    }
    let (root, old) = (text(ROOT)?, text(&format!("{ROOT}/old"))?);
    // SAFETY: live strings.
    if unsafe { libc::syscall(libc::SYS_pivot_root, root.as_ptr(), old.as_ptr()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    std::env::set_current_dir("/")?;
    // SAFETY: a live string.
    if unsafe { libc::umount2(c"/old".as_ptr(), libc::MNT_DETACH) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Does it as the first process of a pid namespace, and ends as that does.
fn as_init(act: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    unshare(libc::CLONE_NEWPID)?;
    // SAFETY: this process has one thread.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            if let Err(error) = act() {
                eprintln!("{error}");
            }
            // SAFETY: ends the process.
            unsafe { libc::_exit(99) }
        }
        child => {
            let mut status = 0;
            // SAFETY: a child of this process, and a live local.
            if unsafe { libc::waitpid(child, &raw mut status, 0) } < 0 {
                return Err(io::Error::last_os_error());
            }
            match status {
                0 => Ok(()),
                _ => Err(io::Error::other(format!("it ended with {status:#x}"))),
            }
        }
    }
}

fn unshare(namespaces: libc::c_int) -> io::Result<()> {
    // SAFETY: a number.
    match unsafe { libc::unshare(namespaces) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn mount(
    source: &str,
    point: &str,
    kind: &str,
    flags: libc::c_ulong,
    options: &str,
) -> io::Result<()> {
    let [source, at, kind, options] = [text(source)?, text(point)?, text(kind)?, text(options)?];
    // SAFETY: live strings.
    let result = unsafe {
        libc::mount(
            source.as_ptr(),
            at.as_ptr(),
            kind.as_ptr(),
            flags,
            options.as_ptr().cast(),
        )
    };
    match result {
        0 => Ok(()),
        _ => {
            let error = io::Error::last_os_error();
            Err(io::Error::other(format!("mount at {point}: {error}")))
        }
    }
}

fn text(words: &str) -> io::Result<CString> {
    CString::new(words).map_err(io::Error::other)
}
