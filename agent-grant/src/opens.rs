//! What a switch or a capability opens besides what it names, in words for who grants it.
//!
//! Said where a grant is checked and shown, and in docs/grants.md, whose table is compared with this one.

use agent_abi::Surface;

use crate::syntax::{
    capabilities,
    settings::{Setting, settings},
};

/// One thing that a grant turns on, and what comes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opens {
    /// As a grant writes it: `bpf = true`, `capabilities = ["mknod"]`.
    pub setting: String,
    /// What it opens, as a sentence.
    pub sentence: &'static str,
    /// Whether it opens more than its name says.
    pub more: bool,
}

/// What each setting and capability of a grant opens, by its surface and capabilities, in the order of the
/// reference.
#[must_use]
pub fn opens(surface: u32, granted: u64) -> Vec<Opens> {
    let switches = settings()
        .filter(|setting| setting.is_on(surface))
        .map(of_switch);
    let capabilities = (0..capabilities::NAMES.len())
        .filter(|number| granted & 1 << number != 0)
        .map(of_capability);
    switches.chain(capabilities).collect()
}

/// Everything that a grant can turn on.
#[must_use]
pub fn all() -> Vec<Opens> {
    let switches = settings().map(of_switch);
    let capabilities = (0..capabilities::NAMES.len()).map(of_capability);
    switches.chain(capabilities).collect()
}

fn of_switch(setting: Setting) -> Opens {
    let (more, sentence) = match setting.switch {
        Surface::SignalAny => (
            true,
            "It can end or stop any process that its user may signal; as root, any process of the host but the daemon's.",
        ),
        Surface::PtraceSession => (
            true,
            "Its processes read and change each other's memory, none outside; also code, so it runs code that it made, as with `jit = true`.",
        ),
        Surface::ControlAny => (
            true,
            "It can starve others: limits, priorities and processors of any process that its user may change, but the daemon's. What the kernel ends a process by (limits of processor time, file size, stack and memory; with `sys_nice` `sched_setattr`) needs `signal = \"any\"` besides.",
        ),
        Surface::Jit => (
            false,
            "It runs code that it made in memory, so `exec` limits programs and not what they do. `false` closes that only where no `ptrace = \"session\"`, no `userfaultfd = true` and no place that it may write and execute opens it again.",
        ),
        Surface::Core => (
            true,
            "Its crashes start the program that `core_pattern` names, as root and outside of the session.",
        ),
        Surface::IpcAny => (
            true,
            "It reads, changes and removes shared memory, semaphores and queues of others that its user may; as root, all.",
        ),
        Surface::Containers => (
            true,
            "It makes user namespaces, and in these has every capability (but `setfcap`, `mac_admin` and `mac_override`), namespaces of every kind, mounts of its own, and a network of its own that leads nowhere. It reaches more of the kernel's code by that, and no object that it did not reach before; modes hold it up no more at files whose owner and group its namespaces know, within the grant's rules.",
        ),
        Surface::Mount => (
            true,
            "With `namespaces` and `sys_admin` it mounts in namespaces of its own, which nobody else sees; what it mounts gives it no right that it did not have.",
        ),
        Surface::Namespaces => (
            true,
            "It can make and enter namespaces, and so reach more of the kernel's code; capabilities there are those of the grant.",
        ),
        Surface::Bpf => (
            true,
            "With the capability `bpf` it loads programs and, with `net_admin`, puts them in the way of packets of the whole host, where they can hold a processor for as long as they run, send packets elsewhere, and decide before those of others. What others loaded, pinned or attached it can neither open nor take away, Bailiff's too, but for a link that somebody hands to it. Programs that run while others act (kprobes, tracepoints, those of cgroups, schedulers) or call functions of the kernel, values that are kept at processes, files and sockets, test runs, and what no cgroup counts (maps of processors and of perf events, types by `BPF_BTF_LOAD`) stay shut.",
        ),
        Surface::Perf => (
            true,
            "It counts and samples its own processes, as far as `kernel.perf_event_paranoid` lets users without privileges: where it is 3 or more, as on Debian and Ubuntu, nothing. Others, whole processors, the kernel and probes stay shut, whatever capability it has and whatever the host lets everybody.",
        ),
        Surface::IoUring => (
            true,
            "It reaches a large part of the kernel's code that has had many faults; what it does by a ring is judged as otherwise.",
        ),
        Surface::Userfaultfd => (
            true,
            "It handles page faults of its own programs (`UFFD_USER_MODE_ONLY`; those of the kernel stay shut); it says what is in the pages of programs and libraries that it maps, so it runs code that it made, as with `jit = true`.",
        ),
        Surface::Keyrings => (
            true,
            "It reads and changes the keys of its user, such as those of network file systems and disks, and has the kernel start `/sbin/request-key` as root and outside of the session, for a key that it names.",
        ),
        Surface::Load => (
            true,
            "Nearly everything: with `sys_module` it runs its own code in the kernel, with `sys_boot` another kernel.",
        ),
        _ => (true, "This version has no words for it."),
    };
    Opens {
        setting: setting.turned_on(),
        sentence,
        more,
    }
}

