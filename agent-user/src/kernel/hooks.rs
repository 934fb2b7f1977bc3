//! The programs and where they attach: one row each, in the order in which they are attached.
//!
//! To add a hook: the program in `agent-ebpf/src/hooks/`, a row here. The build compares the two.

/// What kind of program a hook takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attach {
    /// `lsm/NAME`: refuses.
    Lsm,
    /// `tp_btf/NAME`: observes.
    Tracepoint,
    /// `fentry/FUNCTION`, of a function of the kernel: observes what it is called with.
    Entry,
    /// `fexit/FUNCTION`: observes what it returns.
    Exit,
    /// `iter/task`: looks at every task when the daemon asks.
    TaskIterator,
}

impl Attach {
    /// What the names of such programs' sections begin with.
    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::Lsm => "lsm",
            Self::Tracepoint => "tp_btf",
            Self::Entry => "fentry",
            Self::Exit => "fexit",
            Self::TaskIterator => "iter",
        }
    }
}

/// One program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hook {
    /// Name of the program and of the pins.
    pub(super) name: &'static str,
    /// What it attaches to. The program is called like it, with a suffix where there are several.
    pub(super) hook: &'static str,
    pub(super) attach: Attach,
    pub(super) family: &'static str,
    /// Arguments that the program reads, at their positions, by the kernel's names for them; `_`
    /// is not read. Compared with the running kernel's BTF, because a hook's arguments change
    /// between versions. Those that only moved are looked for by name instead
    /// ([`agent_abi::arguments`]) and are not listed here.
    pub(super) arguments: &'static [&'static str],
    /// Why it may be missing; `None`: without it enforcement has a hole, and the daemon does not
    /// start.
    pub(super) optional: Option<&'static str>,
    /// Only for kernels that free the storage of whoever fails to fork ([`super::forking`]).
    pub(super) is_of_forks: bool,
}

const fn lsm(family: &'static str, name: &'static str, arguments: &'static [&'static str]) -> Hook {
    Hook {
        name,
        hook: name,
        attach: Attach::Lsm,
        family,
        arguments,
        optional: None,
        is_of_forks: false,
    }
}

