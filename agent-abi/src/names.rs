//! Names of maps, used by both halves and for the pins below [`PIN_ROOT`].

/// Directory in bpffs where programs, links and maps are pinned.
pub const PIN_ROOT: &str = "/sys/fs/bpf/bailiff";

/// Task storage: [`Label`](crate::Label) of each labelled task.
pub const LABELS: &str = "LABELS";
/// Socket storage: [`Label`](crate::Label) of the task that made a stream connection between Unix
/// sockets, on the accepted end.
pub const CONNECTIONS: &str = "CONNECTIONS";
/// Task storage: a labelled task's scratch space for walks and events.
pub const SCRATCH: &str = "SCRATCH";
/// Inode storage: the automaton's state after a directory's path, remembered.
pub const DIRECTORIES: &str = "DIRECTORIES";
/// Socket storage: whose a socket is, and what was done to its own address.
pub const SOCKETS: &str = "SOCKETS";
/// Inode storage: the sessions that a terminal belongs to ([`Owners`](crate::terminal::Owners)).
pub const TERMINALS: &str = "TERMINALS";
/// Hash: address of a slave's inode to who unlocked it ([`Unlocked`](crate::terminal::Unlocked)).
pub const UNLOCKED: &str = "UNLOCKED";
/// Array of one `u32`: the last number that a session got. It lives as long as [`LABELS`], so that no label
/// comes again even if the store is lost.
pub const NUMBERS: &str = "NUMBERS";
/// Array: slot to the terminal's session that `bailiff run` made for it
/// ([`Jobs`](crate::terminal::Jobs)).
pub const JOBS: &str = "JOBS";
/// Array of maps: slot to the one-element array that holds the session's [`Image`](crate::Image).
pub const IMAGES: &str = "IMAGES";
/// Array: number of a session, modulo its length, to that number if the session set its processes free.
pub const RELEASED: &str = "RELEASED";
/// Hash: address of a process's leader to what is kept of it while it forks ([`Kept`](crate::forking::Kept)).
pub const FORKING: &str = "FORKING";
/// Array of one [`Forks`](crate::forking::Forks).
pub const FORKS: &str = "FORKS";
/// Hash: cgroup id to the [`Label`](crate::Label) that tasks entering it get.
pub const CGROUPS: &str = "CGROUPS";
/// Array of maps: its one entry is the array of one that holds the
/// [`Attachments`](crate::attachment::Attachments).
pub const ATTACHMENTS: &str = "ATTACHMENTS";
/// Array of one path, while a cgroup appears.
pub const CGROUP_PATH: &str = "CGROUP_PATH";
/// Hash: address of a System V IPC object to the [`Label`](crate::Label) of the session that made it.
pub const OBJECTS: &str = "OBJECTS";
/// Inode storage: nonzero for programs that leave an armed label armed ([`Label::armed`](crate::Label::armed)).
pub const LAUNCHERS: &str = "LAUNCHERS";
/// Array of [`Runtime`](crate::launcher::Runtime).
pub const RUNTIMES: &str = "RUNTIMES";
/// Hash of the least recently used: [`Viewed`](crate::arrival::Viewed), a mount namespace of a session that
/// the daemon has looked at, or need not.
pub const VIEWED: &str = "VIEWED";
/// Hash: process to what it waits for ([`Waiting`](crate::arrival::Waiting)).
pub const WAITING: &str = "WAITING";
/// Array of two `u64`: when the daemon last said that it is there, by `CLOCK_MONOTONIC` (0: it is not), and where
/// its process is in the kernel's memory.
pub const ATTENDED: &str = "ATTENDED";
/// Inode storage: a message queue to the [`Label`](crate::Label) of the session that made it.
pub const QUEUES: &str = "QUEUES";
/// Array of one [`Settling`](crate::census::Settling).
pub const SETTLING: &str = "SETTLING";
/// Array of one [`Census`](crate::census::Census).
pub const CENSUS: &str = "CENSUS";
/// Array of one [`DaemonProcess`](crate::daemon::DaemonProcess).
pub const DAEMON: &str = "DAEMON";
/// Array: superblock number, the index into `Image::roots`, to the
/// [`Superblock`](crate::superblock::Superblock) that has it.
pub const SUPERBLOCKS: &str = "SUPERBLOCKS";
/// Hash: kernel `s_dev` of a filesystem that a session mounted for itself to the session's generation.
pub const OWN: &str = "OWN";
/// Hash: address of a user namespace to [`Made`](crate::nested::Made), the session that made it.
pub const MADE: &str = "MADE";
/// Longest-prefix-match trie: [`NetKey`](crate::net::NetKey) to
/// [`NetEntries`](crate::net::NetEntries).
pub const NET: &str = "NET";
/// Array: [`ledger_index`](crate::ledger::ledger_index) to [`Count`](crate::ledger::Count).
pub const LEDGER: &str = "LEDGER";
/// Ring buffer of [`EventRecord`](crate::event::EventRecord)s: decisions, which may have to wait.
pub const EVENTS: &str = "EVENTS";
/// Ring buffer of [`Event`](crate::Event)s: what the daemon has to do something about, which may not.
pub const NOTICES: &str = "NOTICES";
/// Array: account to [`Share`](crate::share::Share) of `EVENTS`.
pub const SHARES: &str = "SHARES";
/// Array: account to how many bytes of its share the daemon took out of the ring buffer, ever.
pub const TAKEN: &str = "TAKEN";
