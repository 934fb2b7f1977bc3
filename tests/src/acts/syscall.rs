//! Acts that are one system call.

use super::{Act, Arg};

const NEWNS: i64 = 0x0002_0000;
const NEWUSER: i64 = 0x1000_0000;
const AT_FDCWD: i64 = -100;

pub(crate) fn mount(target: &str) -> Act {
    Act::syscall(
        "mount",
        libc::SYS_mount,
        [
            "none".into(),
            target.into(),
            "tmpfs".into(),
            0.into(),
            0.into(),
        ],
        &["mount", "-t", "tmpfs", "none", target],
    )
}

pub(crate) fn bind_mount(from: &str, to: &str) -> Act {
    Act::syscall(
        "mount --bind",
        libc::SYS_mount,
        [
            from.into(),
            to.into(),
            0.into(),
            libc::MS_BIND.into(),
            0.into(),
        ],
        &["mount", "--bind", from, to],
    )
}

pub(crate) fn remount(target: &str) -> Act {
    let flags = libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY;
    Act::syscall(
        "remount",
        libc::SYS_mount,
        [0.into(), target.into(), 0.into(), flags.into(), 0.into()],
        &["mount", "-o", "remount,bind,ro", target],
    )
}

pub(crate) fn unmount(target: &str) -> Act {
    Act::syscall(
        "umount",
        libc::SYS_umount2,
        [target.into(), libc::MNT_DETACH.into()],
        &["umount", "-l", target],
    )
}

pub(crate) fn fsopen() -> Act {
    Act::syscall("fsopen", libc::SYS_fsopen, ["tmpfs".into(), 0.into()], &[])
}

pub(crate) fn open_tree(path: &str) -> Act {
    // OPEN_TREE_CLONE
    Act::syscall(
        "open_tree",
        libc::SYS_open_tree,
        [AT_FDCWD.into(), path.into(), 1.into()],
        &[],
    )
}

pub(crate) fn move_mount(from: &str, to: &str) -> Act {
    Act::syscall(
        "move_mount",
        libc::SYS_move_mount,
        [
            AT_FDCWD.into(),
            from.into(),
            AT_FDCWD.into(),
            to.into(),
            0.into(),
        ],
        &["mount", "--move", from, to],
    )
}

pub(crate) fn mount_setattr(path: &str) -> Act {
    // `struct mount_attr` that sets MOUNT_ATTR_NODIRATIME.
    let attributes = [0x80_u64, 0, 0, 0].map(u64::to_ne_bytes).concat();
    Act::syscall(
        "mount_setattr",
        libc::SYS_mount_setattr,
        [
            AT_FDCWD.into(),
            path.into(),
            0.into(),
            attributes.into(),
            32.into(),
        ],
        &[],
    )
}

pub(crate) fn pivot_root(new: &str, old: &str) -> Act {
    Act::syscall(
        "pivot_root",
        libc::SYS_pivot_root,
        [new.into(), old.into()],
        &["pivot_root", new, old],
    )
}

pub(crate) fn chroot(path: &str) -> Act {
    Act::syscall("chroot", libc::SYS_chroot, [path.into()], &[])
}

pub(crate) fn unshare_user() -> Act {
    Act::syscall(
        "unshare",
        libc::SYS_unshare,
        [NEWUSER.into()],
        &["unshare", "--user", "true"],
    )
}

pub(crate) fn unshare_mounts() -> Act {
    Act::syscall(
        "unshare",
        libc::SYS_unshare,
        [NEWNS.into()],
        &["unshare", "--mount", "true"],
    )
}

/// Every other kind of namespace at once.
pub(crate) fn unshare_rest() -> Act {
    // UTS, IPC, network, pid, cgroup
    let kinds = 0x0400_0000_i64 | 0x0800_0000 | 0x4000_0000 | 0x2000_0000 | 0x0200_0000;
    let tool = ["unshare", "--uts", "--ipc", "--net", "--cgroup", "true"];
    Act::syscall("unshare", libc::SYS_unshare, [kinds.into()], &tool)
}

/// Enters the namespaces of a process: `flags` by its pidfd would be another way to the same check.
pub(crate) fn setns(pid: i32) -> Act {
    let link = format!("/proc/{pid}/ns/uts");
    Act::syscall(
        "setns",
        libc::SYS_setns,
        [Arg::Open(link, libc::O_RDONLY), 0.into()],
        &["nsenter", "--uts", "--target", &pid.to_string(), "true"],
    )
}

pub(crate) fn bpf() -> Act {
    // BPF_MAP_CREATE of an array: type, key, value, entries
    let attributes = [2_u32, 4, 8, 1].map(u32::to_ne_bytes).concat();
    let mut attributes = attributes;
    attributes.resize(128, 0);
    let tool = ["bpftool", "prog", "show"];
    Act::syscall(
        "bpf",
        libc::SYS_bpf,
        [0.into(), attributes.into(), 128.into()],
        &tool,
    )
}

