//! What the daemon asks of the kernel side: one method for each thing, and nothing of how it is done.

use std::os::fd::{BorrowedFd, OwnedFd};

use agent_abi::{
    Image, ImageHeader, Label,
    arrival::{Viewed, Waiting},
    attachment::Attachments,
    census::{Member, Settling},
    image::RELEASED_MAGIC,
    launcher::Runtime,
    ledger::Count,
    net::{NetEntries, NetKey},
    superblock::Superblock,
};
use futures_util::future::BoxFuture;

use super::{Enforcement, KernelError, Outcome, OwnedEvent};
use crate::api::doctor::HookCoverage;

/// A filesystem's kernel device, its instance, and its number, the index into `Image::roots`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuperblockEntry {
    pub dev: u32,
    /// See [`Superblock`].
    pub instance: u32,
    pub number: u32,
}

impl SuperblockEntry {
    pub(super) fn owner(&self) -> Superblock {
        Superblock {
            dev: self.dev,
            instance: self.instance,
        }
    }
}

/// One entry of a session's network table; `u32` is the prefix length of the whole key, in bits.
pub type NetRow = (u32, NetKey, NetEntries);

/// The kernel side: what hooks decide by, and what they counted.
///
/// Every error is that the kernel did not do it, or that the kernel side is another build's.
pub trait Port: Send {
    // Hooks.

    /// Every hook that Bailiff knows, attached or not.
    fn coverage(&self) -> &[HookCoverage];

    /// Whether everything is attached and pinned now. Pins that are gone are made again, where that
    /// can be done.
    fn examine(&self) -> Enforcement;

    /// Whether there was a time before this start in which sessions were in the maps and programs
    /// were not attached.
    fn was_interrupted(&self) -> bool;

    // Images, and the network tables beside them.

    /// Puts `image` in force for its slot; one atomic swap. When this returns, no hook that saw the
    /// image before still runs: the kernel waits for them (`maybe_wait_bpf_programs()`).
    fn install(&mut self, slot: u32, image: &Image) -> Result<(), KernelError>;

    /// Empties a slot: labels that still name it are refused everything.
    fn remove(&mut self, slot: u32) -> Result<(), KernelError>;

    /// Slots with an image in force or released, and the header of each: what a new daemon takes over.
    fn installed(&self) -> Result<Vec<(u32, ImageHeader)>, KernelError>;

    /// Adds the network entries of one policy.
    fn add_net(&mut self, entries: &[NetRow]) -> Result<(), KernelError>;

    /// Removes every network entry of one policy.
    fn remove_net(&mut self, policy: u32) -> Result<(), KernelError>;

    /// Sets every process of a session free at once, wherever it went and whatever it is forking: its
    /// label counts for nothing from here on, also after the slot is emptied: a child that is being made now
    /// may keep it. The labels can be taken away at leisure ([`Self::clear_labels`]).
    fn release(&mut self, label: Label) -> Result<(), KernelError> {
        // SAFETY: an image is integers only; all zeroes refuse everything.
        let mut image = unsafe { Box::<Image>::new_zeroed().assume_init() };
        image.header.magic = RELEASED_MAGIC;
        image.header.generation = label.generation;
        self.install(label.slot, &image)?;
        self.note_released(label)
    }

    /// Says that a session set its processes free, for when its slot is empty.
    fn note_released(&mut self, label: Label) -> Result<(), KernelError>;

    /// Whether a session is known to have set its processes free.
    fn was_released(&self, label: Label) -> Result<bool, KernelError>;

    // Filesystems.

    /// Filesystems that hooks can place.
    fn superblocks(&self) -> Result<Vec<SuperblockEntry>, KernelError>;

    /// Whether this is one of them.
    fn has_superblock(&self, entry: SuperblockEntry) -> Result<bool, KernelError>;

    /// The number is one of the device's candidates ([`agent_abi::superblock`]): hooks look for it
    /// nowhere else.
    fn add_superblock(&mut self, entry: SuperblockEntry) -> Result<(), KernelError>;

    /// Does nothing where the number is another filesystem's by now.
    fn remove_superblock(&mut self, entry: SuperblockEntry) -> Result<(), KernelError>;

    // Cgroups.

    /// Tasks entering this cgroup, or one below it, get `label` from now on. It may be armed.
    fn tag_cgroup(&mut self, cgroup: u64, label: Label) -> Result<(), KernelError>;

    /// Does nothing where it has no tag.
    fn untag_cgroup(&mut self, cgroup: u64) -> Result<(), KernelError>;

    /// Tagged cgroups and the label that each gives.
    fn tagged_cgroups(&self) -> Result<Vec<(u64, Label)>, KernelError>;

    /// Cgroups that appear from now on get labels by this table, also while no daemon runs; one atomic swap.
    fn set_attachments(&mut self, table: &Attachments) -> Result<(), KernelError>;

    /// The labels that the table in force gives; empty where there is none.
    fn attached_labels(&self) -> Result<Vec<Label>, KernelError>;

    // Labels of processes.

    /// The label of a process, by its pidfd; `None` where it has none. An armed one is given as it will be.
    fn label(&self, pidfd: &OwnedFd) -> Result<Option<Label>, KernelError>;

    /// Labels a process, all its threads, by the pidfd of its leader. The label may be armed.
    fn set_label(&mut self, pidfd: &OwnedFd, label: Label) -> Result<(), KernelError>;

    /// Whether tasks may lack labels that their cgroups give.
    fn settling(&self) -> Result<Settling, KernelError>;

    /// Tells the kernel side so, or that it is over.
    fn set_settling(&mut self, settling: Settling) -> Result<(), KernelError>;

    /// How many births the kernel side did not see, since it was loaded.
    fn unseen_births(&self) -> Result<u64, KernelError>;

