//! What each switch and capability opens.

use crate::harness::matrix::runs_everything;

/// A grant, what must be done under it, and what may be or not by kernel.
pub(super) struct Row {
    pub(super) process: &'static str,
    pub(super) kernel: &'static str,
    pub(super) must: &'static [&'static str],
    pub(super) may: &'static [&'static str],
}

pub(super) const fn switch(
    process: &'static str,
    kernel: &'static str,
    must: &'static [&'static str],
    may: &'static [&'static str],
) -> Row {
    Row {
        process,
        kernel,
        must,
        may,
    }
}

/// What a capability opens alone; those that are not listed open none of the probes.
const CAPABILITIES: &[(&str, &[&str], &[&str])] = &[
    ("chown", &["chown"], &[]),
    ("fsetid", &["set_id"], &[]),
    ("setgid", &["setgroups"], &[]),
    ("setuid", &["setuid"], &[]),
    ("sys_chroot", &["chroot"], &[]),
    ("sys_admin", &["hostname", "fanotify_file"], &["syslog"]),
    ("sys_nice", &["realtime"], &[]),
    ("sys_resource", &["raise_limit"], &[]),
    ("sys_time", &["time"], &[]),
    ("mknod", &["mknod"], &[]),
    ("syslog", &["syslog"], &[]),
    // Only `load` opens them, so nothing of theirs is here.
    ("sys_module", &[], &[]),
    ("sys_boot", &[], &[]),
    ("sys_rawio", &[], &[]),
];

const NAMESPACES: &[&str] = &[
    "userns",
    "newns",
    "newuts",
    "newipc",
    "newnet",
    "newpid",
    "newcgroup",
    "newtime",
    "clone3",
    "hostname",
    "fanotify_file",
];

pub(super) fn rows() -> Vec<(String, Row)> {
    let mut rows = vec![
        switch("", "", &[], &[]),
        switch("signal = \"any\"", "", &["kill"], &[]),
        switch("ptrace = \"session\"", "", &[], &[]),
        switch(
            "control = \"any\"",
            "",
            &["limit", "nice", "schedule", "schedule_by_attributes"],
            &[],
        ),
        // A deadline may be set with it, and brings a signal.
        switch(
            "control = \"any\"\ncapabilities = [\"sys_nice\"]",
            "",
            &["limit", "nice", "schedule", "realtime"],
            &[],
        ),
        switch(
            "signal = \"any\"\ncontrol = \"any\"\ncapabilities = [\"sys_nice\"]",
            "",
            &[
                "kill",
                "limit",
                "nice",
                "schedule",
                "schedule_by_attributes",
                "realtime",
                "limit_cpu",
                "limit_fsize",
                "limit_stack",
                "limit_memlock",
                "limit_as",
                "limit_rttime",
            ],
            &[],
        ),
        switch("jit = true", "", &["jit"], &[]),
        switch("core = true", "", &[], &[]),
        switch("ipc = \"any\"", "", &[], &[]),
        switch("", "mount = true", &[], &[]),
        switch("", "namespaces = true", &["userns"], &[]),
        switch("", "bpf = true", &[], &[]),
        switch("", "perf = true", &["perf_own"], &[]),
        switch("", "io_uring = true", &["io_uring"], &[]),
        switch("", "userfaultfd = true", &["userfaultfd"], &[]),
        switch("", "keyrings = true", &["add_key"], &[]),
        switch("", "load = true", &[], &[]),
        // With the capability, so that the switch alone decides.
        switch(
            "capabilities = [\"sys_admin\"]",
            "namespaces = true",
            NAMESPACES,
            &["syslog", "setns"],
        ),
        switch(
            "capabilities = [\"sys_admin\", \"perfmon\"]",
            "io_uring = true",
            &["hostname", "io_uring", "fanotify_file"],
            &["syslog"],
        ),
        switch(
            "capabilities = [\"sys_ptrace\"]",
            "userfaultfd = true",
            &["userfaultfd"],
            &[],
        ),
        switch(
            "capabilities = [\"sys_module\"]",
            "load = true",
            &["delete_module"],
            &["init_module"],
        ),
        switch(
            "capabilities = [\"sys_boot\"]",
            "load = true",
            &["kexec_load"],
            &[],
        ),
        switch(
            "capabilities = [\"bpf\"]",
            "bpf = true",
            &["bpf_map", "bpf_socket"],
            &[],
        ),
        switch(
            "capabilities = [\"bpf\", \"perfmon\", \"kill\"]",
            "bpf = true\nperf = true",
            &["bpf_map", "bpf_socket", "perf_own"],
            &[],
        ),
        switch(
            "capabilities = [\"bpf\", \"sys_admin\", \"kill\"]",
            "bpf = true\nperf = true",
            &[
                "bpf_map",
                "bpf_socket",
                "perf_own",
                "hostname",
                "fanotify_file",
            ],
            &["syslog"],
        ),
    ];
    let known = |name: &str| CAPABILITIES.iter().find(|(known, ..)| *known == name);
    let names = agent_grant_names();
    let mut named = rows
        .drain(..)
        .map(|row| (format!("{} {}", row.process, row.kernel), row))
        .collect::<Vec<_>>();
    // Elsewhere all of them at once say the same of the kernel.
    for name in names.iter().filter(|_| runs_everything()) {
        let (must, may) = known(name).map_or((&[][..], &[][..]), |(_, must, may)| (*must, *may));
        let process: &'static str = Box::leak(format!("capabilities = [\"{name}\"]").into());
        named.push((process.into(), switch(process, "", must, may)));
    }
    // All that has no hook of its own, held against every switch that is off.
    let every = agent_grant_names()
        .iter()
        .map(|name| format!("\"{name}\""))
        .collect::<Vec<_>>()
        .join(", ");
    let every: &'static str = Box::leak(format!("capabilities = [{every}]").into());
    let opened = &[
        "chown",
        "set_id",
        "setgroups",
        "setuid",
        "chroot",
        "hostname",
        "realtime",
        "raise_limit",
        "time",
        "mknod",
        "syslog",
        "fanotify_file",
    ];
    named.push(("every capability".into(), switch(every, "", opened, &[])));
    named
}

/// Capabilities as grants name them.
pub(super) fn agent_grant_names() -> &'static [&'static str] {
    &[
        "chown",
        "dac_override",
        "dac_read_search",
        "fowner",
        "fsetid",
        "kill",
        "setgid",
        "setuid",
        "setpcap",
        "linux_immutable",
        "net_bind_service",
        "net_broadcast",
        "net_admin",
        "net_raw",
        "ipc_lock",
        "ipc_owner",
        "sys_module",
        "sys_rawio",
        "sys_chroot",
        "sys_ptrace",
        "sys_pacct",
        "sys_admin",
        "sys_boot",
        "sys_nice",
        "sys_resource",
        "sys_time",
        "sys_tty_config",
        "mknod",
        "lease",
        "audit_write",
        "audit_control",
        "setfcap",
        "mac_override",
        "mac_admin",
        "syslog",
        "wake_alarm",
        "block_suspend",
        "audit_read",
        "perfmon",
        "bpf",
        "checkpoint_restore",
    ]
}
