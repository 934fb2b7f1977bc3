//! `bpf(2)` for maps that aya has no type for: task storage keyed by pidfd, and values too large
//! to pass by value.

use std::{
    ffi::{CString, c_long},
    io,
    marker::PhantomData,
    mem::MaybeUninit,
    os::{
        fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use aya::maps::MapData;

use super::error::KernelError;

const BPF_MAP_CREATE: i64 = 0;
const BPF_MAP_LOOKUP_ELEM: i64 = 1;
const BPF_MAP_UPDATE_ELEM: i64 = 2;
const BPF_MAP_DELETE_ELEM: i64 = 3;
const BPF_MAP_GET_NEXT_KEY: i64 = 4;
const BPF_OBJ_PIN: i64 = 6;
const BPF_OBJ_GET: i64 = 7;
const BPF_PROG_GET_FD_BY_ID: i64 = 13;
const BPF_OBJ_GET_INFO_BY_FD: i64 = 15;
const BPF_BTF_LOAD: i64 = 18;
const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_MAP_TYPE_TASK_STORAGE: u32 = 29;
const BPF_F_NO_PREALLOC: u32 = 1;

/// Plain data that is exchanged with the kernel byte for byte.
///
/// # Safety
/// `repr(C)`, every bit pattern valid, no padding that matters.
pub(super) unsafe trait Plain: 'static {}

macro_rules! plain {
    ($($name:ty),+ $(,)?) => {
        // SAFETY: `repr(C)` structs of integers whose size the ABI crate asserts.
        $(unsafe impl Plain for $name {})+
    };
}

plain!(
    i32,
    u32,
    u64,
    agent_abi::Label,
    agent_abi::terminal::Jobs,
    agent_abi::launcher::Runtime,
    agent_abi::arrival::Viewed,
    agent_abi::arrival::Waiting,
    agent_abi::terminal::Owners,
    agent_abi::Image,
    agent_abi::attachment::Attachments,
    agent_abi::ledger::Count,
    agent_abi::census::Census,
    agent_abi::census::Settling,
    agent_abi::forking::Forks,
    agent_abi::superblock::Superblock,
    agent_abi::share::Share
);
plain!(
    agent_abi::net::NetKey,
    agent_abi::net::NetEntries,
    agent_abi::ImageHeader,
    PrefixKey
);

/// Key of a longest-prefix-match trie, as the kernel wants it.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(super) struct PrefixKey {
    pub(super) prefix_len: u32,
    pub(super) key: agent_abi::net::NetKey,
}

/// A map of the kernel side.
pub(super) struct Map<K, V> {
    name: &'static str,
    data: MapData,
    _types: PhantomData<fn(K, V)>,
}

#[repr(C)]
#[derive(Default)]
struct ElementAttr {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CreateAttr {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map: u32,
    numa_node: u32,
    name: [u8; 16],
    ifindex: u32,
    btf: u32,
    btf_key_type: u32,
    btf_value_type: u32,
}

#[repr(C)]
#[derive(Default)]
struct BtfAttr {
    blob: u64,
    log: u64,
    blob_size: u32,
    log_size: u32,
    log_level: u32,
    /// Zero: 6.1 refuses what it does not know, be it padding.
    reserved: u32,
}

#[repr(C)]
#[derive(Default)]
struct PinAttr {
    path: u64,
    fd: u32,
    flags: u32,
}

#[repr(C)]
struct InfoAttr {
    fd: u32,
    length: u32,
    info: u64,
}

#[repr(C)]
#[derive(Default)]
struct IdAttr {
    id: u32,
    next: u32,
    flags: u32,
}

impl<K: Plain, V: Plain> Map<K, V> {
    /// Opens the map that is pinned at `path`.
    pub(super) fn open(name: &'static str, path: &Path) -> Result<Self, KernelError> {
        let data = MapData::from_pin(path).map_err(|error| KernelError::Pin {
            path: path.into(),
            reason: error.to_string(),
        })?;
        let value_size = data.info().map_or(0, |info| info.value_size() as usize);
        // An array of maps holds descriptors, whatever its values are here.
        if value_size != size_of::<V>() && value_size != 4 {
            return Err(KernelError::Pin {
                path: path.into(),
                reason: format!(
                    "its values have {value_size} bytes, this version of Bailiff uses {}. End the \
                     sessions of the other version, then remove {}",
                    size_of::<V>(),
                    agent_abi::names::PIN_ROOT,
                ),
            });
        }
        Ok(Self {
            name,
            data,
            _types: PhantomData,
        })
    }

    /// Wraps a map that is open already.
    pub(super) fn from_data(name: &'static str, data: MapData) -> Self {
        Self {
            name,
            data,
            _types: PhantomData,
        }
    }

    /// The beginning of a value, as much as `P` holds.
    pub(super) fn get_prefix<P: Plain>(&self, key: &K) -> Result<Option<P>, KernelError> {
        const { assert!(size_of::<P>() <= size_of::<V>()) };
        let mut value = Box::<V>::new_zeroed();
        let attr = self.element(key, value.as_mut_ptr() as u64, 0);
        let found = self.found("look up", bpf(BPF_MAP_LOOKUP_ELEM, &attr))?;
        // SAFETY: the kernel filled a whole `V`, of which `P` is a prefix of plain data.
        Ok(found.then(|| unsafe { value.as_ptr().cast::<P>().read_unaligned() }))
    }

    /// A whole value that is too large for the stack.
    pub(super) fn get_boxed(&self, key: &K) -> Result<Option<Box<V>>, KernelError> {
        let mut value = Box::<V>::new_zeroed();
        let attr = self.element(key, value.as_mut_ptr() as u64, 0);
        let found = self.found("look up", bpf(BPF_MAP_LOOKUP_ELEM, &attr))?;
        // SAFETY: the kernel filled it; any bits are valid.
        Ok(found.then(|| unsafe { value.assume_init() }))
    }

    pub(super) fn data(&self) -> &MapData {
        &self.data
    }

    fn element(&self, key: &K, value: u64, flags: u64) -> ElementAttr {
        let map = self.data.fd().as_fd().as_raw_fd().unsigned_abs();
        ElementAttr {
            map,
            padding: 0,
            key: address(key),
            value,
            flags,
        }
    }

    /// The value of `key`.
    pub(super) fn get(&self, key: &K) -> Result<Option<V>, KernelError> {
        let mut value = MaybeUninit::<V>::zeroed();
        let attr = self.element(key, value.as_mut_ptr() as u64, 0);
        match self.found("look up", bpf(BPF_MAP_LOOKUP_ELEM, &attr))? {
            // SAFETY: the kernel filled the value; any bits are valid.
            true => Ok(Some(unsafe { value.assume_init() })),
            false => Ok(None),
        }
    }

    pub(super) fn set(&self, key: &K, value: &V) -> Result<(), KernelError> {
        self.set_raw(key, address(value))
    }

    /// Sets an entry of a map of maps.
    pub(super) fn set_map(&self, key: &K, inner: &OwnedFd) -> Result<(), KernelError> {
        let fd = inner.as_raw_fd();
        self.set_raw(key, address(&fd))
    }

    fn set_raw(&self, key: &K, value: u64) -> Result<(), KernelError> {
        let attr = self.element(key, value, 0);
        bpf(BPF_MAP_UPDATE_ELEM, &attr)
            .map(drop)
            .map_err(|source| self.error("write", source))
    }

    /// Deletes `key`; false if it was not there.
    pub(super) fn delete(&self, key: &K) -> Result<bool, KernelError> {
        let attr = self.element(key, 0, 0);
        self.found("delete", bpf(BPF_MAP_DELETE_ELEM, &attr))
    }

    /// Every key. A map that changes meanwhile may show a key twice or not at all.
    pub(super) fn keys(&self) -> Result<Vec<K>, KernelError> {
        let mut keys: Vec<K> = Vec::new();
        loop {
            let mut next = MaybeUninit::<K>::zeroed();
            let mut attr = ElementAttr {
                map: self.data.fd().as_fd().as_raw_fd().unsigned_abs(),
                key: keys.last().map_or(0, address),
                ..ElementAttr::default()
            };
            attr.value = next.as_mut_ptr() as u64;
            if !self.found("list", bpf(BPF_MAP_GET_NEXT_KEY, &attr))? {
                return Ok(keys);
            }
            // SAFETY: the kernel filled the key; any bits are valid.
            keys.push(unsafe { next.assume_init() });
        }
    }

    fn found(
        &self,
        operation: &'static str,
        result: io::Result<c_long>,
    ) -> Result<bool, KernelError> {
        match result {
            Ok(_) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
            Err(source) => Err(self.error(operation, source)),
        }
    }

    pub(super) fn error(&self, operation: &'static str, source: io::Error) -> KernelError {
        KernelError::Map {
            operation,
            map: self.name,
            source,
        }
    }
}

/// Makes an array of one element that holds `value`: an inner map of `IMAGES`.
///
/// It has type information because the template has: 6.1 compares what it found there
/// (`bpf_map_meta_equal()`), and "nothing found" is not "not looked".
pub(super) fn array_of_one<V: Plain>(
    name: &'static str,
    value: &V,
) -> Result<OwnedFd, KernelError> {
    let fd = create::<V>(
        name,
        CreateAttr {
            map_type: BPF_MAP_TYPE_ARRAY,
            max_entries: 1,
            ..CreateAttr::default()
        },
    )?;
    let key = 0_u32;
    let attr = ElementAttr {
        map: fd.as_raw_fd().unsigned_abs(),
        key: address(&key),
        value: address(value),
        ..ElementAttr::default()
    };
    bpf(BPF_MAP_UPDATE_ELEM, &attr).map_err(|source| KernelError::Map {
        operation: "write",
        map: name,
        source,
    })?;
    Ok(fd)
}

/// Makes a storage of one `V` for each task.
pub(super) fn task_storage<V: Plain>(name: &'static str) -> Result<OwnedFd, KernelError> {
    create::<V>(
        name,
        CreateAttr {
            map_type: BPF_MAP_TYPE_TASK_STORAGE,
            map_flags: BPF_F_NO_PREALLOC,
            ..CreateAttr::default()
        },
    )
}

/// Makes a map with keys of 32 bits and values of type `V`, and with BTF that says so.
fn create<V: Plain>(name: &'static str, attr: CreateAttr) -> Result<OwnedFd, KernelError> {
    let failed = |operation| {
        move |source| KernelError::Map {
            operation,
            map: name,
            source,
        }
    };
    let value_size = u32::try_from(size_of::<V>()).unwrap_or(u32::MAX);
    let types = load_types(value_size).map_err(failed("describe the values"))?;
    let mut attr = CreateAttr {
        key_size: 4,
        value_size,
        btf: types.as_raw_fd().unsigned_abs(),
        btf_key_type: 1,
        btf_value_type: 4,
        ..attr
    };
    // The last byte stays zero.
    for (to, from) in attr.name[..15].iter_mut().zip(name.bytes()) {
        *to = from;
    }
    bpf(BPF_MAP_CREATE, &attr)
        .and_then(owned)
        .map_err(failed("create"))
}

/// BTF of four types: 1 is `u32`, 2 is `u8`, 3 is an array of `size` of the second, 4 is a struct
/// around it.
fn load_types(size: u32) -> io::Result<OwnedFd> {
    const INT: u32 = 1 << 24;
    const ARRAY: u32 = 3 << 24;
    const STRUCT: u32 = 4 << 24;
    let types = [
        [1, INT, 4, 32].as_slice(),
        &[1, INT, 1, 8],
        &[0, ARRAY, 0, 2, 1, size],
        &[1, STRUCT | 1, size, 1, 3, 0],
    ]
    .concat();
    let strings = b"\0int\0";
    let types_size = u32::try_from(4 * types.len()).unwrap_or(u32::MAX);
    let strings_size = u32::try_from(strings.len()).unwrap_or(u32::MAX);
    // magic and version, header length, types at 0, strings after them
    let header = [0x0001_eb9f, 24, 0, types_size, types_size, strings_size];
    let words = header.iter().chain(&types);
    let blob: Vec<u8> = words
        .flat_map(|word| word.to_ne_bytes())
        .chain(*strings)
        .collect();
    let attr = BtfAttr {
        blob: blob.as_ptr() as u64,
        blob_size: u32::try_from(blob.len()).unwrap_or(u32::MAX),
        ..BtfAttr::default()
    };
    bpf(BPF_BTF_LOAD, &attr).and_then(owned)
}

/// Opens the map, program or link that is pinned at `path`.
pub(super) fn open_pinned(path: &Path) -> io::Result<OwnedFd> {
    let name = CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)?;
    let pin = PinAttr {
        path: name.as_ptr() as u64,
        ..PinAttr::default()
    };
    bpf(BPF_OBJ_GET, &pin).and_then(owned)
}

/// Pins a map, program or link.
pub(super) fn pin(fd: &OwnedFd, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let attr = PinAttr {
        path: path.as_ptr() as u64,
        fd: fd.as_raw_fd().unsigned_abs(),
        flags: 0,
    };
    bpf(BPF_OBJ_PIN, &attr).map(drop)
}

/// How `bpf_map_info`, `bpf_prog_info` and `bpf_link_info` begin.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct ObjectInfo {
    _kind: u32,
    pub(super) id: u32,
    /// Of a link: its program's id.
    pub(super) program: u32,
}