    /// Whether a process that fails to fork just when it is given a label may lose that.
    fn loses_labels(&self) -> bool;

    /// How many processes the kernel side has killed, since it was loaded, for a fork that could have cost them
    /// their label.
    fn killed_at_fork(&self) -> Result<u64, KernelError>;

    /// Gives the label of its cgroup to every process that has none and is in a tagged one, and the
    /// label of its process to every thread. Counts the processes.
    fn settle_labels(&mut self) -> Result<Outcome, KernelError>;

    /// Takes `label` from every thread of the host.
    fn clear_labels(&mut self, label: Label) -> Result<Outcome, KernelError>;

    /// Every live thread that has a label or is where it should have one. The process's label, and that of
    /// its place, may be armed.
    fn members(&mut self) -> Result<Vec<Member>, KernelError>;

    /// An armed label stays armed when this program is executed, as long as its file is open somewhere.
    fn mark_launcher(&mut self, program: &OwnedFd) -> Result<(), KernelError>;

    /// An armed label stays armed when one of these executes itself or a copy of itself.
    fn set_runtimes(&mut self, runtimes: &[Runtime]) -> Result<(), KernelError>;

    // Who waits in front of a program until filesystems of its mount namespace have names.

    /// The label of a process if that is armed, as it will be.
    fn armed_label(&self, pidfd: &OwnedFd) -> Result<Option<Label>, KernelError>;

    /// Says that the daemon is there, at this time of `CLOCK_MONOTONIC`; 0: nobody waits for it any more.
    fn attend(&mut self, now: u64) -> Result<(), KernelError>;

    /// Nobody of the session waits in this mount namespace any more.
    fn mark_viewed(&mut self, namespace: Viewed) -> Result<(), KernelError>;

    /// Who waits, by process.
    fn waiting_processes(&self) -> Result<Vec<(u32, Waiting)>, KernelError>;

    /// Says how a process that waits goes on; by a signal alone.
    fn set_waiting(&mut self, process: u32, waiting: &Waiting) -> Result<(), KernelError>;

    /// Does nothing where it does not wait. It goes on by a signal alone.
    fn forget_waiting(&mut self, process: u32) -> Result<(), KernelError>;

    /// Makes a filesystem the session's own, by its kernel device. It has no number, and nobody sees it yet.
    fn own_filesystem(&mut self, dev: u32, label: Label) -> Result<(), KernelError>;

    /// Kernel devices of the filesystems that are a session's own.
    fn session_filesystems(&self) -> Result<Vec<u32>, KernelError>;

    // Terminals.

    /// Makes the terminal with this slave the session's own. The descriptor may be one of `O_PATH`.
    fn own_terminal(&mut self, slave: &OwnedFd, label: Label) -> Result<(), KernelError>;

    /// Lets a session say which of its jobs is in the foreground of the terminal that was made for it:
    /// `number` is that terminal's session.
    fn own_jobs(&mut self, label: Label, number: u32) -> Result<(), KernelError>;

    // Counts.

    /// The counts of so many of a session's rules, by rule number; the last is that of no rule.
    fn ledger(&self, slot: u32, rules: usize) -> Result<Vec<Count>, KernelError>;

    /// Nobody may act for the slot meanwhile.
    fn reset_ledger(&mut self, slot: u32) -> Result<(), KernelError>;

    /// Events of this account that found no room in the ring buffer since it was given to its session.
    fn lost(&self, account: u32) -> Result<u64, KernelError>;

    /// Forgets what an earlier session of this slot lost. Nobody may act for the slot meanwhile.
    fn reset_lost(&mut self, slot: u32) -> Result<(), KernelError>;

    // Events that are under way: they are read from an [`EventSource`].

    /// What every account has put into the ring buffer, ever, in bytes.
    fn put_in(&self) -> Result<Vec<u64>, KernelError>;

    /// These events were taken out of the ring buffer: their sessions may send as many again.
    fn took(&mut self, events: &[OwnedEvent]) -> Result<(), KernelError>;

    /// The ring buffer was found empty after the accounts had put in this much: all of it was taken, also
    /// where an earlier daemon died before it could say so.
    fn took_all(&mut self, put_in: &[u64]) -> Result<(), KernelError>;

    /// Bytes that wait in the ring buffer.
    fn waiting(&self) -> Result<u64, KernelError>;

    // Numbers that no two daemons of one boot give.

    /// The last number of a kind that was given, as far as the kernel side lives back; 0: none. Kinds are
    /// below [`NOTED_NUMBERS`](agent_abi::limits::NOTED_NUMBERS).
    fn last_number(&self, kind: u32) -> Result<u32, KernelError>;

    /// Keeps the greatest that was noted of a kind.
    fn note_number(&mut self, kind: u32, number: u32) -> Result<(), KernelError>;
}

/// Who is in which session, looked up for every caller: nobody who asks waits for what else is done with
/// the kernel side.
pub trait LabelSource: Send + Sync {
    /// The label of a process; `None` where it has none, or is gone.
    fn of_process(&self, pidfd: &OwnedFd) -> Result<Option<Label>, KernelError>;

    /// The label that the task had which made this connection, whatever became of it since.
    fn of_connection(&self, accepted: BorrowedFd<'_>) -> Result<Option<Label>, KernelError>;
}

/// What the kernel side tells by itself, in order. What waited while no daemon ran comes first.
pub trait EventSource: Send {
    /// Those that are there now, as many as are handed over at once.
    fn poll(&mut self) -> Vec<OwnedEvent>;

    /// The next batch, at least one; waits for it.
    ///
    /// # Errors
    /// It cannot be waited for.
    fn wait(&mut self) -> BoxFuture<'_, Result<Vec<OwnedEvent>, KernelError>>;
}
