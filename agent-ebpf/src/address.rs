//! Places in the kernel's memory that are read as numbers: what the kernel's own lists lead to, which the
//! verifier knows no type of.

use core::ffi::c_void;

use crate::kernel::{Field, container, member, number_at, opaque};

/// An address. Where nothing can be read, reads give zero.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Address(u64);

impl Address {
    #[inline(always)]
    pub(crate) fn of<T>(pointer: *const T) -> Self {
        Self(pointer as u64)
    }

    #[inline(always)]
    pub(crate) fn at(address: u64) -> Self {
        Self(address)
    }

    #[inline(always)]
    pub(crate) fn is_null(self) -> bool {
        self.0 == 0
    }

    #[inline(always)]
    pub(crate) fn number(self) -> u64 {
        opaque(self.0)
    }

    /// Compared as numbers: LLVM may put equal pointers in each other's place, the verifier not.
    #[inline(always)]
    pub(crate) fn is(self, other: Self) -> bool {
        opaque(self.0) == opaque(other.0)
    }

    #[inline(always)]
    pub(crate) fn plus(self, bytes: u64) -> Self {
        Self(self.0.wrapping_add(bytes))
    }

    #[inline(always)]
    pub(crate) fn minus(self, bytes: u64) -> Self {
        Self(self.0.wrapping_sub(bytes))
    }

    /// The member of the structure that is here.
    #[inline(always)]
    pub(crate) fn member<const INDEX: u16>(self, field: &Field<INDEX>) -> Self {
        Self::of(member(self.pointer(), field))
    }

    /// The structure whose member is here.
    #[inline(always)]
    pub(crate) fn container<const INDEX: u16>(self, field: &Field<INDEX>) -> Self {
        Self::of(container(self.pointer(), field))
    }

    /// The 64 bits that are here.
    #[inline(always)]
    pub(crate) fn read(self) -> u64 {
        number_at(self.pointer())
    }

    /// Where the pointer that is here leads.
    #[inline(always)]
    pub(crate) fn follow(self) -> Self {
        Self(self.read())
    }

    #[inline(always)]
    fn pointer(self) -> *const c_void {
        opaque(self.0) as *const c_void
    }
}
