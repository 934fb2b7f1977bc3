//! Kernel structures: opaque types, and typed loads at offsets that the daemon fills in.
//!
//! A load goes straight through a pointer that the verifier knows the BTF type of; a bad pointer
//! reads as zero (`PROBE_MEM`), it does not fault. An offset is an operand of the instruction
//! itself, see [`agent_abi::relocation`].

use core::{arch::asm, ffi::c_void};

use agent_abi::relocation::{ARGUMENT, DISTANCE, MEMBER, READ_ONLY_CAST, VALUE, Value, ZERO};

pub(crate) use agent_decide::opaque;
use aya_ebpf::{EbpfContext, helpers::generated::bpf_probe_read_kernel, programs::LsmContext};

macro_rules! opaque {
    ($($(#[$doc:meta])* $name:ident;)*) => { $(
        $(#[$doc])*
        #[repr(C)]
        pub(crate) struct $name { _opaque: [u8; 0] }
    )* };
}

opaque! {
    /// `struct task_struct`
    Task;
    /// `struct cred`
    Credentials;
    /// `struct bpf_iter_meta`
    IterMeta;
    /// `struct seq_file`
    SeqFile;
    /// `struct css_set`
    CssSet;
    /// `struct cgroup`
    Cgroup;
    /// `struct cgroup_root`
    CgroupRoot;
    /// `struct cgroup_subsys_state`
    Css;
    /// `struct kernfs_node`
    KernfsNode;
    /// `struct file`
    File;
    /// `struct path`
    Path;
    /// `struct vfsmount`
    VfsMount;
    /// `struct dentry`
    Dentry;
    /// `struct inode`
    Inode;
    /// `struct super_block`
    SuperBlock;
    /// `struct file_system_type`
    FilesystemType;
    /// `struct fs_context`
    FsContext;
    /// `struct nsproxy`
    Namespaces;
    /// `struct mnt_namespace`
    MountNamespace;
    /// `struct cgroup_namespace`
    CgroupNamespace;
    /// `struct user_namespace`
    UserNamespace;
    /// `struct signal_struct`
    Signals;
    /// `struct pt_regs`
    Registers;
    /// `struct bpf_map`
    BpfMap;
    /// `struct bpf_prog`
    BpfProgram;
    /// `struct bpf_prog_aux`
    BpfProgramDetails;
    /// `struct io_uring_cmd`
    RingCommand;
    /// `struct linux_binprm`
    Bprm;
    /// `struct vm_area_struct`
    Vma;
    /// `struct socket`
    Socket;
    /// `struct sock`
    Sock;
    /// `struct unix_sock`
    UnixSock;
    /// `struct net`
    Net;
    /// `struct inet_hashinfo`
    HashInfo;
    /// `struct sockaddr`, any family
    SockAddr;
    /// `struct msghdr`
    MsgHdr;
    /// `struct iattr`
    Changes;
    /// `struct qstr`
    Qstr;
    /// `struct nameidata`: a path lookup under way
    NameiData;
    /// `struct bpf_local_storage`
    LocalStorage;
    /// `struct bpf_local_storage_data`
    LocalStorageData;
}

/// A member of a kernel structure: the one with this index in the table of `agent_abi`.
pub(crate) struct Field<const INDEX: u16>;

macro_rules! declare_fields {
    ($($name:ident = $($part:literal),+;)*) => {
        #[repr(u16)]
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        enum Index { $($name),* }
        $( pub(crate) static $name: Field<{ Index::$name as u16 }> = Field; )*
    };
}

agent_abi::for_each_kernel_field!(declare_fields);

/// Loads the member `field` of the structure at `base`; each call loads anew.
///
/// # Safety
/// `base` is a pointer that the verifier accepts for a direct load (a hook's argument, or what
/// was loaded from one), and `T` is the member's type.
#[inline(always)]
pub(crate) unsafe fn load<const INDEX: u16, B, T: Copy>(base: *const B, _: &Field<INDEX>) -> T {
    const { assert!(size_of::<T>().is_power_of_two() && size_of::<T>() <= 8) };
    let value: u64;
    // SAFETY: one load, of a member as the caller promises; the daemon fills in the offset, and
    // the verifier checks it against the kernel's BTF. `value` holds a `T`: the order of bytes is
    // little-endian.
    unsafe {
        match size_of::<T>() {
            1 => asm!("{0} = *(u8 *)({1} + {2})", out(reg) value, in(reg) base,
                const MEMBER as i64 + INDEX as i64, options(nostack, readonly)),
            2 => asm!("{0} = *(u16 *)({1} + {2})", out(reg) value, in(reg) base,
                const MEMBER as i64 + INDEX as i64, options(nostack, readonly)),
            4 => asm!("{0} = *(u32 *)({1} + {2})", out(reg) value, in(reg) base,
                const MEMBER as i64 + INDEX as i64, options(nostack, readonly)),
            _ => asm!("{0} = *(u64 *)({1} + {2})", out(reg) value, in(reg) base,
                const MEMBER as i64 + INDEX as i64, options(nostack, readonly)),
        }
        core::mem::transmute_copy(&value)
    }
}

/// [`load`] of a pointer, into the register that functions return in.
///
/// # Safety
/// As for [`load`].
#[inline(always)]
pub(crate) unsafe fn load_to_return<const INDEX: u16, B, T>(
    base: *const B,
    _: &Field<INDEX>,
) -> *const T {
    let pointer;
    // SAFETY: as in `load`.
    unsafe {
        asm!("r0 = *(u64 *)({base} + {operand})", base = in(reg) base,
            operand = const MEMBER as i64 + INDEX as i64, lateout("r0") pointer,
            options(nostack, readonly));
    }
    pointer
}

/// An argument of a hook that stands at different positions: the one with this index in the table of
/// `agent_abi`.
pub(crate) struct Argument<const INDEX: u16>;

macro_rules! declare_arguments {
    ($($name:ident = $hook:literal, $argument:literal;)*) => {
        #[repr(u16)]
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        enum Place { $($name),* }
        $( pub(crate) static $name: Argument<{ Place::$name as u16 }> = Argument; )*
    };
}

agent_abi::for_each_hook_argument!(declare_arguments);

/// The pointer that is this argument of the hook that `ctx` belongs to.
#[inline(always)]
pub(crate) fn argument<const INDEX: u16, T>(ctx: &LsmContext, _: &Argument<INDEX>) -> *const T {
    let value;
    // SAFETY: one load from the context, whose place the daemon fills in; the verifier knows the
    // type of what is there.
    unsafe {
        asm!("{0} = *(u64 *)({1} + {2})", out(reg) value, in(reg) ctx.as_ptr(),
            const ARGUMENT as i64 + INDEX as i64, options(nostack, readonly));
    }
    value
}

/// Address of the member `field` of the structure at `base`.
#[inline(always)]
pub(crate) fn member<const INDEX: u16, B>(base: *const B, _: &Field<INDEX>) -> *const c_void {
    let address;
    // SAFETY: an addition; the daemon fills in the offset.
    unsafe {
        asm!("{0} += {1}", inlateout(reg) base => address,
            const DISTANCE as i64 + INDEX as i64, options(pure, nomem, nostack));
    }
    address
}

/// The structure whose member `field` is at `inner`.
#[inline(always)]
pub(crate) fn container<const INDEX: u16, B>(inner: *const B, _: &Field<INDEX>) -> *const c_void {
    let address;
    // SAFETY: a subtraction; the daemon fills in the offset.
    unsafe {
        asm!("{0} += {1}", inlateout(reg) inner => address,
            const -(DISTANCE as i64 + INDEX as i64), options(pure, nomem, nostack));
    }
    address
}

macro_rules! value {
    ($name:ident) => {{
        let value: u64;
        // SAFETY: a constant.
        unsafe {
            asm!("{0} = {1} ll", out(reg) value, const VALUE + Value::$name as u64,
                options(pure, nomem, nostack));
        }
        value
    }};
}

/// Where the sequence of `rename_lock` stands.
#[inline(always)]
pub(crate) fn rename_lock() -> u64 {
    value!(RenameLock)
}

/// Whether helpers may be given an inode that was found through an open file's path. A constant to
/// the verifier, which does not look at what it rules out.
#[inline(always)]
pub(crate) fn file_path_is_trusted() -> bool {
    value!(FilePathTrusted) == 1
}

/// Whether [`number_at`] costs no more than a load.
#[inline(always)]
pub(crate) fn numbers_are_cheap() -> bool {
    value!(NumberType) != 0
}

/// Whether the kernel frees the storage of a process whose fork fails; see [`crate::forking`]. A constant, as above.
#[inline(always)]
pub(crate) fn forks_free_storage() -> bool {
    value!(ForksFreeStorage) != 0
}

/// [`number_at`], by way of `room` where it has to be copied.
///
/// # Safety
/// `room` is eight bytes of a live map value.
#[inline(always)]
pub(crate) unsafe fn number_at_by(address: *const c_void, room: *mut u64) -> u64 {
    if numbers_are_cheap() {
        return number_at(address);
    }
    // SAFETY: the caller's promise.
    unsafe {
        room.write(0);
        bpf_probe_read_kernel(room.cast(), 8, address);
        room.read_volatile()
    }
}

/// The 64 bits at `address`; zero where it cannot be read. For what the verifier knows no type of.
#[inline(always)]
pub(crate) fn number_at(address: *const c_void) -> u64 {
    let mut number = 0_u64;
    if !numbers_are_cheap() {
        // SAFETY: a live local of that size; a bad address leaves it zero.
        unsafe { bpf_probe_read_kernel((&raw mut number).cast(), 8, address) };
        return number;
    }
    let kind = value!(NumberType);
    // SAFETY: a call that only changes what the verifier takes its argument for, then one load,
    // which reads as zero where there is nothing (`PROBE_MEM`).
    unsafe {
        asm!("call {cast}", "{0} = *(u64 *)(r0 + 0)", out(reg) number,
            cast = const READ_ONLY_CAST, in("r1") address, in("r2") kind,
            out("r0") _, lateout("r1") _, lateout("r2") _, out("r3") _, out("r4") _, out("r5") _,
            options(nostack, readonly));
    }
    number
}

/// 0, for a pointer that is known to be NULL and stands in the register that functions return in: at the
/// price of one instruction at most, see [`ZERO`].
#[inline(always)]
pub(crate) fn zero_from_null<T>(null: *const T) -> i32 {
    let zero: u64;
    // SAFETY: a move, or nothing.
    unsafe {
        asm!("r0 = {operand}", operand = const ZERO, inlateout("r0") null => zero,
            options(pure, nomem, nostack));
    }
    zero as i32
}

/// Whether the pointer `field` of the structure at `base` is NULL.
///
/// Read as a number: verifiers from 6.5 on take some pointers for never NULL (a hook's arguments,
/// a dentry's inode) and drop a test of the pointer itself.
///
/// # Safety
/// `base` is a pointer to a live structure.
#[inline(always)]
pub(crate) unsafe fn is_null<const INDEX: u16, B>(base: *const B, field: &Field<INDEX>) -> bool {
    // SAFETY: the caller's promise.
    unsafe { is_null_at(member(base, field)) }
}

/// Whether the pointer at `place`, such as a hook's argument, is NULL.
///
/// # Safety
/// `place` is an address that the kernel can read.
#[inline(always)]
pub(crate) unsafe fn is_null_at(place: *const c_void) -> bool {
    number_at(place) == 0
}
