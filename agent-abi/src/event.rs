//! Events: what the kernel side tells the daemon, through the ring buffers `EVENTS` and `NOTICES`.

use crate::limits::MAX_EVENT_PATH;

/// What an event reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum EventKind {
    /// An action was judged: [`Event::verdict`] says how.
    Decision = 1,
    /// A superblock went away; `dev` says which, and `detail.words[0]` which instance.
    SuperblockGone = 3,
    /// A tagged cgroup was removed; `cgroup` says which.
    CgroupGone = 5,
    /// A cgroup appeared that an attachment names, and got a label: `cgroup` says which, and
    /// [`Event::generation`] whose.
    CgroupCame = 8,
    /// A task could not be given a label that it should have: the daemon looks at all of them.
    Unsettled = 6,
    /// A process waits until its filesystems have names ([`Waiting`](crate::arrival::Waiting)).
    Arrival = 7,
}

/// Fixed part of an event; [`Event::path_len`] bytes of path follow it in the record.
///
/// The path is relative to the root of the superblock `dev`; the daemon puts the mount point
/// before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Event {
    /// `CLOCK_BOOTTIME`, nanoseconds.
    pub time: u64,
    /// cgroup v2 id of the acting process.
    pub cgroup: u64,
    /// Inode number of the object, 0 where it has none yet.
    pub ino: u64,
    /// What else there is to say; its meaning depends on the right.
    pub detail: Detail,
    /// Session.
    pub slot: u32,
    pub generation: u32,
    /// Thread group and thread of the acting process, in the initial pid namespace.
    pub pid: u32,
    pub tid: u32,
    /// Parent's thread group.
    pub parent: u32,
    pub uid: u32,
    /// Kernel `s_dev` of the object's superblock (major << 20 | minor).
    pub dev: u32,
    /// Rule number within the grant, or [`NO_RULE`](crate::ledger::NO_RULE).
    pub rule: u16,
    /// Bytes of path after this struct.
    pub path_len: u16,
    /// [`EventKind`]
    pub kind: u8,
    /// [`Verdict`](crate::Verdict)
    pub verdict: u8,
    /// [`Right`](crate::Right)
    pub right: u8,
    /// [`Reason`](crate::Reason)
    pub reason: u8,
    /// 1 where the path was longer than [`MAX_EVENT_PATH`] and lost its beginning.
    pub truncated: u8,
    /// 1 where the object may have had another path when it was judged: it was renamed meanwhile.
    pub moved: u8,
    pub reserved: [u8; 2],
    /// The acting thread's name, NUL-padded.
    pub comm: [u8; 16],
}

/// The part of an event that depends on its right.
///
/// | right | `words` |
/// |---|---|
/// | `net.*` | address (16 bytes, network order; IPv4 mapped), then port and protocol in `extra` |
/// | `net.socket` | family and type; protocol in `extra`, above the low 16 bits |
/// | `net.option` | level and option, or type of a control message; `extra` is 1 for the latter, 2 for several datagrams to addresses in one call |
/// | `process.signal` | target thread group, signal |
/// | `process.ptrace`, `process.control` | target thread group; of a process group, 0 and its number |
/// | `process.capability` | capability number |
/// | `process.ipc` | id and key of the object |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Detail {
    pub words: [u64; 2],
    /// Port in the low 16 bits, protocol above.
    pub extra: u64,
}

impl Detail {
    /// Port and protocol of a network destination, as [`Detail::extra`] holds them.
    #[must_use]
    pub const fn port_and_protocol(self) -> (u16, u8) {
        (self.extra as u16, (self.extra >> 16) as u8)
    }
}

/// A whole record: what the ring buffer holds at most.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct EventRecord {
    pub event: Event,
    pub path: [u8; MAX_EVENT_PATH],
}

const _: () = assert!(size_of::<Event>() == 104);
const _: () = assert!(size_of::<EventRecord>() == 104 + MAX_EVENT_PATH);
