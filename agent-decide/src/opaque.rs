//! Numbers whose origin the compiler is not to know.

/// Hides from LLVM where a number came from.
///
/// For the kernel side: LLVM would move a mask away from its use, or leave out a bound that follows from
/// another, and the verifier would lose it. Elsewhere it is the number itself.
#[must_use]
#[inline(always)]
pub fn opaque(value: u64) -> u64 {
    #[cfg(target_arch = "bpf")]
    {
        let result;
        // SAFETY: a register move to itself.
        unsafe {
            core::arch::asm!("{0} = {0}", inlateout(reg) value => result, options(pure, nomem, nostack));
        }
        result
    }
    #[cfg(not(target_arch = "bpf"))]
    value
}