const fn exit(name: &'static str, arguments: &'static [&'static str]) -> Hook {
    Hook {
        name,
        hook: name,
        attach: Attach::Exit,
        family: SURFACE,
        arguments,
        optional: None,
        is_of_forks: false,
    }
}

/// A program for kernels that free the storage of whoever fails to fork.
const fn fork(name: &'static str, hook: &'static str, attach: Attach) -> Hook {
    Hook {
        name,
        hook,
        attach,
        family: LABELS,
        arguments: &[],
        optional: Some("this kernel leaves a process its label when it fails to fork"),
        is_of_forks: true,
    }
}

const fn since(mut hook: Hook, reason: &'static str) -> Hook {
    hook.optional = Some(reason);
    hook
}

const LABELS: &str = "labels";
const FILES: &str = "files";
const ATTRIBUTES: &str = "attributes";
const DESCRIPTORS: &str = "descriptors";
const EXEC: &str = "exec";
const NETWORK: &str = "network";
const PROCESSES: &str = "processes";
const LOCKS: &str = "locks";
const IPC: &str = "ipc";
const SURFACE: &str = "kernel surface";

/// Every program. Labels come first: nothing is decided before tasks can be labelled.
pub(super) const HOOKS: &[Hook] = &[
    lsm(LABELS, "task_alloc", &["task", "clone_flags"]),
    Hook {
        name: "cgroup_attach_task",
        hook: "cgroup_attach_task",
        attach: Attach::Tracepoint,
        family: LABELS,
        arguments: &["_", "_", "task"],
        optional: None,
        is_of_forks: false,
    },
    Hook {
        name: "task_newtask",
        hook: "task_newtask",
        attach: Attach::Tracepoint,
        family: LABELS,
        arguments: &["task", "clone_flags"],
        optional: None,
        is_of_forks: false,
    },
    Hook {
        name: "cgroup_mkdir",
        hook: "cgroup_mkdir",
        attach: Attach::Tracepoint,
        family: LABELS,
        arguments: &["cgrp", "path"],
        optional: None,
        is_of_forks: false,
    },
    Hook {
        name: "cgroup_rmdir",
        hook: "cgroup_rmdir",
        attach: Attach::Tracepoint,
        family: LABELS,
        arguments: &["cgrp"],
        optional: None,
        is_of_forks: false,
    },
    Hook {
        name: "census",
        hook: "census",
        attach: Attach::TaskIterator,
        family: LABELS,
        arguments: &["meta", "task"],
        optional: None,
        is_of_forks: false,
    },
    fork("copy_process", "copy_process", Attach::Entry),
    fork("copy_process_again", "copy_process", Attach::Entry),
    fork("copy_process_done", "copy_process", Attach::Exit),
    fork("task_free", "task_free", Attach::Lsm),
    Hook {
        name: "whose",
        hook: "whose",
        attach: Attach::TaskIterator,
        family: LABELS,
        arguments: &["meta", "task"],
        optional: None,
        is_of_forks: false,
    },
    lsm(LABELS, "sb_delete", &["sb"]),
    lsm(FILES, "file_open", &["file"]),
    lsm(FILES, "path_mknod", &["_", "dentry"]),
    lsm(FILES, "path_mkdir", &["_", "dentry"]),
    lsm(FILES, "path_symlink", &["_", "dentry"]),
    lsm(FILES, "path_unlink", &["_", "dentry"]),
    lsm(FILES, "path_rmdir", &["_", "dentry"]),
    lsm(FILES, "path_link", &["old_dentry", "_", "new_dentry"]),
    lsm(
        FILES,
        "path_rename",
        &["_", "old_dentry", "_", "new_dentry", "flags"],
    ),
    lsm(FILES, "path_truncate", &["path"]),
    since(
        lsm(FILES, "file_truncate", &["file"]),
        "before 6.2 path_truncate sees ftruncate too",
    ),
    lsm(FILES, "path_chmod", &["path"]),
    lsm(FILES, "path_chown", &["path"]),
    lsm(ATTRIBUTES, "inode_setattr", &[]),
    lsm(ATTRIBUTES, "inode_setxattr", &["_", "dentry"]),
    lsm(ATTRIBUTES, "inode_removexattr", &["_", "dentry"]),
    since(
        lsm(ATTRIBUTES, "inode_set_acl", &["_", "dentry"]),
        "before 6.2 inode_setxattr sees ACLs too",
    ),
    since(
        lsm(ATTRIBUTES, "inode_remove_acl", &["_", "dentry"]),
        "before 6.2 inode_removexattr sees ACLs too",
    ),
    since(
        lsm(ATTRIBUTES, "inode_file_setattr", &["dentry"]),
        "before 6.17 inode flags are changed by ioctl only",
    ),
    lsm(DESCRIPTORS, "file_receive", &["file"]),
    lsm(DESCRIPTORS, "path_notify", &["path"]),
    lsm(DESCRIPTORS, "file_ioctl", &["file", "cmd"]),
    since(
        lsm(DESCRIPTORS, "file_ioctl_compat", &["file", "cmd"]),
        "where it is missing, file_ioctl sees 32-bit callers too",
    ),
    lsm(EXEC, "bprm_check_security", &["bprm"]),
    lsm(EXEC, "mmap_file", &["file", "_", "prot"]),
    lsm(EXEC, "file_mprotect", &["vma", "_", "prot"]),
    lsm(
        NETWORK,
        "socket_create",
        &["family", "type", "protocol", "kern"],
    ),
    lsm(NETWORK, "socket_bind", &["sock", "address"]),
    lsm(NETWORK, "socket_listen", &["sock"]),
    lsm(NETWORK, "socket_setsockopt", &["_", "level", "optname"]),
    lsm(NETWORK, "socket_connect", &["sock", "address", "addrlen"]),
    lsm(NETWORK, "socket_sendmsg", &["sock", "msg"]),
    lsm(NETWORK, "unix_stream_connect", &["_", "other", "newsk"]),
    lsm(NETWORK, "unix_may_send", &["_", "other"]),
    lsm(PROCESSES, "task_kill", &["p", "_", "sig"]),
    lsm(PROCESSES, "file_send_sigiotask", &["tsk"]),
    lsm(PROCESSES, "ptrace_access_check", &["child", "mode"]),
    lsm(PROCESSES, "ptrace_traceme", &["parent"]),
    lsm(PROCESSES, "task_setnice", &["p"]),
    lsm(PROCESSES, "task_setioprio", &["p"]),
    lsm(PROCESSES, "task_setscheduler", &["p"]),
    lsm(PROCESSES, "task_movememory", &["p"]),
    lsm(PROCESSES, "task_setpgid", &["p", "pgid"]),
    lsm(PROCESSES, "task_setrlimit", &["p", "resource"]),
    lsm(PROCESSES, "capable", &["cred", "_", "cap", "opts"]),
    lsm(PROCESSES, "file_fcntl", &["file", "cmd", "arg"]),
    lsm(PROCESSES, "cred_prepare", &[]),
    lsm(LOCKS, "file_lock", &["file", "cmd"]),
    lsm(IPC, "shm_alloc_security", &["perm"]),
    lsm(IPC, "shm_free_security", &["perm"]),
    lsm(IPC, "msg_queue_alloc_security", &["perm"]),
    lsm(IPC, "msg_queue_free_security", &["perm"]),
    lsm(IPC, "sem_alloc_security", &["perm"]),
    lsm(IPC, "sem_free_security", &["perm"]),
    lsm(IPC, "ipc_permission", &["ipcp"]),
    lsm(IPC, "shm_shmctl", &["perm"]),
    lsm(IPC, "msg_queue_msgctl", &["perm"]),
    lsm(IPC, "sem_semctl", &["perm"]),
    lsm(IPC, "inode_unlink", &["_", "dentry"]),
    since(
        Hook {
            name: "mqueue_create_attr",
            hook: "mqueue_create_attr",
            attach: Attach::Exit,
            family: IPC,
            arguments: &["dentry", "mode", "arg"],
            optional: None,
            is_of_forks: false,
        },
        "where it is missing, a session is refused the message queues that it makes",
    ),
    lsm(SURFACE, "sb_mount", &["_", "_", "type", "flags"]),
    lsm(SURFACE, "sb_remount", &["sb"]),
    lsm(SURFACE, "sb_umount", &["_", "flags"]),
    lsm(SURFACE, "sb_kern_mount", &["sb"]),
    lsm(SURFACE, "fs_context_parse_param", &["fc"]),
    lsm(SURFACE, "sb_pivotroot", &[]),
    lsm(SURFACE, "move_mount", &[]),
    lsm(SURFACE, "userns_create", &[]),
    since(
        exit("create_user_ns", &["new"]),
        "where it is missing, `containers` opens no capability in the user namespaces that a session makes",
    ),
    since(
        exit("retire_userns_sysctls", &["ns"]),
        "where it is missing, user namespaces of sessions are remembered when they have ended",
    ),
    lsm(SURFACE, "bpf", &["cmd", "attr"]),
    lsm(SURFACE, "bpf_map", &["map"]),
    lsm(SURFACE, "bpf_prog", &["prog"]),
    lsm(SURFACE, "perf_event_open", &[]),
    lsm(SURFACE, "inode_init_security_anon", &["_", "name"]),
    lsm(SURFACE, "key_alloc", &[]),
    lsm(SURFACE, "key_permission", &[]),
    lsm(SURFACE, "kernel_module_request", &[]),
    lsm(SURFACE, "kernel_load_data", &[]),
    lsm(SURFACE, "kernel_read_file", &[]),
    lsm(SURFACE, "locked_down", &[]),
    lsm(SURFACE, "syslog", &[]),
    since(
        lsm(SURFACE, "uring_cmd", &["ioucmd"]),
        "a kernel without io_uring has no rings",
    ),
    since(
        lsm(SURFACE, "uring_override_creds", &[]),
        "a kernel without io_uring has no rings",
    ),
];
