//! Kernel structures: opaque types, and typed loads at offsets that the daemon fills in.
//!
//! A load goes straight through a pointer that the verifier knows the BTF type of; a bad pointer
//! reads as zero (`PROBE_MEM`), it does not fault. The offsets are `.rodata`, frozen at load, so
//! the verifier sees constants.

use core::{cell::UnsafeCell, ffi::c_void, ptr::read_volatile};

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
    /// `struct cred`
    Credentials;
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

/// A value that the daemon fills in before loading, and that no one changes afterwards.
///
/// The cell keeps LLVM from taking the initial value for the value, and from storing another
/// constant that is equal to it in the same place. The section is one that aya freezes.
#[repr(transparent)]
pub struct Constant<T>(UnsafeCell<T>);

// SAFETY: nothing on this side writes to it.
unsafe impl<T> Sync for Constant<T> {}

impl<T: Copy> Constant<T> {
    #[inline(always)]
    fn get(&self) -> T {
        // SAFETY: a live static; volatile because the loader changes it after compilation.
        unsafe { read_volatile(self.0.get()) }
    }
}

/// Offset of one member; `u32::MAX` until it is filled in, which the verifier refuses.
pub type Field = Constant<u32>;

macro_rules! declare_fields {
    ($($name:ident = $($part:literal),+;)*) => { $(
        #[unsafe(no_mangle)]
        #[unsafe(link_section = ".rodata.constants")]
        pub static $name: Field = Constant(UnsafeCell::new(u32::MAX));
    )* };
}

agent_abi::for_each_kernel_field!(declare_fields);

/// Address of the kernel's `rename_lock`, whose sequence tells a stable walk.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".rodata.constants")]
static RENAME_LOCK: Constant<u64> = Constant(UnsafeCell::new(0));

/// 1 where the verifier lets helpers take what was loaded through `file::f_path`.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".rodata.constants")]
static FILE_PATH_TRUSTED: Constant<u32> = Constant(UnsafeCell::new(0));

/// Whether helpers may be given an inode that was found through an open file's path. A constant to
/// the verifier, which does not look at what it rules out.
#[inline(always)]
pub fn file_path_is_trusted() -> bool {
    FILE_PATH_TRUSTED.get() == 1
}

/// Loads the member `field` of the structure at `base`.
///
/// # Safety
/// `base` is a pointer that the verifier accepts for a direct load (a hook's argument, or what
/// was loaded from one), and `T` is the member's type.
#[inline(always)]
pub unsafe fn load<B, T: Copy>(base: *const B, field: &'static Field) -> T {
    // SAFETY: `field` is a live static; the member read is the caller's promise, and the verifier
    // checks it again against the kernel's BTF.
    unsafe { read_volatile(base.byte_add(offset(field)).cast::<T>()) }
}

/// The offset that `field` holds.
#[inline(always)]
pub fn offset(field: &'static Field) -> usize {
    field.get() as usize
}

/// Where the sequence of `rename_lock` stands.
#[inline(always)]
pub fn rename_lock() -> u64 {
    RENAME_LOCK.get()
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
    unsafe { is_null_at(base.byte_add(offset(field)).cast()) }
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