pub(crate) fn perf() -> Act {
    // `struct perf_event_attr`: a software event (the CPU clock), excluding the kernel.
    let mut attributes = vec![0_u8; 128];
    attributes[0..4].copy_from_slice(&1_u32.to_ne_bytes());
    attributes[4..8].copy_from_slice(&128_u32.to_ne_bytes());
    attributes[40] = 0b0110_0001;
    Act::syscall(
        "perf_event_open",
        libc::SYS_perf_event_open,
        [
            attributes.into(),
            0.into(),
            (-1).into(),
            (-1).into(),
            0.into(),
        ],
        &[],
    )
}

pub(crate) fn io_uring() -> Act {
    Act::syscall(
        "io_uring_setup",
        libc::SYS_io_uring_setup,
        [4.into(), vec![0; 120].into()],
        &[],
    )
}

pub(crate) fn userfaultfd() -> Act {
    // UFFD_USER_MODE_ONLY
    Act::syscall("userfaultfd", libc::SYS_userfaultfd, [1.into()], &[])
}

pub(crate) fn add_key() -> Act {
    // KEY_SPEC_PROCESS_KEYRING
    let arguments = [
        "user".into(),
        "bailiff".into(),
        vec![1_u8, 2, 3].into(),
        3.into(),
        (-2).into(),
    ];
    Act::syscall("add_key", libc::SYS_add_key, arguments, &[])
}

pub(crate) fn keyring() -> Act {
    // KEYCTL_GET_KEYRING_ID of the user's keyring
    Act::syscall(
        "keyctl",
        libc::SYS_keyctl,
        [0.into(), (-4).into(), 1.into()],
        &[],
    )
}

/// An image that is no module: whoever may load gets ENOEXEC, so that unconfined it is not done
/// either.
pub(crate) fn init_module() -> Act {
    let arguments = [vec![0_u8; 64].into(), 64.into(), "".into()];
    Act::syscall("init_module", libc::SYS_init_module, arguments, &[])
}

pub(crate) fn finit_module(path: &str) -> Act {
    let arguments = [Arg::Open(path.into(), libc::O_RDONLY), "".into(), 0.into()];
    Act::syscall(
        "finit_module",
        libc::SYS_finit_module,
        arguments,
        &["insmod", path],
    )
}

pub(crate) fn kexec_load() -> Act {
    // No segments: unloads what is loaded, which is nothing.
    let arguments = [0.into(), 0.into(), 0.into(), 0.into()];
    Act::syscall("kexec_load", libc::SYS_kexec_load, arguments, &[])
}

pub(crate) fn iopl() -> Act {
    Act::syscall("iopl", libc::SYS_iopl, [3.into()], &[])
}

pub(crate) fn swapon(path: &str) -> Act {
    Act::syscall("swapon", libc::SYS_swapon, [path.into(), 0.into()], &[])
}

pub(crate) fn acct() -> Act {
    Act::syscall("acct", libc::SYS_acct, [0.into()], &[])
}

/// Switches off the keys that reboot, which do nothing here.
pub(crate) fn reboot() -> Act {
    let arguments = [
        0xfee1_dead_u32.into(),
        672_274_793.into(),
        0.into(),
        0.into(),
    ];
    Act::syscall("reboot", libc::SYS_reboot, arguments, &[])
}

pub(crate) fn hostname() -> Act {
    let arguments = [vec![b'v', b'm'].into(), 2.into()];
    Act::syscall(
        "sethostname",
        libc::SYS_sethostname,
        arguments,
        &["hostname", "vm"],
    )
}

/// Sets the time zone that the kernel knows to what it is.
pub(crate) fn set_time() -> Act {
    Act::syscall(
        "settimeofday",
        libc::SYS_settimeofday,
        [0.into(), vec![0; 8].into()],
        &[],
    )
}

pub(crate) fn syslog() -> Act {
    // SYSLOG_ACTION_CONSOLE_LEVEL, as noisy as it is.
    Act::syscall(
        "syslog",
        libc::SYS_syslog,
        [8.into(), 0.into(), 8.into()],
        &[],
    )
}

pub(crate) fn set_uid() -> Act {
    Act::syscall(
        "setuid",
        libc::SYS_setuid,
        [1000.into()],
        &["setpriv", "--reuid=1000", "--clear-groups", "true"],
    )
}

pub(crate) fn set_groups() -> Act {
    Act::syscall("setgroups", libc::SYS_setgroups, [0.into(), 0.into()], &[])
}

pub(crate) fn prlimit(pid: i32) -> Act {
    // RLIMIT_NOFILE
    let limit = [512_u64, 1024].map(u64::to_ne_bytes).concat();
    let pid_text = pid.to_string();
    Act::syscall(
        "prlimit64",
        libc::SYS_prlimit64,
        [pid.into(), 7.into(), limit.into(), 0.into()],
        &["prlimit", "--pid", &pid_text, "--nofile=512:1024"],
    )
}

