//! Members of kernel structures that hooks read.
//!
//! Their offsets differ between kernels; the daemon fills them into the code from the running
//! kernel's BTF before loading, see [`relocation`](crate::relocation). To read another member, add
//! a row here: both halves follow.

/// Calls `$callback!` with rows `NAME = "struct" . "member" . …;`.
///
/// The offset of the last member from the start of the first struct is what `NAME` stands for. A
/// member that was renamed has both names, with `|` between them; a name may be a way of its own, with
/// dots between its members.
#[macro_export]
macro_rules! for_each_kernel_field {
    ($callback:ident) => {
        $callback! {
            TASK_GROUP_LEADER = "task_struct", "group_leader";
            TASK_BPF_STORAGE = "task_struct", "bpf_storage";
            TASK_NAMEIDATA = "task_struct", "nameidata";
            NAMEIDATA_DENTRY = "nameidata", "path", "dentry";
            STORAGE_CACHE = "bpf_local_storage", "cache";
            STORAGE_LIST = "bpf_local_storage", "list";
            STORAGE_ELEMENT_NODE = "bpf_local_storage_elem", "snode";
            STORAGE_ELEMENT_DATA = "bpf_local_storage_elem", "sdata";
            STORAGE_DATA_MAP = "bpf_local_storage_data", "smap";
            STORAGE_DATA_VALUE = "bpf_local_storage_data", "data";
            TASK_PID = "task_struct", "pid";
            ITER_META_SEQ = "bpf_iter_meta", "seq";
            SIGNAL_TTY = "signal_struct", "tty";
            SIGNAL_LIVE = "signal_struct", "live";
            TASK_TGID = "task_struct", "tgid";
            TASK_STARTED = "task_struct", "start_boottime";
            TASK_MEMORY = "task_struct", "mm";
            MEMORY_PROGRAM = "mm_struct", "exe_file";
            TASK_REAL_PARENT = "task_struct", "real_parent";
            TASK_ATOMIC_FLAGS = "task_struct", "atomic_flags";
            TASK_CREDENTIALS = "task_struct", "cred";
            TASK_REAL_CREDENTIALS = "task_struct", "real_cred";
            TASK_FLAGS = "task_struct", "flags";
            TASK_CGROUPS = "task_struct", "cgroups";
            TASK_SIGNAL = "task_struct", "signal";
            TASK_THREAD_PID = "task_struct", "thread_pid";
            TASK_PID_LINKS = "task_struct", "pid_links";
            SIGNAL_PIDS = "signal_struct", "pids";
            PID_LEVEL = "pid", "level";
            PID_TASKS = "pid", "tasks";
            PID_NUMBERS = "pid", "numbers";
            CSS_SET_DEFAULT_CGROUP = "css_set", "dfl_cgrp";
            CGROUP_PARENT_CSS = "cgroup", "self", "parent";
            CSS_CGROUP = "cgroup_subsys_state", "cgroup";
            CGROUP_LEVEL = "cgroup", "level";
            CGROUP_KERNFS = "cgroup", "kn";
            CGROUP_ROOT = "cgroup", "root";
            CGROUP_ROOT_HIERARCHY = "cgroup_root", "hierarchy_id";
            KERNFS_ID = "kernfs_node", "id";
            FILE_DENTRY = "file", "f_path", "dentry";
            FILE_MOUNT = "file", "f_path", "mnt";
            MOUNT_VFSMOUNT = "mount", "mnt";
            MOUNT_NAMESPACE = "mount", "mnt_ns";
            FILE_INODE = "file", "f_inode";
            FILE_MODE = "file", "f_mode";
            FILE_FLAGS = "file", "f_flags";
            FILE_PRIVATE = "file", "private_data";
            TTY_FILE_TTY = "tty_file_private", "tty";
            TTY_LINK = "tty_struct", "link";
            TTY_GROUP = "tty_struct", "ctrl", "pgrp";
            TTY_SESSION = "tty_struct", "ctrl", "session";
            PROC_INODE = "proc_inode", "vfs_inode";
            PROC_PID = "proc_inode", "pid";
            TTY_DRIVER_DATA = "tty_struct", "driver_data";
            PATH_MOUNT = "path", "mnt";
            PATH_DENTRY = "path", "dentry";
            DENTRY_PARENT = "dentry", "d_parent";
            DENTRY_NAME = "dentry", "d_name", "name";
            DENTRY_NAME_LENGTH = "dentry", "d_name", "len";
            DENTRY_SHORT_NAME = "dentry", "d_iname|d_shortname";
            DENTRY_SEQUENCE = "dentry", "d_seq";
            DENTRY_INODE = "dentry", "d_inode";
            DENTRY_FLAGS = "dentry", "d_flags";
            DENTRY_PRIVATE = "dentry", "d_fsdata";
            DENTRY_SB = "dentry", "d_sb";
            INODE_INO = "inode", "i_ino";
            INODE_SB = "inode", "i_sb";
            INODE_MODE = "inode", "i_mode";
            INODE_FLAGS = "inode", "i_flags";
            INODE_RDEV = "inode", "i_rdev";
            INODE_CHANGED = "inode", "i_ctime|__i_ctime|i_ctime_sec";
            INODE_CHANGED_NS = "inode", "i_ctime.tv_nsec|__i_ctime.tv_nsec|i_ctime_nsec";
            MEMORY_FILE_INODE = "shmem_inode_info", "vfs_inode";
            MEMORY_FILE_SEALS = "shmem_inode_info", "seals";
            SB_DEV = "super_block", "s_dev";
            SB_ROOT = "super_block", "s_root";
            SB_MAGIC = "super_block", "s_magic";
            SB_FLAGS = "super_block", "s_flags";
            SB_TYPE = "super_block", "s_type";
            SB_USER_NAMESPACE = "super_block", "s_user_ns";
            FILESYSTEM_NAME = "file_system_type", "name";
            CONTEXT_TYPE = "fs_context", "fs_type";
            TASK_NAMESPACES = "task_struct", "nsproxy";
            NAMESPACES_MOUNT = "nsproxy", "mnt_ns";
            NAMESPACES_CGROUP = "nsproxy", "cgroup_ns";
            CGROUP_NAMESPACE_OWNER = "cgroup_namespace", "user_ns";
            TASK_FILES = "task_struct", "files";
            FILES_USERS = "files_struct", "count";
            FILES_TABLE = "files_struct", "fdt";
            FILE_TABLE_FILES = "fdtable", "fd";
            MOUNT_NAMESPACE_SEQUENCE = "mnt_namespace", "seq|ns.ns_id";
            MOUNT_NAMESPACE_NUMBER = "mnt_namespace", "ns", "inum";
            MOUNT_NAMESPACE_OWNER = "mnt_namespace", "user_ns";
            USER_NAMESPACE_NUMBER = "user_namespace", "ns", "inum";
            USER_NAMESPACE_PARENT = "user_namespace", "parent";
            USER_NAMESPACE_ID = "user_namespace", "ns.ns_id|parent";
            CREDENTIALS_NAMESPACE = "cred", "user_ns";
            MAP_VALUE_SIZE = "bpf_map", "value_size";
            PROGRAM_KIND = "bpf_prog", "type";
            PROGRAM_DETAILS = "bpf_prog", "aux";
            PROGRAM_FUNCTIONS = "bpf_prog_aux", "kfunc_tab";
            PROGRAM_MAPS = "bpf_prog_aux", "used_maps";
            PROGRAM_MAP_COUNT = "bpf_prog_aux", "used_map_cnt";
            RING_COMMAND_FILE = "io_uring_cmd", "file";
            REGISTERS_CALL = "pt_regs", "orig_ax";
            TASK_STATUS = "task_struct", "thread_info", "status";
            BPRM_FILE = "linux_binprm", "file";
            BPRM_FILENAME = "linux_binprm", "filename";
            BPRM_INTERPRETER = "linux_binprm", "interp";
            VMA_FILE = "vm_area_struct", "vm_file";
            VMA_ANON = "vm_area_struct", "anon_vma";
            SOCKET_SK = "socket", "sk";
            SOCK_FAMILY = "sock", "__sk_common", "skc_family";
            SOCK_PROTOCOL = "sock", "sk_protocol";
            SOCK_STATE = "sock", "__sk_common", "skc_state";
            SOCK_NET = "sock", "__sk_common", "skc_net", "net";
            SOCK_NODE = "sock", "__sk_common", "skc_nulls_node";
            SOCK_PORT = "sock", "__sk_common", "skc_num";
            SOCK_ADDRESS = "sock", "__sk_common", "skc_rcv_saddr";
            SOCK_ADDRESS_V6 = "sock", "__sk_common", "skc_v6_rcv_saddr";
            SOCK_STORAGE = "sock", "sk_bpf_storage";
            INET_SOURCE = "inet_sock", "inet_saddr";
            NET_MIX = "net", "hash_mix";
            NET_HASHINFO = "net", "ipv4", "tcp_death_row", "hashinfo";
            HASHINFO_LISTENERS = "inet_hashinfo", "lhash2";
            HASHINFO_LISTENERS_MASK = "inet_hashinfo", "lhash2_mask";
            BUCKET_HEAD = "inet_listen_hashbucket", "nulls_head";
            MSG_CONTROL = "msghdr", "msg_control";
            MSG_CONTROL_LENGTH = "msghdr", "msg_controllen";
            REGISTERS_FIRST = "pt_regs", "di";
            REGISTERS_FIRST_OF_32 = "pt_regs", "bx";
            REGISTERS_THIRD = "pt_regs", "dx";
            MSG_NAME = "msghdr", "msg_name";
            MSG_NAMELEN = "msghdr", "msg_namelen";
            UNIX_ADDRESS = "unix_sock", "addr";
            UNIX_DENTRY = "unix_sock", "path", "dentry";
            CHANGES_VALID = "iattr", "ia_valid";
            IPC_ID = "kern_ipc_perm", "id";
            IPC_KEY = "kern_ipc_perm", "key";
            QSTR_NAME = "qstr", "name";
        }
    };
}
