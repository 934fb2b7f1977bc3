//! Bounds that both sides share. The compiler refuses a grant that does not fit; the kernel side
//! refuses an act that does not fit.

/// Slots in every map that has one for each session. Slot 0 is the self-check's, so that one session
/// less can be in force at once.
pub const MAX_SESSIONS: usize = 256;

/// Cgroups that have a tag at once: those of sessions, and those that attachments found.
pub const MAX_TAGGED: usize = 1 << 14;

/// Released sessions that the kernel side knows of: of so many in a row at least the last.
pub const MAX_RELEASED: usize = 4096;

/// Processes of sessions that forked and live, on kernels that free the storage of who fails to fork. A further one
/// is killed when it forks.
pub const MAX_FORKING: usize = 1 << 16;

/// Rules in one grant, of every kind together.
pub const MAX_RULES: usize = 512;

/// Superblocks (mounted filesystems) that sessions can see at once on this host.
pub const MAX_SUPERBLOCKS: usize = 1024;

/// Filesystems that sessions mounted for themselves, on this host at once.
pub const MAX_OWN: usize = 4096;

/// User namespaces of sessions that can be there at once on this host; in further ones a session has no capability.
pub const MAX_MADE: usize = 1 << 14;

/// Mount namespaces that the daemon is known to have looked at. Of more, the least recently used are looked
/// at again.
pub const MAX_VIEWED: usize = 8192;

/// Processes that wait until the daemon has looked at their mounts. Further ones do not wait.
pub const MAX_WAITING: usize = 1024;

/// Directories between an object and the root of its filesystem. Deeper objects are refused.
pub const MAX_DEPTH: usize = 128;

/// Bytes of one path component, as in the kernel (`NAME_MAX`).
pub const MAX_NAME: usize = 255;

/// Bytes of a path in an event. Decisions do not depend on it; a longer path is shown by its tail.
pub const MAX_EVENT_PATH: usize = 4096;

/// States of one automaton: a state is a 16-bit index into the transition table.
pub const MAX_STATES: usize = 1 << 16;

/// 16-bit words of tables in one image (transitions, labels, the refer relation). A power of two,
/// because the kernel side bounds every index with a mask.
pub const IMAGE_WORDS: usize = 1 << 19;

/// System V IPC objects of sessions that can be there at once; further ones are refused. About what one
/// IPC namespace may hold by default.
pub const MAX_IPC_OBJECTS: usize = 1 << 16;

/// Port ranges that one network prefix can hold.
pub const MAX_NET_ENTRIES: usize = 16;

/// Kinds of numbers of which the kernel side keeps the last that was given.
pub const NOTED_NUMBERS: usize = 3;

const _: () = assert!(IMAGE_WORDS.is_power_of_two());
const _: () = assert!(MAX_SESSIONS.is_power_of_two());
const _: () = assert!(MAX_RELEASED.is_power_of_two());
const _: () = assert!(MAX_RULES.is_power_of_two());
const _: () = assert!(MAX_SUPERBLOCKS.is_power_of_two());
