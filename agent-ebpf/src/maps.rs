//! Every map of the kernel side. Names, keys and values are those of `agent_abi`; the values that
//! this side alone reads are in [`crate::values`] and [`crate::scratch`].

use core::ffi::c_void;

use agent_abi::{
    Event, Image, Label,
    arrival::{Viewed, Waiting},
    attachment::{Attachments, MAX_CGROUP_PATH},
    census::{Census, Settling},
    daemon::DaemonProcess,
    event::EventRecord,
    forking::{Forks, Kept},
    launcher::{MAX_RUNTIMES, Runtime},
    ledger::{Count, LEDGER_ENTRIES},
    limits::{
        MAX_FORKING, MAX_IPC_OBJECTS, MAX_MADE, MAX_OWN, MAX_RELEASED, MAX_SESSIONS,
        MAX_SUPERBLOCKS, MAX_TAGGED, MAX_VIEWED, MAX_WAITING, NOTED_NUMBERS,
    },
    nested::Made,
    net::{NetEntries, NetKey},
    share::{ACCOUNTS, EVENTS_BYTES, NOTICES_BYTES, Share},
    superblock::Superblock,
    terminal::{Jobs, Owners, Unlocked},
};
use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    btf_maps::{Array, ArrayOfMaps, HashMap, LpmTrie, LruHashMap, RingBuf},
    macros::btf_map,
};

use crate::{
    kernel::opaque,
    scratch::Scratch,
    storage::{InodeStorage, SocketStorage, TaskStorage},
    values::{Remembered, SocketState},
};

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

/// Nonzero for a launcher.
#[btf_map]
pub(crate) static LAUNCHERS: InodeStorage<u64> = InodeStorage::new();

#[btf_map]
pub(crate) static RUNTIMES: Array<Runtime, MAX_RUNTIMES> = Array::new();

#[btf_map]
pub(crate) static VIEWED: LruHashMap<Viewed, u32, MAX_VIEWED> = LruHashMap::new();

#[btf_map]
pub(crate) static WAITING: HashMap<u32, Waiting, MAX_WAITING, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();

#[btf_map]
pub(crate) static ATTENDED: Array<u64, 2> = Array::new();

#[btf_map]
pub(crate) static QUEUES: InodeStorage<Label> = InodeStorage::new();

#[btf_map]
pub(crate) static SOCKETS: SocketStorage<SocketState> = SocketStorage::new();

#[btf_map]
pub(crate) static TERMINALS: InodeStorage<Owners> = InodeStorage::new();

/// The least recently used go first; more than any host has pseudo-terminals (4096).
#[btf_map]
pub(crate) static UNLOCKED: LruHashMap<u64, Unlocked, 8192> = LruHashMap::new();

#[btf_map]
pub(crate) static IMAGES: ArrayOfMaps<Array<Image, 1>, MAX_SESSIONS> = ArrayOfMaps::new();

#[btf_map]
pub(crate) static RELEASED: Array<u32, MAX_RELEASED> = Array::new();

#[btf_map]
pub(crate) static FORKING: HashMap<u64, Kept, MAX_FORKING, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();

/// Read as [`forking`](crate::forking) does, to which the loader gives this map too.
#[btf_map]
pub(crate) static FORKS: Array<Forks, 1> = Array::new();

#[btf_map]
pub(crate) static CGROUPS: HashMap<u64, Label, MAX_TAGGED> = HashMap::new();

#[btf_map]
pub(crate) static ATTACHMENTS: ArrayOfMaps<Array<Attachments, 1>, 1> = ArrayOfMaps::new();

/// The path of a cgroup that appears; `cgroup_mutex` lets one appear at a time.
#[btf_map]
pub(crate) static CGROUP_PATH: Array<[u8; MAX_CGROUP_PATH], 1> = Array::new();

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
pub(crate) static MADE: HashMap<u64, Made, MAX_MADE, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();

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
        || is((&raw const LAUNCHERS).cast())
        || is((&raw const RUNTIMES).cast())
        || is((&raw const VIEWED).cast())
        || is((&raw const WAITING).cast())
        || is((&raw const ATTENDED).cast())
        || is((&raw const QUEUES).cast())
        || is((&raw const SOCKETS).cast())
        || is((&raw const SETTLING).cast())
        || is((&raw const CENSUS).cast())
        || is((&raw const DAEMON).cast())
        || is((&raw const OWN).cast())
        || is((&raw const MADE).cast())
        || is((&raw const TERMINALS).cast())
        || is((&raw const UNLOCKED).cast())
        || is((&raw const IMAGES).cast())
        || is((&raw const RELEASED).cast())
        || is((&raw const FORKING).cast())
        || is((&raw const FORKS).cast())
        || is((&raw const CGROUPS).cast())
        || is((&raw const ATTACHMENTS).cast())
        || is((&raw const CGROUP_PATH).cast())
        || is((&raw const SUPERBLOCKS).cast())
        || is((&raw const NET).cast())
        || is((&raw const LEDGER).cast())
        || is((&raw const EVENTS).cast())
        || is((&raw const NOTICES).cast())
        || is((&raw const SHARES).cast())
        || is((&raw const TAKEN).cast())
}