/// Which map, program or link this is.
pub(super) fn info(fd: &OwnedFd) -> io::Result<ObjectInfo> {
    // SAFETY: zeroes and what the kernel fills in are values of it: integers.
    unsafe { info_of(fd) }
}

/// How often a program was left out because it ran on that processor already. Minimum kernel: 5.12.
pub(super) fn recursion_misses(program: &OwnedFd) -> io::Result<u64> {
    // SAFETY: zeroes and what the kernel fills in are values of it: integers.
    let info = unsafe { info_of::<aya_obj::generated::bpf_prog_info>(program) };
    Ok(info?.recursion_misses)
}

/// # Safety
/// `T` is the beginning of what the kernel tells of such an object, and made of integers.
unsafe fn info_of<T>(fd: &OwnedFd) -> io::Result<T> {
    let mut info = MaybeUninit::<T>::zeroed();
    let attr = InfoAttr {
        fd: fd.as_raw_fd().unsigned_abs(),
        length: size_of::<T>() as u32,
        info: info.as_mut_ptr() as u64,
    };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &attr)?;
    // SAFETY: by the caller's word.
    Ok(unsafe { info.assume_init() })
}

/// Whether there is a program of this number.
pub(super) fn is_loaded(program: u32) -> bool {
    let attr = IdAttr {
        id: program,
        ..IdAttr::default()
    };
    bpf(BPF_PROG_GET_FD_BY_ID, &attr).and_then(owned).is_ok()
}

pub(super) fn owned(fd: c_long) -> io::Result<OwnedFd> {
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: a descriptor that the kernel has just given to us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(super) fn address<T>(value: &T) -> u64 {
    std::ptr::from_ref(value) as u64
}

pub(super) fn bpf<T>(command: i64, attr: &T) -> io::Result<c_long> {
    // SAFETY: `attr` is the beginning of a `union bpf_attr`, zero where this kernel knows more;
    // its pointers are live and of the sizes that the map has.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attr, size_of::<T>()) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
