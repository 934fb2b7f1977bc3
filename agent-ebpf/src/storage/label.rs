//! The label that a task's storage holds.

use core::arch::asm;

use agent_abi::Label;

use super::TaskStorage;
use crate::{
    address::Address,
    kernel::{
        LocalStorage, LocalStorageData, STORAGE_CACHE, STORAGE_DATA_MAP, STORAGE_DATA_VALUE,
        STORAGE_ELEMENT_DATA, STORAGE_ELEMENT_NODE, STORAGE_LIST, TASK_BPF_STORAGE, Task, load,
        member, number_at, numbers_are_cheap, opaque,
    },
};

/// How often a label is given in vain.
const TRIES: u32 = 4;

/// Values of other programs that are passed by in search of a label.
const MAX_STORAGES: usize = 8;

impl TaskStorage<Label> {
    /// The label in a task's storage, where it is among the storage's recently used values and the
    /// kernel lets addresses be read cheaply. `None`: ask the helper, which costs four times as much.
    ///
    /// The kernel itself looks here first (`bpf_local_storage_lookup()`); which map a value is of
    /// stands next to it, and a value that is deleted leaves the cache before.
    #[inline(always)]
    pub(crate) fn peek(&self, storage: *const LocalStorage) -> Option<Label> {
        if !numbers_are_cheap() {
            return None;
        }
        // Which of the first places it has depends on the order in which the maps were made.
        self.peek_at(storage)
            .or_else(|| self.peek_at(storage.wrapping_byte_add(8)))
    }

    #[inline(always)]
    fn peek_at(&self, place: *const LocalStorage) -> Option<Label> {
        // SAFETY: a live task's storage, and what is loaded from it; where there is nothing, zero.
        unsafe {
            let data: *const LocalStorageData = load(place, &STORAGE_CACHE);
            let map: u64 = load(data, &STORAGE_DATA_MAP);
            if opaque(map) != opaque(self.as_ptr() as u64) {
                return None;
            }
            let label = number_at(member(data, &STORAGE_DATA_VALUE));
            Some(Label::from_bits(label))
        }
    }

    /// The label of a task that is known by its address alone, as bits; 0 where it has none. For what was
    /// found in the kernel's lists, which the helper takes for no task.
    ///
    /// Whatever else happens, the task must not go away: the caller is in a hook, and so between
    /// `rcu_read_lock()` and its end.
    #[inline(always)]
    pub(crate) fn find(&self, task: Address) -> u64 {
        let storage = task.member(&TASK_BPF_STORAGE).follow();
        if storage.is_null() {
            return 0;
        }
        let mut node = storage.member(&STORAGE_LIST).follow();
        let mut passed = 0;
        while passed < MAX_STORAGES {
            if node.is_null() {
                return 0;
            }
            let data = node
                .container(&STORAGE_ELEMENT_NODE)
                .member(&STORAGE_ELEMENT_DATA);
            if data.member(&STORAGE_DATA_MAP).read() == opaque(self.as_ptr() as u64) {
                return Label::from_bits(data.member(&STORAGE_DATA_VALUE).read()).bits();
            }
            node = node.follow();
            passed += 1;
        }
        0
    }

    /// What is in the storage of `task`, which tells whether it is a newborn's.
    #[inline(always)]
    pub(crate) fn bits(&self, task: *const Task) -> u64 {
        let Some(value) = self.get(task) else {
            return Label::NONE.bits();
        };
        // SAFETY: a live map value of this size, aligned to it; it lives as long as the program runs
        // (RCU).
        unsafe { value.cast::<u64>().read_volatile() }
    }

    /// Gives `task` a label; false: no memory.
    #[inline(always)]
    pub(crate) fn give(&self, task: *const Task, label: Label) -> bool {
        self.give_bits(task, label.bits())
    }

    /// The same for one that is being born. Tried again where the allocator has nothing at hand: it raises
    /// an interrupt for more itself (`irq_work_raise()` in kernel/bpf/memalloc.c), or waits for nobody's lock.
    #[inline(always)]
    pub(crate) fn give_newborn(&self, task: *const Task, bits: u64) -> bool {
        for _ in 0..TRIES {
            if self.give_bits(task, bits) {
                return true;
            }
        }
        false
    }

    /// The same for one that runs already and had `seen`, as it is kept. An armed label is given only if that
    /// is still so: who got one meanwhile may have executed a program, and keeps the one in force.
    #[inline(always)]
    pub(crate) fn give_over(&self, task: *const Task, seen: u64, label: Label) -> bool {
        if !label.is_armed() {
            return self.give_newborn(task, label.bits());
        }
        for _ in 0..TRIES {
            if let Some(value) = self.get_or_create(task) {
                exchange(value.cast(), seen, label.bits());
                return true;
            }
        }
        false
    }

    /// Puts a label back that was kept elsewhere: who has another keeps that.
    #[inline(always)]
    pub(crate) fn give_hidden(&self, task: *const Task, bits: u64) -> bool {
        for _ in 0..TRIES {
            if let Some(value) = self.get_or_create(task) {
                exchange(value.cast(), Label::NONE.bits(), bits);
                return true;
            }
        }
        false
    }

    #[inline(always)]
    fn give_bits(&self, task: *const Task, bits: u64) -> bool {
        let Some(value) = self.get_or_create(task) else {
            return false;
        };
        // SAFETY: as above. In one store: who reads meanwhile sees the old label or the new one.
        unsafe { value.cast::<u64>().write_volatile(bits) };
        true
    }
}

/// Puts `new` where `seen` is, in one step. Minimum kernel: 5.12.
#[inline(always)]
fn exchange(value: *mut u64, seen: u64, new: u64) {
    // SAFETY: an atomic operation on a live map value of this size, aligned to it.
    unsafe {
        asm!("r0 = cmpxchg_64({value} + 0, r0, {new})", value = in(reg) value, new = in(reg) new,
             inlateout("r0") seen => _, options(nostack));
    }
}
