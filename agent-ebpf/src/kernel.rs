//! Kernel structures: opaque types, and typed loads at offsets that the daemon fills in.
//!
//! A load goes straight through a pointer that the verifier knows the BTF type of; a bad pointer
//! reads as zero (`PROBE_MEM`), it does not fault. The offsets are `.rodata`, frozen at load, so
//! the verifier sees constants.

use core::{ffi::c_void, ptr::read_volatile};

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;

macro_rules! opaque {
    ($($(#[$doc:meta])* $name:ident;)*) => { $(
        $(#[$doc])*
        #[repr(C)]
        pub struct $name { _opaque: [u8; 0] }
    )* };
}

opaque! {
    /// `struct task_struct`
    Task;
    /// `struct css_set`
    CssSet;
    /// `struct cgroup`
    Cgroup;
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
    /// `struct sockaddr`, any family
    SockAddr;
    /// `struct msghdr`
    MsgHdr;
    /// `struct qstr`
    Qstr;
}

/// Offset of one member; `u32::MAX` until the daemon fills it in, which the verifier refuses.
#[repr(transparent)]
pub struct Field(u32);

macro_rules! declare_fields {
    ($($name:ident = $($part:literal),+;)*) => { $(
        #[unsafe(no_mangle)]
        pub static $name: Field = Field(u32::MAX);
    )* };
}

agent_abi::for_each_kernel_field!(declare_fields);

/// Address of the kernel's `rename_lock`, whose sequence tells a stable walk.
#[unsafe(no_mangle)]
static RENAME_LOCK: u64 = 0;

/// Loads the member `field` of the structure at `base`.
///
/// # Safety
/// `base` is a pointer that the verifier accepts for a direct load (a hook's argument, or what
/// was loaded from one), and `T` is the member's type.
#[inline(always)]
pub unsafe fn load<B, T: Copy>(base: *const B, field: &'static Field) -> T {
    // SAFETY: `field` is a live static; the member read is the caller's promise, and the verifier
    // checks it again against the kernel's BTF.
    unsafe {
        let offset = read_volatile(&raw const field.0);
        read_volatile(base.byte_add(offset as usize).cast::<T>())
    }
}

/// The offset that `field` holds.
#[inline(always)]
pub fn offset(field: &'static Field) -> usize {
    // SAFETY: a live static; volatile because the loader changes it after compilation.
    unsafe { read_volatile(&raw const field.0) as usize }
}

/// Where the sequence of `rename_lock` stands.
#[inline(always)]
pub fn rename_lock() -> u64 {
    // SAFETY: a live static; volatile because the loader changes it after compilation.
    unsafe { read_volatile(&raw const RENAME_LOCK) }
}

/// Whether the pointer `field` of the structure at `base` is NULL.
///
/// Read as a number: verifiers from 6.5 on take some pointers for never NULL (a hook's arguments,
/// a dentry's inode) and drop a test of the pointer itself.
///
/// # Safety
/// `base` is a pointer to a live structure.
#[inline(always)]
pub unsafe fn is_null<B>(base: *const B, field: &'static Field) -> bool {
    // SAFETY: as in `load`.
    unsafe {
        let offset = read_volatile(&raw const field.0);
        is_null_at(base.byte_add(offset as usize).cast())
    }
}

/// Whether the pointer at `place`, such as a hook's argument, is NULL.
///
/// # Safety
/// `place` is an address that the kernel can read.
#[inline(always)]
pub unsafe fn is_null_at(place: *const c_void) -> bool {
    let mut address = 0_u64;
    // SAFETY: a live local; a place that cannot be read leaves zero.
    unsafe { bpf_probe_read_kernel((&raw mut address).cast(), 8, place) };
    address == 0
}
