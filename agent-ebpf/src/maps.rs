//! Every map of the kernel side. Names, keys and values are those of `agent_abi`.

use core::{ffi::c_void, marker::PhantomData};

use agent_abi::{
    Event, Image, Label,
    census::{Census, Settling},
    daemon::DaemonProcess,
    event::EventRecord,
    ledger::{Count, LEDGER_ENTRIES},
    limits::{MAX_IPC_OBJECTS, MAX_OWN, MAX_SESSIONS, MAX_SUPERBLOCKS, NOTED_NUMBERS},
    net::{NetEntries, NetKey},
    share::{ACCOUNTS, EVENTS_BYTES, NOTICES_BYTES, Share},
    superblock::Superblock,
    terminal::{Jobs, Owners, Unlocked},
};
use aya_ebpf::{
    bindings::{
        BPF_F_NO_PREALLOC, BPF_LOCAL_STORAGE_GET_F_CREATE,
        bpf_map_type::{
            BPF_MAP_TYPE_INODE_STORAGE, BPF_MAP_TYPE_SK_STORAGE, BPF_MAP_TYPE_TASK_STORAGE,
        },
    },
    btf_maps::{Array, ArrayOfMaps, HashMap, LpmTrie, LruHashMap, RingBuf},
    helpers::generated::{
        bpf_inode_storage_get, bpf_sk_storage_get, bpf_task_storage_delete, bpf_task_storage_get,
    },
    macros::btf_map,
};

use crate::{
    address::Address,
    directory::Remembered,
    kernel::{
        Inode, LocalStorage, LocalStorageData, STORAGE_CACHE, STORAGE_DATA_MAP, STORAGE_DATA_VALUE,
        STORAGE_ELEMENT_DATA, STORAGE_ELEMENT_NODE, STORAGE_LIST, Sock, TASK_BPF_STORAGE, Task,
        load, member, number_at, numbers_are_cheap, opaque,
    },
    scratch::Scratch,
    sockets::State,
};

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
    const fn new() -> Self {
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
}

/// How often a label is given in vain.
const TRIES: u32 = 4;

/// Values of other programs that are passed by in search of a label.
const MAX_STORAGES: usize = 8;

impl TaskStorage<Label> {
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
}

impl TaskStorage<Label> {
    /// The label of `task`; that of no session where it has none.
    #[inline(always)]
    pub(crate) fn label(&self, task: *const Task) -> Label {
        Label::from_bits(self.bits(task))
    }

    /// The same as it is kept, which tells whether it is a newborn's.
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

impl<T> TaskStorage<T> {
    /// Drops the value of `task`.
    #[inline(always)]
    pub(crate) fn delete(&self, task: *const Task) {
        // SAFETY: as in `call`. Nothing to drop is not an error.
        unsafe { bpf_task_storage_delete(self.as_ptr(), task.cast_mut().cast()) };
    }
}

#[btf_map]
pub(crate) static LABELS: TaskStorage<Label> = TaskStorage::new();

#[btf_map]
pub(crate) static CONNECTIONS: SocketStorage<Label> = SocketStorage::new();

#[btf_map]
pub(crate) static SCRATCH: TaskStorage<Scratch> = TaskStorage::new();

#[btf_map]
pub(crate) static DIRECTORIES: InodeStorage<Remembered> = InodeStorage::new();

#[btf_map]
pub(crate) static OBJECTS: HashMap<u64, Label, MAX_IPC_OBJECTS, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();

#[btf_map]
pub(crate) static NUMBERS: Array<u32, NOTED_NUMBERS> = Array::new();

#[btf_map]
pub(crate) static JOBS: Array<Jobs, MAX_SESSIONS> = Array::new();

#[btf_map]
pub(crate) static QUEUES: InodeStorage<Label> = InodeStorage::new();

#[btf_map]
pub(crate) static SOCKETS: SocketStorage<State> = SocketStorage::new();

#[btf_map]
pub(crate) static TERMINALS: InodeStorage<Owners> = InodeStorage::new();

/// The least recently used go first; more than any host has pseudo-terminals (4096).
#[btf_map]
pub(crate) static UNLOCKED: LruHashMap<u64, Unlocked, 8192> = LruHashMap::new();

#[btf_map]
pub(crate) static IMAGES: ArrayOfMaps<Array<Image, 1>, MAX_SESSIONS> = ArrayOfMaps::new();

#[btf_map]
pub(crate) static CGROUPS: HashMap<u64, Label, MAX_SESSIONS> = HashMap::new();

#[btf_map]
pub(crate) static SETTLING: Array<Settling, 1> = Array::new();

#[btf_map]
pub(crate) static CENSUS: Array<Census, 1> = Array::new();

#[btf_map]
pub(crate) static DAEMON: Array<DaemonProcess, 1> = Array::new();

#[btf_map]
pub(crate) static SUPERBLOCKS: Array<Superblock, MAX_SUPERBLOCKS> = Array::new();

#[btf_map]
pub(crate) static OWN: HashMap<u32, u32, MAX_OWN> = HashMap::new();

#[btf_map]
pub(crate) static NET: LpmTrie<NetKey, NetEntries, 16384, { BPF_F_NO_PREALLOC as usize }> =
    LpmTrie::new();

#[btf_map]
pub(crate) static LEDGER: Array<Count, LEDGER_ENTRIES> = Array::new();

#[btf_map]
pub(crate) static EVENTS: RingBuf<EventRecord, EVENTS_BYTES> = RingBuf::new();

#[btf_map]
pub(crate) static NOTICES: RingBuf<Event, NOTICES_BYTES> = RingBuf::new();

#[btf_map]
pub(crate) static SHARES: Array<Share, ACCOUNTS> = Array::new();

#[btf_map]
pub(crate) static TAKEN: Array<u64, ACCOUNTS> = Array::new();

/// Whether this is the address of one of the maps here, which is what a program has for a map. To add a map,
/// add it here too, or sessions that may use `bpf(2)` reach it.
#[inline(always)]
pub(crate) fn is_own(map: u64) -> bool {
    let map = opaque(map);
    let is = |own: *const c_void| opaque(own as u64) == map;
    is((&raw const LABELS).cast())
        || is((&raw const CONNECTIONS).cast())
        || is((&raw const SCRATCH).cast())
        || is((&raw const DIRECTORIES).cast())
        || is((&raw const OBJECTS).cast())
        || is((&raw const NUMBERS).cast())
        || is((&raw const JOBS).cast())
        || is((&raw const QUEUES).cast())
        || is((&raw const SOCKETS).cast())
        || is((&raw const SETTLING).cast())
        || is((&raw const CENSUS).cast())
        || is((&raw const DAEMON).cast())
        || is((&raw const OWN).cast())
        || is((&raw const TERMINALS).cast())
        || is((&raw const UNLOCKED).cast())
        || is((&raw const IMAGES).cast())
        || is((&raw const CGROUPS).cast())
        || is((&raw const SUPERBLOCKS).cast())
        || is((&raw const NET).cast())
        || is((&raw const LEDGER).cast())
        || is((&raw const EVENTS).cast())
        || is((&raw const NOTICES).cast())
        || is((&raw const SHARES).cast())
        || is((&raw const TAKEN).cast())
}
