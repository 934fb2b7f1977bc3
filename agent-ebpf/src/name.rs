//! A name in the dcache.

use core::ffi::c_void;

use crate::kernel::{
    DENTRY_NAME, DENTRY_NAME_LENGTH, DENTRY_SHORT_NAME, Dentry, load, member, number_at,
};

/// Bytes of a name that are kept in a register.
pub const HEAD: u32 = 8;

/// A name in the dcache: valid under RCU, as long as the program runs.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Name {
    pub address: u64,
    pub length: u64,
    /// The first [`HEAD`] bytes; what is beyond the name's end has no meaning.
    pub head: u64,
}

impl Name {
    /// The name of `dentry`; consistent if the dentry did not move meanwhile.
    ///
    /// # Safety
    /// `dentry` is one that the verifier accepts for a direct load.
    #[inline(always)]
    pub unsafe fn of(dentry: *const Dentry) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let address: u64 = load(dentry, &DENTRY_NAME);
            let length: u32 = load(dentry, &DENTRY_NAME_LENGTH);
            // Short names are in the dentry itself, where a load is cheaper.
            let head = if address == member(dentry, &DENTRY_SHORT_NAME) as u64 {
                load(dentry, &DENTRY_SHORT_NAME)
            } else {
                number_at(address as *const c_void)
            };
            Self {
                address,
                length: u64::from(length),
                head,
            }
        }
    }
}