pub(crate) fn nice(pid: i32) -> Act {
    Act::syscall(
        "setpriority",
        libc::SYS_setpriority,
        [0.into(), pid.into(), 5.into()],
        &["renice", "-n", "5", "-p", &pid.to_string()],
    )
}

pub(crate) fn affinity(pid: i32) -> Act {
    let pid_text = pid.to_string();
    // Tools do not take 0 for themselves.
    let tool = ["taskset", "-p", "1", &pid_text];
    Act::syscall(
        "sched_setaffinity",
        libc::SYS_sched_setaffinity,
        [pid.into(), 8.into(), vec![1, 0, 0, 0, 0, 0, 0, 0].into()],
        if pid == 0 { &[] } else { &tool },
    )
}

pub(crate) fn scheduler(pid: i32) -> Act {
    let pid_text = pid.to_string();
    let tool = ["chrt", "-b", "-p", "0", &pid_text];
    // SCHED_BATCH
    Act::syscall(
        "sched_setscheduler",
        libc::SYS_sched_setscheduler,
        [pid.into(), 3.into(), vec![0; 4].into()],
        if pid == 0 { &[] } else { &tool },
    )
}

pub(crate) fn io_priority(pid: i32) -> Act {
    let pid_text = pid.to_string();
    // IOPRIO_WHO_PROCESS, the best-effort class at its lowest
    Act::syscall(
        "ioprio_set",
        libc::SYS_ioprio_set,
        [1.into(), pid.into(), ((2 << 13) | 7).into()],
        &["ionice", "-c", "2", "-n", "7", "-p", &pid_text],
    )
}

pub(crate) fn move_pages(pid: i32) -> Act {
    let arguments = [pid.into(), 0.into(), 0.into(), 0.into(), 0.into(), 0.into()];
    Act::syscall("move_pages", libc::SYS_move_pages, arguments, &[])
}

pub(crate) fn compare(pid: i32) -> Act {
    // KCMP_VM of the process with itself
    let arguments = [pid.into(), pid.into(), 1.into(), 0.into(), 0.into()];
    Act::syscall("kcmp", libc::SYS_kcmp, arguments, &[])
}

pub(crate) fn robust_list(pid: i32) -> Act {
    let arguments = [pid.into(), vec![0; 8].into(), vec![0; 8].into()];
    Act::syscall("get_robust_list", libc::SYS_get_robust_list, arguments, &[])
}

pub(crate) fn message_queue(name: &str) -> Act {
    let flags = libc::O_RDWR;
    let arguments = [name.into(), flags.into(), 0.into(), 0.into()];
    Act::syscall("mq_open", libc::SYS_mq_open, arguments, &[])
}

pub(crate) fn flock(path: &str, flags: i32, kind: i32) -> Act {
    Act::syscall(
        "flock",
        libc::SYS_flock,
        [Arg::Open(path.into(), flags), kind.into()],
        &[],
    )
}

fn control(path: &str, command: i32, argument: Arg) -> Act {
    Act::syscall(
        "fcntl",
        libc::SYS_fcntl,
        [
            Arg::Open(path.into(), libc::O_RDONLY),
            command.into(),
            argument,
        ],
        &[],
    )
}

pub(crate) fn lease(path: &str, kind: i32) -> Act {
    control(path, libc::F_SETLEASE, kind.into())
}

/// `F_SETDELEG` of a `struct delegation`: no flags, `F_RDLCK`.
pub(crate) fn delegate(path: &str) -> Act {
    control(path, 1040, vec![0; 8].into())
}

/// A negative owner is a process group.
pub(crate) fn owner(path: &str, owner: i32) -> Act {
    control(path, libc::F_SETOWN, owner.into())
}

/// `F_SETSIG`: what its owner gets when there is something to read.
pub(crate) fn signal_of(path: &str, signal: i32) -> Act {
    control(path, 10, signal.into())
}

/// `O_ASYNC`: its owner is told when there is something to read.
pub(crate) fn notify(path: &str) -> Act {
    control(path, libc::F_SETFL, libc::O_ASYNC.into())
}

/// `FIOASYNC`, off.
pub(crate) fn notify_not(path: &str) -> Act {
    Act::syscall(
        "ioctl",
        libc::SYS_ioctl,
        [
            Arg::Open(path.into(), libc::O_RDONLY),
            0x5452.into(),
            vec![0; 4].into(),
        ],
        &[],
    )
}

/// `F_SETOWN_EX` of a `struct f_owner_ex`: `F_OWNER_PID`.
pub(crate) fn extended_owner(path: &str, owner: i32) -> Act {
    let argument = [1, owner].map(i32::to_ne_bytes).concat();
    control(path, 15, argument.into())
}

/// The size of the kernel's log.
pub(crate) fn log_size() -> Act {
    // SYSLOG_ACTION_SIZE_BUFFER
    Act::syscall(
        "syslog",
        libc::SYS_syslog,
        [10.into(), 0.into(), 0.into()],
        &[],
    )
}
