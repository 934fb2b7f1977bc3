//! LSM hooks that no program of Bailiff attaches to, up to Linux 7.3, and why each need not be.
//!
//! Together with [`HOOKS`] this is every hook that the kernels of the test matrix have. A hook in
//! neither table is one that a newer kernel added and nobody has judged: `bailiff doctor` names it,
//! and a scenario fails on it. Whoever attaches to one takes it out of here; the build says so.

use super::{
    btf::Btf,
    hooks::{Attach, HOOKS},
};
use crate::api::doctor::{OtherHooks, UnattachedHook};

/// Why a hook need not be attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Because {
    /// It keeps what a security module stores with an object: made, copied, freed.
    Keeps,
    /// It is about labels and security contexts, which other modules give out.
    Labels,
    /// It cannot refuse, or comes when the act is done.
    Late,
    /// It asks for what others may see anyway: metadata, which grants do not judge.
    Asks,
    /// The process does it to itself, or with what was judged when it was opened or made, and it
    /// reaches nothing else.
    Own,
    /// Whatever it guards needs a capability, which `capable` refuses first.
    Capability(&'static str),
    /// This hook, or these, decide on every way to it.
    Decided(&'static str),
    /// Grants have no word for it yet; the threat model says so.
    Open(&'static str),
    /// A function of the BPF security module itself, named like its hooks.
    NoHook,
}

use Because::{Asks, Capability, Decided, Keeps, Labels, Late, NoHook, Open, Own};

/// The hooks, by name.
pub(super) const UNATTACHED: &[(&str, Because)] = &[
    ("audit_rule_free", Keeps),
    ("audit_rule_init", Capability("audit_control")),
    ("audit_rule_known", Labels),
    ("audit_rule_match", Labels),
    ("backing_file_alloc", Keeps),
    ("backing_file_free", Keeps),
    ("bdev_alloc_security", Keeps),
    ("bdev_free_security", Keeps),
    ("bdev_setintegrity", Labels),
    // Commands to /dev/binder, a device.
    ("binder_set_context_mgr", Decided("file_ioctl")),
    ("binder_transaction", Decided("file_ioctl")),
    ("binder_transfer_binder", Decided("file_ioctl")),
    ("binder_transfer_file", Decided("file_ioctl, file_receive")),
    ("bpf_map_alloc_security", Keeps),
    ("bpf_map_create", Decided("bpf")),
    ("bpf_map_free", Keeps),
    ("bpf_map_free_security", Keeps),
    ("bpf_prog_alloc_security", Keeps),
    ("bpf_prog_free", Keeps),
    ("bpf_prog_free_security", Keeps),
    ("bpf_prog_load", Decided("bpf")),
    ("bpf_token_capable", Decided("bpf")),
    ("bpf_token_cmd", Decided("bpf")),
    ("bpf_token_create", Decided("bpf")),
    ("bpf_token_free", Keeps),
    ("bprm_committed_creds", Late),
    ("bprm_committing_creds", Late),
    // Before the interpreters, at each of which `bprm_check_security` is asked.
    ("bprm_creds_for_exec", Decided("bprm_check_security")),
    // A program's file capabilities: what they give is asked for when it is used.
    ("bprm_creds_from_file", Decided("capable")),
    ("capget", Asks),
    ("capset", Decided("capable")),
    ("cred_alloc_blank", Keeps),
    ("cred_free", Keeps),
    ("cred_getlsmprop", Labels),
    ("cred_getsecid", Labels),
    ("cred_transfer", Keeps),
    ("current_getlsmprop_subj", Labels),
    ("current_getsecid_subj", Labels),
    ("d_instantiate", Late),
    ("dentry_create_files_as", Labels),
    ("dentry_init_security", Labels),
    ("file_alloc_security", Keeps),
    ("file_free_security", Keeps),
    // Every read and write: what may be done with a descriptor was decided at the open, and when
    // it was received.
    ("file_permission", Decided("file_open, file_receive")),
    ("file_post_open", Late),
    ("file_release", Keeps),
    ("file_set_fowner", Late),
    ("find_cgroup_shim", NoHook),
    ("fs_context_dup", Keeps),
    // A mount that the kernel makes below another (NFS, AFS), of what is there already.
    ("fs_context_submount", Keeps),
    ("func_proto", NoHook),
    ("get_retval_range", NoHook),
    ("getprocattr", Asks),
    ("getselfattr", Asks),
    ("has_d_inode_locked", NoHook),
    ("hook_returns_errno", NoHook),
    ("ib_alloc_security", Keeps),
    ("ib_endport_manage_subnet", Decided("file_open, file_ioctl")),
    ("ib_free_security", Keeps),
    ("ib_pkey_access", Decided("file_open, file_ioctl")),
    ("inet_conn_established", Late),
    // What arrives: the socket that listens is the session's own.
    ("inet_conn_request", Open("binding and listening")),
    ("inet_csk_clone", Late),
    ("init", NoHook),
    ("initramfs_populated", Late),
    ("inode_alloc_security", Keeps),
    ("inode_copy_up", Labels),
    ("inode_copy_up_xattr", Labels),
    // These see the layers below a stacked filesystem too, under names that no grant has. Without a
    // hook on the path only POSIX message queues come here, whose opening is judged.
    ("inode_create", Decided("path_mknod, file_open")),
    ("inode_file_getattr", Asks),
    ("inode_follow_link", Asks),
    ("inode_free_security", Keeps),
    ("inode_free_security_rcu", Keeps),
    ("inode_get_acl", Asks),
    ("inode_getattr", Asks),
    ("inode_getlsmprop", Labels),
    ("inode_getsecctx", Labels),
    ("inode_getsecid", Labels),
    ("inode_getsecurity", Labels),
    ("inode_getxattr", Asks),
    ("inode_init_security", Labels),
    ("inode_invalidate_secctx", Labels),
    // What the kernel takes from a file in the course of a write.
    ("inode_killpriv", Own),
    ("inode_link", Decided("path_link")),
    ("inode_listsecurity", Labels),
    ("inode_listxattr", Asks),
    ("inode_mkdir", Decided("path_mkdir")),
    ("inode_mknod", Decided("path_mknod")),
    ("inode_need_killpriv", Own),
    ("inode_notifysecctx", Labels),
    // Every directory of every look-up; what is done at the end of one is judged.
    ("inode_permission", Asks),
    ("inode_post_create_tmpfile", Late),
    ("inode_post_remove_acl", Late),
    ("inode_post_removexattr", Late),
    ("inode_post_set_acl", Late),
    ("inode_post_setattr", Late),
    ("inode_post_setxattr", Late),
    ("inode_readlink", Asks),
    ("inode_rename", Decided("path_rename")),
    ("inode_rmdir", Decided("path_rmdir")),
    ("inode_setintegrity", Labels),
    ("inode_setsecctx", Labels),
    ("inode_setsecurity", Decided("inode_setxattr")),
    ("inode_symlink", Decided("path_symlink")),
    // Whether to leave out the question for the capability: not answered, so it is asked.
    (
        "inode_xattr_skipcap",
        Decided("inode_setxattr, inode_removexattr"),
    ),
    ("ipc_getlsmprop", Labels),
    ("ipc_getsecid", Labels),
    ("is_sleepable_hook", NoHook),
    ("is_trusted", NoHook),
    ("ismaclabel", Labels),
    ("kernel_act_as", Labels),
    ("kernel_create_files_as", Labels),
    ("kernel_post_load_data", Late),
    ("kernel_post_read_file", Late),
    ("kernfs_init_security", Labels),
    ("key_free", Keeps),
    ("key_getsecurity", Labels),
    ("key_post_create_or_update", Late),
    ("lsmprop_to_secctx", Labels),
    // Memory at address 0.
    ("mmap_addr", Capability("sys_rawio")),
    // The layer's file below a mapping of a stacked filesystem.
    ("mmap_backing_file", Decided("mmap_file")),
    ("mptcp_add_subflow", Decided("socket_create")),
    ("msg_msg_alloc_security", Keeps),
    ("msg_msg_free_security", Keeps),
    ("msg_queue_associate", Decided("ipc_permission")),
    ("msg_queue_msgrcv", Decided("ipc_permission")),
    ("msg_queue_msgsnd", Decided("ipc_permission")),
    // Routing netlink alone can be opened, and asks for a capability whenever it changes anything.
    ("netlink_send", Decided("socket_create, capable")),
    // Paths are those of filesystems, whatever the root is.
    ("path_chroot", Capability("sys_chroot")),
    ("path_post_mknod", Late),
    ("perf_event_alloc", Keeps),
    ("perf_event_free", Keeps),
    ("perf_event_read", Decided("perf_event_open, file_receive")),
    ("perf_event_write", Decided("perf_event_open, file_receive")),
    ("quota_on", Capability("sys_admin")),
    // Changes need the capability; a user may ask for its own quota.
    ("quotactl", Capability("sys_admin")),
    ("release_secctx", Labels),
    ("req_classify_flow", Labels),
    ("sb_alloc_security", Keeps),
    ("sb_clone_mnt_opts", Labels),
    ("sb_eat_lsm_opts", Labels),
    ("sb_free_mnt_opts", Keeps),
    ("sb_free_security", Keeps),
    ("sb_mnt_opts_compat", Labels),
    ("sb_set_mnt_opts", Labels),
    ("sb_show_options", Asks),
    ("sb_statfs", Asks),
    ("sctp_assoc_established", Decided("socket_create")),
    ("sctp_assoc_request", Decided("socket_create")),
    ("sctp_bind_connect", Decided("socket_create")),
    ("sctp_sk_clone", Keeps),
    ("secctx_to_secid", Labels),
    ("secid_to_secctx", Labels),
    ("secmark_refcount_dec", Labels),
    ("secmark_refcount_inc", Labels),
    ("secmark_relabel_packet", Labels),
    ("sem_associate", Decided("ipc_permission")),
    ("sem_semop", Decided("ipc_permission")),
    // /proc/self/attr: another module's label of the process itself, for that module to judge.
    ("setprocattr", Labels),
    ("setselfattr", Labels),
    ("settime", Capability("sys_time")),
    ("shm_associate", Decided("ipc_permission")),
    ("shm_shmat", Decided("ipc_permission")),
    ("sk_alloc_security", Keeps),
    ("sk_clone_security", Keeps),
    ("sk_free_security", Keeps),
    ("sk_getsecid", Labels),
    ("sock_graft", Keeps),
    ("socket_accept", Open("binding and listening")),
    ("socket_getpeername", Asks),
    ("socket_getpeersec_dgram", Labels),
    ("socket_getpeersec_stream", Labels),
    ("socket_getsockname", Asks),
    ("socket_getsockopt", Asks),
    ("socket_post_create", Keeps),
    ("socket_recvmsg", Own),
    ("socket_shutdown", Own),
    ("socket_sock_rcv_skb", Own),
    ("socket_socketpair", Own),
    // Without `dmesg_restrict` everybody may read the kernel's log.
    ("task_fix_setgid", Capability("setgid")),
    ("task_fix_setgroups", Capability("setgid")),
    ("task_fix_setuid", Capability("setuid")),
    ("task_getioprio", Asks),
    ("task_getlsmprop_obj", Labels),
    ("task_getpgid", Asks),
    ("task_getscheduler", Asks),
    ("task_getsecid_obj", Labels),
    ("task_getsid", Asks),
    // Of the process itself; sharing a scheduling cookie with another asks `ptrace_access_check`.
    ("task_prctl", Own),
    // Asked before `task_setrlimit`, and for reading another's limits.
    ("task_prlimit", Decided("task_setrlimit")),
    ("task_to_inode", Late),
    ("tun_dev_alloc_security", Keeps),
    // Commands to /dev/net/tun, a device.
    ("tun_dev_attach", Decided("file_ioctl")),
    ("tun_dev_attach_queue", Decided("file_ioctl")),
    ("tun_dev_create", Decided("file_ioctl")),
    ("tun_dev_free_security", Keeps),
    ("tun_dev_open", Decided("file_ioctl")),
    ("unix_find", Decided("unix_stream_connect, unix_may_send")),
    // Every ring is an anonymous inode first.
    ("uring_allowed", Decided("inode_init_security_anon")),
    ("uring_sqpoll", Decided("inode_init_security_anon")),
    ("verify_prog", NoHook),
    // How much memory there is, not whose.
    ("vm_enough_memory", Own),
    ("xfrm_decode_session", Labels),
    ("xfrm_policy_alloc_security", Capability("net_admin")),
    ("xfrm_policy_clone_security", Keeps),
    ("xfrm_policy_delete_security", Capability("net_admin")),
    ("xfrm_policy_free_security", Keeps),
    ("xfrm_policy_lookup", Labels),
    ("xfrm_state_alloc", Capability("net_admin")),
    ("xfrm_state_alloc_acquire", Keeps),
    ("xfrm_state_delete_security", Capability("net_admin")),
    ("xfrm_state_free_security", Keeps),
    ("xfrm_state_pol_flow_match", Labels),
];

/// Whether two strings are the same, for the compiler.
const fn same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// How many hooks stand in both tables.
const fn contradictions() -> usize {
    let (mut found, mut row) = (0, 0);
    while row < UNATTACHED.len() {
        let mut hook = 0;
        while hook < HOOKS.len() {
            if matches!(HOOKS[hook].attach, Attach::Lsm)
                && same(HOOKS[hook].name, UNATTACHED[row].0)
            {
                found += 1;
            }
            hook += 1;
        }
        row += 1;
    }
    found
}

const _: () = assert!(
    contradictions() == 0,
    "a hook of hooks.rs is listed as unattached: take its row out of unattached.rs"
);

impl Because {
    /// In a few words.
    fn text(self) -> String {
        match self {
            Keeps => "keeps what a security module stores with an object".into(),
            Labels => "about labels of other security modules".into(),
            Late => "cannot refuse".into(),
            Asks => "metadata, which grants do not judge".into(),
            Own => "reaches nothing but the process and what is its own".into(),
            Capability(name) => format!("needs the capability {name}, which is refused first"),
            Decided(hooks) => format!("decided by {hooks}"),
            Open(what) => format!("grants do not judge this yet: {what}"),
            NoHook => "no hook".into(),
        }
    }
}

/// Looks through the running kernel's hooks.
pub(super) fn of_kernel(btf: &Btf) -> OtherHooks {
    let mut others = OtherHooks::default();
    for hook in btf.lsm_hooks() {
        let attached =
            |known: &&super::hooks::Hook| known.attach == Attach::Lsm && known.name == hook;
        if HOOKS.iter().any(|known| attached(&known)) {
            continue;
        }
        match UNATTACHED.iter().find(|(name, _)| *name == hook) {
            Some((_, NoHook)) => {}
            Some((hook, because)) => others.unattached.push(UnattachedHook {
                hook: (*hook).into(),
                because: because.text(),
                open: matches!(because, Open(_)),
            }),
            None => others.unknown.push(hook.to_owned()),
        }
    }
    others
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_names_hooks_that_decide() {
        let names = UNATTACHED.iter().map(|(name, _)| *name).collect::<Vec<_>>();
        assert!(names.is_sorted(), "{names:?}");
        for (name, because) in UNATTACHED {
            let Decided(hooks) = because else { continue };
            for hook in hooks.split(", ") {
                let known = HOOKS.iter().any(|known| known.name == hook);
                assert!(known, "{name} is decided by {hook}, which is not attached");
            }
        }
    }
}
