//! Places in the kernel side's code that the daemon fills in before it loads a program: offsets of
//! structure members and addresses, which differ between kernels.
//!
//! Each is an operand of an instruction that the compiler never makes of itself. They are operands
//! and not globals because a load from a global costs four instructions on every hook's path.
//! C has CO-RE relocations for this, which need a compiler that records them.

/// Operand `MEMBER + index` of a load: offset of the kernel member with that index in
/// [`for_each_kernel_field`](crate::for_each_kernel_field). Higher than the offset of anything that
/// the kernel side loads, and below the limit of the instruction's 16 bits.
pub const MEMBER: i16 = 0x7000;

/// Operand `ARGUMENT + index` of a load from a program's context: where the hook's argument with that
/// index in [`for_each_hook_argument`](crate::for_each_hook_argument) stands. Above every `MEMBER`.
pub const ARGUMENT: i16 = 0x7800;

/// Operand `DISTANCE + index` of an addition or subtraction: the same offset, as a number.
pub const DISTANCE: i32 = 0x7b1f_0000;

/// Operand `VALUE + index` of a 64-bit constant: one of [`Value`].
pub const VALUE: u64 = 0x7b1f_7b1f_7b1f_0000;

/// Operand of a call: the kernel's function `bpf_rdonly_cast` (6.2+). A kernel without it gets a move
/// of the first argument instead, which is what the call amounts to when it runs.
pub const READ_ONLY_CAST: i32 = 0x7b1f;

/// Operand of `r0 = ZERO`, where `r0` holds a pointer that is NULL. A kernel without
/// [`bpf_rdonly_cast`](READ_ONLY_CAST) gets no instruction instead: its verifier lets programs return
/// pointers (until 6.12), and there every one counts.
pub const ZERO: i32 = 0x7b1f_ffff;

/// Values that are no offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Value {
    /// Address of the kernel's `rename_lock`.
    RenameLock,
    /// 1 where the verifier lets helpers take what was loaded through `file::f_path`.
    FilePathTrusted,
    /// BTF number of a structure that begins with 64 bits; 0 where addresses cannot be cast.
    NumberType,
    /// 1 where the kernel frees the storage of a process whose fork fails.
    ForksFreeStorage,
}

/// How many values there are.
pub const VALUES: usize = 4;
