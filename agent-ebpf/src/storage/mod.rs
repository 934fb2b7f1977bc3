//! Storage that the kernel keeps with its objects.

mod label;

use core::{ffi::c_void, marker::PhantomData};

use aya_ebpf::{
    bindings::{
        BPF_F_NO_PREALLOC, BPF_LOCAL_STORAGE_GET_F_CREATE,
        bpf_map_type::{
            BPF_MAP_TYPE_INODE_STORAGE, BPF_MAP_TYPE_SK_STORAGE, BPF_MAP_TYPE_TASK_STORAGE,
        },
    },
    helpers::generated::{
        bpf_inode_storage_get, bpf_sk_storage_get, bpf_task_storage_delete, bpf_task_storage_get,
    },
};

use crate::kernel::{Inode, Sock, Task};

const EBUSY: i64 = 16;

/// Storage that belongs to a kernel object of type `O` and is freed with it, which aya does not
/// wrap for LSM programs: at most one value of `T` per object.
#[repr(C)]
pub(crate) struct Storage<O, T, const MAP_TYPE: usize> {
    r#type: *const [i32; MAP_TYPE],
    key: *const i32,
    value: *const T,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; BPF_F_NO_PREALLOC as usize],
    _object: PhantomData<O>,
}

/// Minimum kernel: 5.11.
pub(crate) type TaskStorage<T> = Storage<Task, T, { BPF_MAP_TYPE_TASK_STORAGE as usize }>;
/// Minimum kernel: 5.10.
pub(crate) type InodeStorage<T> = Storage<Inode, T, { BPF_MAP_TYPE_INODE_STORAGE as usize }>;
/// Minimum kernel: 5.11 for LSM programs.
pub(crate) type SocketStorage<T> = Storage<Sock, T, { BPF_MAP_TYPE_SK_STORAGE as usize }>;

// SAFETY: a definition that the loader reads; the fields are never dereferenced.
unsafe impl<O, T, const MAP_TYPE: usize> Sync for Storage<O, T, MAP_TYPE> {}

impl<O, T, const MAP_TYPE: usize> Storage<O, T, MAP_TYPE> {
    pub(crate) const fn new() -> Self {
        Self {
            r#type: core::ptr::null(),
            key: core::ptr::null(),
            value: core::ptr::null(),
            max_entries: core::ptr::null(),
            map_flags: core::ptr::null(),
            _object: PhantomData,
        }
    }

    fn as_ptr(&self) -> *mut c_void {
        core::ptr::from_ref(self).cast_mut().cast()
    }

    /// The value of `object`, if it has one.
    #[inline(always)]
    pub(crate) fn get(&self, object: *const O) -> Option<*mut T> {
        self.call(object, 0)
    }

    /// The value of `object`, made from zeroes if it has none. `None`: no memory.
    #[inline(always)]
    pub(crate) fn get_or_create(&self, object: *const O) -> Option<*mut T> {
        self.call(object, BPF_LOCAL_STORAGE_GET_F_CREATE as u64)
    }

    #[inline(always)]
    fn call(&self, object: *const O, flags: u64) -> Option<*mut T> {
        let object = object.cast_mut();
        let nothing = core::ptr::null_mut();
        // SAFETY: the helper checks the object; the verifier checks that it is one.
        let value = unsafe {
            if MAP_TYPE == BPF_MAP_TYPE_TASK_STORAGE as usize {
                bpf_task_storage_get(self.as_ptr(), object.cast(), nothing, flags)
            } else if MAP_TYPE == BPF_MAP_TYPE_SK_STORAGE as usize {
                bpf_sk_storage_get(self.as_ptr(), object.cast(), nothing, flags)
            } else {
                bpf_inode_storage_get(self.as_ptr(), object.cast(), nothing, flags)
            }
        };
        (!value.is_null()).then_some(value.cast())
    }
}

impl<T> SocketStorage<T> {
    /// The address of the kernel's map.
    #[inline(always)]
    pub(crate) fn address(&self) -> u64 {
        self.as_ptr() as u64
    }
}

impl<T> TaskStorage<T> {
    /// Drops the value of `task`. False: it is still there, since another task is preempted in such a helper on
    /// this processor.
    #[inline(always)]
    pub(crate) fn delete(&self, task: *const Task) -> bool {
        // SAFETY: as in `call`.
        unsafe { bpf_task_storage_delete(self.as_ptr(), task.cast_mut().cast()) != -EBUSY }
    }
}
