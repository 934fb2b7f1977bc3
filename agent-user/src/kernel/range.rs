//! Elements of arrays, many in one call.

use std::{
    cell::Cell,
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd},
};

use super::{
    error::KernelError,
    sys::{Map, Plain, bpf},
};

/// Minimum kernel: 5.6, for arrays.
const BPF_MAP_LOOKUP_BATCH: i64 = 24;
/// Minimum kernel: 5.6.
const BPF_MAP_UPDATE_BATCH: i64 = 26;

#[repr(C)]
struct BatchAttr {
    /// The key before the first; NULL for the beginning.
    after: u64,
    last: u64,
    keys: u64,
    values: u64,
    /// The kernel writes here how many it were.
    count: Cell<u32>,
    map: u32,
    element_flags: u64,
    flags: u64,
}

impl<V: Plain + Copy + Default> Map<u32, V> {
    /// The values of so many elements of an array, which has that many.
    pub(super) fn range(&self, first: u32, count: usize) -> Result<Vec<V>, KernelError> {
        let mut keys = vec![0_u32; count];
        let mut values = vec![V::default(); count];
        let before = first.checked_sub(1);
        let mut last = MaybeUninit::<u32>::zeroed();
        let attr = BatchAttr {
            after: before
                .as_ref()
                .map_or(0, |key| std::ptr::from_ref(key) as u64),
            last: last.as_mut_ptr() as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            ..self.batch(count)
        };
        let read = match bpf(BPF_MAP_LOOKUP_BATCH, &attr) {
            // All were read, and the end of the array was met (`generic_map_lookup_batch()`).
            Err(error)
                if error.raw_os_error() == Some(libc::ENOENT)
                    && attr.count.get() as usize == count =>
            {
                Ok(())
            }
            Ok(_) if attr.count.get() as usize != count => Err(io::ErrorKind::NotFound.into()),
            other => other.map(drop),
        };
        read.map_err(|source| self.error("read", source))?;
        Ok(values)
    }

    /// Gives elements from `first` on these values.
    pub(super) fn set_range(&self, first: u32, values: &[V]) -> Result<(), KernelError> {
        let keys = (first..).take(values.len()).collect::<Vec<_>>();
        let attr = BatchAttr {
            keys: keys.as_ptr() as u64,
            values: values.as_ptr() as u64,
            ..self.batch(values.len())
        };
        bpf(BPF_MAP_UPDATE_BATCH, &attr)
            .map(drop)
            .map_err(|source| self.error("write", source))
    }

    fn batch(&self, count: usize) -> BatchAttr {
        BatchAttr {
            after: 0,
            last: 0,
            keys: 0,
            values: 0,
            count: Cell::new(count as u32),
            map: self.data().fd().as_fd().as_raw_fd().unsigned_abs(),
            element_flags: 0,
            flags: 0,
        }
    }
}
