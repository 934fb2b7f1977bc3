//! Kernel surface and identity: scenarios 14 and 16 of the fixture, sections A, E and G of the
//! catalogue.

use crate::{
    acts::{Act, Way, syscall},
    harness::{ground::Ground, matrix::Case},
};

const CAPABILITY: &str = "process.capability";

fn case(
    name: &'static str,
    right: &'static str,
    refused: impl Fn(&mut Ground<'_>) -> Act + 'static,
) -> Case {
    Case::new("surface", name, right, refused)
        .reason("not-granted")
        .errno(libc::EPERM)
}

/// What needs a capability, which may be asked for first.
fn privileged(
    name: &'static str,
    right: &'static str,
    refused: impl Fn(&mut Ground<'_>) -> Act + 'static,
) -> Case {
    case(name, right, refused).or_right(CAPABILITY)
}

/// Needs CAP_SYS_ADMIN, and mounts, which no grant opens where others see it.
fn mounting(name: &'static str, refused: impl Fn(&mut Ground<'_>) -> Act + 'static) -> Case {
    // What `mount = true` opens is tried in `mounts`.
    privileged(name, "kernel.mount", refused).never()
}

fn write(name: &'static str, rule: &'static str, path: &'static str, text: &'static str) -> Case {
    Case::new("surface", name, "file.write", move |_| Act::WriteText {
        path: path.into(),
        text: text.into(),
    })
    .rule(rule)
    .errno(libc::EACCES)
    .never()
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = mounts();
    cases.extend(identity());
    cases.extend(kernel());
    cases.extend(controls());
    cases
}

fn mounts() -> Vec<Case> {
    vec![
        mounting("mounts a filesystem", |g| syscall::mount(&g.inside("")))
            .never()
            .own_when_nested(),
        mounting("mounts a granted name over a secret", |g| {
            let (from, to) = (g.outside(""), g.inside(""));
            syscall::bind_mount(&from, &to)
        })
        .never()
        // What is seen there stays refused: `boxes`, `nested`.
        .own_when_nested(),
        mounting("remounts a filesystem", |_| syscall::remount("/dev/shm")).never(),
        mounting("unmounts a filesystem", |_| syscall::unmount("/dev/mqueue"))
            .never()
            .invalid_when_nested(),
        mounting("begins a filesystem by fsopen", |_| syscall::fsopen()).own_when_nested(),
        mounting("clones a mount by open_tree", |g| {
            syscall::open_tree(&g.inside(""))
        })
        .own_when_nested(),
        mounting("moves a mount", |g| {
            syscall::move_mount("/dev/mqueue", &g.inside(""))
        })
        // Mounts below a shared one cannot be moved.
        .without_free()
        .invalid_when_nested(),
        mounting("changes a mount by mount_setattr", |_| {
            syscall::mount_setattr("/dev/shm")
        }),
        mounting("changes the root of the namespace", |g| {
            let dir = g.inside("");
            syscall::pivot_root(&dir, &dir)
        })
        .without_free()
        .invalid_when_nested(),
        privileged("changes its root", CAPABILITY, |g| {
            syscall::chroot(&g.inside(""))
        })
        .own_when_nested(),
    ]
}

fn identity() -> Vec<Case> {
    vec![
        privileged("makes a user namespace", "kernel.namespace", |_| {
            syscall::unshare_user()
        })
        .own_when_nested(),
        privileged("makes a mount namespace", CAPABILITY, |_| {
            syscall::unshare_mounts()
        })
        .own_when_nested(),
        privileged("makes namespaces of the other kinds", CAPABILITY, |_| {
            syscall::unshare_rest()
        })
        .own_when_nested(),
        Case::new(
            "surface",
            "enters the namespaces of a process outside",
            "process.ptrace",
            |g| syscall::setns(g.victim()),
        )
        .reason("outside-session")
        .never(),
        privileged("enters its own namespace", CAPABILITY, |_| {
            Act::syscall(
                "setns",
                libc::SYS_setns,
                [
                    crate::acts::Arg::Open("/proc/self/ns/uts".into(), libc::O_RDONLY),
                    0.into(),
                ],
                &[],
            )
        })
        .or_right("file.read")
        .or_reason("unknown-mount")
        .or_reason("unresolvable")
        .never()
        .errnos(&[libc::EPERM, libc::EACCES]),
        privileged("becomes another user", CAPABILITY, |_| syscall::set_uid())
            .invalid_when_nested(),
        privileged("drops its groups", CAPABILITY, |_| syscall::set_groups()),
        Case::new(
            "surface",
            "moves itself to another cgroup",
            "file.write",
            |g| {
                let dir = format!("/sys/fs/cgroup/{}", g.tag());
                g.shell(&format!("mkdir -p {dir}"));
                Act::WriteText {
                    path: format!("{dir}/cgroup.procs"),
                    text: "0".into(),
                }
            },
        )
        .rule("bailiff:limits")
        .never(),
        Case::new(
            "surface",
            "moves a thread to another cgroup",
            "file.write",
            |g| {
                let dir = format!("/sys/fs/cgroup/{}", g.tag());
                g.shell(&format!("mkdir -p {dir}"));
                Act::WriteText {
                    path: format!("{dir}/cgroup.threads"),
                    text: "0".into(),
                }
            },
        )
        .rule("bailiff:limits")
        // Only within a threaded subtree.
        .without_free(),
        Case::new("surface", "makes a cgroup", "file.create", |g| Act::Mkdir {
            path: format!("/sys/fs/cgroup/{}", g.tag()),
        })
        .rule("bailiff:limits")
        .never(),
        case("makes a child in another cgroup", "cgroup.enter", |g| {
            let dir = format!("/sys/fs/cgroup/{}", g.tag());
            g.shell(&format!("mkdir -p {dir}"));
            Act::CloneIntoCgroup { path: dir }
        })
        .reason("self-protection")
        .or_right("file.write")
        .never()
        .ways(&[Way::Compiled]),
    ]
}

fn kernel() -> Vec<Case> {
    let compiled = &[Way::Compiled];
    vec![
        privileged("makes a BPF map", "kernel.bpf", |_| syscall::bpf()),
        privileged("opens a performance counter", "kernel.perf", |_| {
            syscall::perf()
        })
        .errnos(&[libc::EPERM, libc::EACCES]),
        case("makes an io_uring", "kernel.io_uring", |_| {
            syscall::io_uring()
        }),
        privileged("makes a userfaultfd", "kernel.userfaultfd", |_| {
            syscall::userfaultfd()
        }),
        case("adds a key", "kernel.keyring", |_| syscall::add_key()),
        case("looks at the keyring of its user", "kernel.keyring", |_| {
            syscall::keyring()
        })
        // What it was refused is not told: the keyring is taken for missing.
        .says("errno 126"),
        privileged("loads a module", "kernel.load", |_| syscall::init_module()).without_free(),
        privileged("loads a module from a file", "kernel.load", |g| {
            let path = g.file_inside("module.ko");
            syscall::finit_module(&path)
        })
        .without_free(),
        privileged("loads another kernel", "kernel.load", |_| {
            syscall::kexec_load()
        })
        .without_free(),
        privileged("raises its I/O privilege", CAPABILITY, |_| syscall::iopl())
            .or_right("kernel.load"),
        privileged("swaps to a file", CAPABILITY, |g| {
            syscall::swapon(&g.file_inside("swap"))
        })
        .without_free(),
        privileged("ends process accounting", CAPABILITY, |_| syscall::acct()),
        privileged("controls how the host reboots", CAPABILITY, |_| {
            syscall::reboot()
        }),
        privileged("sets the name of the host", CAPABILITY, |_| {
            syscall::hostname()
        }),
        privileged("sets the time", CAPABILITY, |_| syscall::set_time()),
        privileged(
            "changes what the kernel logs to the console",
            CAPABILITY,
            |_| syscall::syslog(),
        ),
        privileged("asks for the log of the kernel", CAPABILITY, |g| {
            g.shell("echo 0 > /proc/sys/kernel/dmesg_restrict");
            syscall::log_size()
        }),
        case("types into its terminal", "file.ioctl", |_| Act::Tiocsti)
            .reason("self-protection")
            .never()
            .ways(compiled),
    ]
}

fn controls() -> Vec<Case> {
    vec![
        write(
            "changes the program that handles core dumps",
            "bailiff:limits",
            "/proc/sys/kernel/core_pattern",
            "core",
        ),
        write(
            "changes the program that loads modules",
            "bailiff:limits",
            "/proc/sys/kernel/modprobe",
            "/sbin/modprobe",
        ),
        write(
            "asks the kernel by sysrq",
            "bailiff:limits",
            "/proc/sysrq-trigger",
            "h",
        ),
        Case::new(
            "surface",
            "changes a module's parameter",
            "file.write",
            |_| Act::WriteText {
                path: "/sys/module/printk/parameters/time".into(),
                text: "Y".into(),
            },
        )
        .errno(libc::EACCES),
        Case::new(
            "surface",
            "writes to the tracing system",
            "file.write",
            |_| Act::WriteText {
                path: "/sys/kernel/tracing/tracing_on".into(),
                text: "1".into(),
            },
        )
        .errno(libc::EACCES),
        Case::new(
            "surface",
            "writes into the log of the kernel",
            "file.write",
            |_| Act::WriteText {
                path: "/dev/kmsg".into(),
                text: "scenario\n".into(),
            },
        )
        .errno(libc::EACCES),
        Case::new("surface", "opens the tunnel device", "file.read", |g| {
            g.shell("mkdir -p /dev/net; test -e /dev/net/tun || mknod /dev/net/tun c 10 200");
            Act::ReadWrite {
                path: "/dev/net/tun".into(),
            }
        })
        .or_right("file.write")
        .errno(libc::EACCES)
        .without_free(),
        Case::new(
            "surface",
            "opens the device of user filesystems",
            "file.read",
            |_| Act::ReadWrite {
                path: "/dev/fuse".into(),
            },
        )
        .or_right("file.write")
        .errno(libc::EACCES),
    ]
}
