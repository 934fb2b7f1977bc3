//! Where a filesystem's number is looked for.
//!
//! The `SUPERBLOCKS` array has the kernel's device number of a filesystem at the index that is the
//! filesystem's number, and that index is one of a few that follow from the device number: a lookup
//! without a hash table, which would cost more than all the rest of a short walk.

use crate::limits::MAX_SUPERBLOCKS;

/// Value of the `SUPERBLOCKS` map: who has a number. All zeroes: nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Superblock {
    /// Kernel `s_dev` (major << 20 | minor).
    pub dev: u32,
    /// Tells filesystems that had this device number one after the other apart. Never used again
    /// while the host is up.
    pub instance: u32,
}

const _: () = assert!(size_of::<Superblock>() == 8);

/// `st_dev` as the kernel numbers it in [`Superblock::dev`]: 12 bits of major, 20 of minor. Userspace has it in
/// another order, for which only small numbers are the same (`new_encode_dev()`, `include/linux/kdev_t.h`; glibc's
/// `gnu_dev_makedev()`).
#[must_use]
pub const fn kernel_device(dev: u64) -> u32 {
    let major = (dev >> 8 & 0xfff) | (dev >> 32 & 0xffff_f000);
    let minor = (dev & 0xff) | (dev >> 12 & 0xffff_ff00);
    ((major & 0xfff) << 20 | (minor & 0xf_ffff)) as u32
}

/// Numbers that one device can have.
pub const CANDIDATES: u32 = 8;

/// The number of no filesystem of a session: what is found there last is refused by every image but
/// that of the daemon's self-check.
pub const NOBODY: u32 = 0;

/// A number that the device `dev` can have; `choice` is below [`CANDIDATES`]. If it is [`NOBODY`],
/// the device has one candidate less.
#[must_use]
#[inline(always)]
pub const fn candidate(dev: u32, choice: u32) -> u32 {
    // Minor numbers of one major number, and of filesystems without a device, follow one another.
    let (major, minor) = (dev >> 20, dev & 0xf_ffff);
    let home = minor.wrapping_mul(5).wrapping_add(major.wrapping_mul(89));
    home.wrapping_add(choice) & (MAX_SUPERBLOCKS as u32 - 1)
}