fn of_capability(number: usize) -> Opens {
    let name = capabilities::NAMES[number];
    let (more, sentence) = match name {
        "chown" => (
            true,
            "It gives files away, and takes those that it may change by `attr`.",
        ),
        "dac_override" => (
            true,
            "Modes and owners of files hold it up no more; the grant's rules alone do.",
        ),
        "dac_read_search" => (
            true,
            "It reads any file and lists any directory that the grant's rules name, whatever their modes; opening by handle is judged by path as well.",
        ),
        "fowner" => (
            true,
            "It changes modes and attributes of files of others where the grant has `attr`.",
        ),
        "fsetid" => (
            true,
            "It leaves set-user-id and set-group-id programs: whoever runs one outside becomes its owner, root for what a session of root makes.",
        ),
        "kill" => (
            false,
            "Signals to processes of other users, within what `signal` says.",
        ),
        "setgid" => (
            true,
            "It becomes any group, and so has what files give that group, within the grant's rules.",
        ),
        "setuid" => (
            true,
            "It becomes any user, root too, and so has what files give that user, within the grant's rules.",
        ),
        "setpcap" => (
            false,
            "It gives up capabilities, and passes on those of the grant.",
        ),
        "linux_immutable" => (
            false,
            "It sets and clears `chattr +i` and `+a` where the grant has `attr`.",
        ),
        "net_bind_service" => (false, "It listens at ports below 1024."),
        "net_broadcast" => (false, "Nothing in present kernels."),
        "net_admin" => (
            true,
            "It changes the network of the whole host: addresses, routes, filters, promiscuous mode; takes the packet programs (XDP) of others off devices; and sends netlink messages to other processes. So its `[[net]]` rules hold it no more: by traffic control, packet programs or addresses that it adds, what goes to a destination that they allow arrives at one that they do not. What it sets stays when it has ended, for later sessions too. Socket options that get around routing stay shut.",
        ),
        "net_raw" => (
            true,
            "It sends from addresses that are not the host's, and binds sockets to any interface; raw and packet sockets need a rule besides.",
        ),
        "ipc_lock" => (
            true,
            "It takes memory that is never swapped out, without limit.",
        ),
        "ipc_owner" => (
            true,
            "Modes of System V queues, semaphores and shared memory hold it up no more.",
        ),
        "sys_module" => (
            true,
            "With `load = true` it runs its own code in the kernel; without, nothing.",
        ),
        "sys_rawio" => (
            true,
            "With a granted disk it sends raw commands to it, past every file; ports and memory of the machine need `load = true` besides.",
        ),
        "sys_chroot" => (
            false,
            "It changes its root directory; rules are about what files are, not about names below a root.",
        ),
        "sys_ptrace" => (
            false,
            "It traces processes of other users, within what `ptrace` says.",
        ),
        "sys_pacct" => (
            true,
            "It turns process accounting of the host off, or on to a file that it may write; it stays so when it has ended.",
        ),
        "sys_admin" => (
            true,
            "Nearly everything that root may do: swap, quotas, disks, the host's name, and what has no switch of its own. What `mount`, `namespaces`, `bpf`, `perf` and `load` leave shut stays shut.",
        ),
        "sys_boot" => (
            true,
            "It restarts or halts the host; another kernel needs `load = true` besides.",
        ),
        "sys_nice" => (
            true,
            "It takes the processors for itself by real-time scheduling, and so starves the host.",
        ),
        "sys_resource" => (
            true,
            "It passes limits of processes, disk reserves and quotas, and can fill what they protect.",
        ),
        "sys_time" => (
            true,
            "It sets the clock of the host: logs, certificates and timers of everybody. What it makes while the clock is turned bears a false date, so that later sessions may trust its links and grants as if it had not made them. From its start to the next start of the daemon, whatever is recorded is dated and kept as if nobody had set the clock, also to the right time; but its pace, which can be set by a tenth, is that of the record too.",
        ),
        "sys_tty_config" => (
            true,
            "It hangs up terminals and configures those that it has open, where others are in front only with `control = \"any\"`. What keys do at all consoles, and which one is shown, stays shut.",
        ),
        "mknod" => (
            true,
            "Nearly everything: where it may create, read and write, it makes files that are any disk or memory of the host.",
        ),
        "lease" => (
            true,
            "It takes leases on files of others that it may open, and so holds up who opens them.",
        ),
        "audit_write" => (
            true,
            "Nothing: the netlink socket that it needs has no rule yet.",
        ),
        "audit_control" => (
            true,
            "Where a rule lets it write `/proc/*/loginuid`, it gives itself another user's login in the host's audit records. The netlink socket by which auditing is turned off has no rule yet.",
        ),
        "setfcap" => (
            true,
            "It gives programs capabilities where the grant has `attr`; sessions gain none by them, others do.",
        ),
        "mac_override" => (true, "It passes the rules of Smack, where the host has it."),
        "mac_admin" => (
            true,
            "It changes the rules of other security modules, such as AppArmor, where their files are granted.",
        ),
        "syslog" => (
            true,
            "It reads and clears the log of the kernel, addresses of the kernel included.",
        ),
        "wake_alarm" => (false, "It sets timers that wake the host up."),
        "block_suspend" => (false, "It keeps the host from suspending."),
        "audit_read" => (
            true,
            "It reads the audit log; the netlink socket that it needs has no rule yet.",
        ),
        "perfmon" => (
            true,
            "With `bpf = true` its programs read memory of the kernel and of every process; without, nothing.",
        ),
        "bpf" => (true, "With `bpf = true`, what that says; without, nothing."),
        "checkpoint_restore" => (
            true,
            "It chooses the numbers of its processes, and reads memory maps of processes that it may trace.",
        ),
        _ => (true, "This version has no words for it."),
    };
    Opens {
        setting: format!("capabilities = [\"{name}\"]"),
        sentence,
        more,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So that nobody adds a switch or a capability without saying what it opens.
    #[test]
    fn everything_has_words_and_a_row_in_the_reference() {
        let reference = include_str!("../../docs/grants.md");
        for opens in all() {
            assert_ne!(
                opens.sentence, "This version has no words for it.",
                "{}",
                opens.setting
            );
            let row = format!("| `{}` | {} |", opens.setting, opens.sentence);
            assert!(
                reference.contains(&row),
                "docs/grants.md lacks this row:\n{row}"
            );
        }
    }
}
