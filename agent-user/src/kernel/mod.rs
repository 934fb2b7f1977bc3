//! The kernel side as the daemon sees it: programs loaded and pinned, maps read and written.
//!
//! Nothing above this module knows of BPF.

mod attachment;
mod btf;
mod census;
mod child;
mod detach;
mod diagnose;
mod error;
mod events;
mod hooks;
mod labels;
mod load;
mod maps;
#[cfg(test)]
mod object_tables;
mod pinned;
mod relocate;
mod self_check;
mod symbols;
mod sys;
mod unattached;

use std::{
    collections::BTreeMap,
    os::fd::{AsRawFd, OwnedFd},
};

use agent_abi::{
    Image, ImageHeader, Label,
    census::{Member, Settling},
    image::{IMAGE_MAGIC, RELEASED_MAGIC},
    ledger::{Count, NO_RULE, ledger_index},
    limits::{MAX_RULES, MAX_SESSIONS, MAX_SUPERBLOCKS},
    names,
    net::{NetEntries, NetKey},
    share::{ACCOUNTS, Share},
    superblock::Superblock,
    terminal::{Jobs, Owners},
};
use aya::maps::MapData;

use crate::api::doctor::{HookCoverage, OtherHooks};

use attachment::Attachment;
pub use attachment::Enforcement;
pub use census::{Outcome, claim};
pub use diagnose::{Found, diagnose};
pub use error::KernelError;
pub use events::{EventStream, OwnedEvent};
pub use labels::Labels;
pub use load::rehearse;
use load::{census_pin, map_pin};
pub use self_check::LABEL as SELF_CHECK;
use sys::{Map, PrefixKey, array_of_one};

/// The LSM hooks of the running kernel that no program of Bailiff attaches to.
///
/// # Errors
/// The kernel's type information cannot be read.
pub fn other_hooks() -> Result<OtherHooks, KernelError> {
    Ok(unattached::of_kernel(&btf::Btf::of_running_kernel()?))
}

/// A filesystem's kernel device, its instance, and its number, the index into `Image::roots`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuperblockEntry {
    pub dev: u32,
    /// See [`Superblock`].
    pub instance: u32,
    pub number: u32,
}

impl SuperblockEntry {
    fn owner(&self) -> Superblock {
        Superblock {
            dev: self.dev,
            instance: self.instance,
        }
    }
}

/// The families of hooks.
pub fn hook_families() -> impl Iterator<Item = &'static str> {
    let families = hooks::HOOKS.iter().map(|hook| hook.family);
    families
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
}

/// The attached kernel side.
pub struct Kernel {
    coverage: Vec<HookCoverage>,
    attachment: Attachment,
    interrupted: bool,
    /// Keyed by pidfd. A thread group has the label of its leader.
    labels: Map<i32, Label>,
    /// Keyed by a descriptor of the slave.
    terminals: Map<i32, Owners>,
    jobs: Map<u32, Jobs>,
    numbers: Map<u32, u32>,
    images: Map<u32, u32>,
    cgroups: Map<u64, Label>,
    census: census::Iterator,
    superblocks: Map<u32, Superblock>,
    net: Map<PrefixKey, NetEntries>,
    ledger: Map<u32, Count>,
    shares: Map<u32, Share>,
    taken: Map<u32, u64>,
    events: Option<EventStream>,
    notices: Option<EventStream>,
}

impl Kernel {
    /// Loads, attaches and pins the programs, or takes over those that an earlier daemon pinned;
    /// then checks on a real refusal that the hooks read this kernel rightly.
    ///
    /// # Errors
    /// The kernel cannot do what enforcement needs, or the check found a difference.
    pub fn start() -> Result<Self, KernelError> {
        let load::Attached {
            coverage,
            programs,
            directory,
            interrupted,
        } = load::ensure_attached()?;
        let mut kernel = Self {
            attachment: Attachment::open(directory, &programs)?,
            coverage,
            interrupted,
            labels: Map::open(names::LABELS, &map_pin(names::LABELS))?,
            terminals: Map::open(names::TERMINALS, &map_pin(names::TERMINALS))?,
            numbers: Map::open(names::NUMBERS, &map_pin(names::NUMBERS))?,
            jobs: Map::open(names::JOBS, &map_pin(names::JOBS))?,
            images: Map::open(names::IMAGES, &map_pin(names::IMAGES))?,
            cgroups: Map::open(names::CGROUPS, &map_pin(names::CGROUPS))?,
            census: census::Iterator::open(&census_pin())?,
            superblocks: Map::open(names::SUPERBLOCKS, &map_pin(names::SUPERBLOCKS))?,
            net: Map::open(names::NET, &map_pin(names::NET))?,
            ledger: Map::open(names::LEDGER, &map_pin(names::LEDGER))?,
            shares: Map::open(names::SHARES, &map_pin(names::SHARES))?,
            taken: Map::open(names::TAKEN, &map_pin(names::TAKEN))?,
            events: Some(EventStream::open(names::EVENTS)?),
            notices: Some(EventStream::open(names::NOTICES)?),
        };
        // Before any process of its own is there to be disturbed.
        kernel.census.claim()?;
        self_check::run(&mut kernel)?;
        Ok(kernel)
    }

    /// Every hook that Bailiff knows, attached or not.
    pub fn coverage(&self) -> &[HookCoverage] {
        &self.coverage
    }

    /// Whether everything is attached and pinned now. Pins that are gone are made again, where that
    /// can be done.
    pub fn examine(&self) -> Enforcement {
        self.attachment.examine()
    }

    /// Whether there was a time before this start in which sessions were in the maps and programs
    /// were not attached.
    pub fn was_interrupted(&self) -> bool {
        self.interrupted
    }

    /// Puts `image` in force for its slot; one atomic swap.
    pub fn install(&mut self, slot: u32, image: &Image) -> Result<(), KernelError> {
        let inner = array_of_one(names::IMAGES, image)?;
        self.images.set_map(&slot, &inner)
    }

    /// Empties a slot: labels that still name it are refused everything.
    pub fn remove(&mut self, slot: u32) -> Result<(), KernelError> {
        self.images.delete(&slot).map(drop)
    }

    /// Sets every process of a session free at once, wherever it went and whatever it is forking: its
    /// label counts for nothing from here on. The labels can be taken away at leisure
    /// ([`Self::clear_labels`]), then the slot emptied.
    ///
    /// When this returns, no program that saw the session in force still runs: the kernel waits for
    /// them (`maybe_wait_bpf_programs()`).
    pub fn release(&mut self, label: Label) -> Result<(), KernelError> {
        // SAFETY: an image is integers only; all zeroes refuse everything.
        let mut image = unsafe { Box::<Image>::new_zeroed().assume_init() };
        image.header.magic = RELEASED_MAGIC;
        image.header.generation = label.generation;
        self.install(label.slot, &image)
    }

    /// Slots with an image in force or released, and the header of each: what a new daemon takes over.
    pub fn installed(&self) -> Result<Vec<(u32, ImageHeader)>, KernelError> {
        let mut installed = Vec::new();
        for slot in 1..MAX_SESSIONS as u32 {
            let Some(id) = self.images.get(&slot)? else {
                continue;
            };
            if let Some(header) = self
                .header(id)?
                .filter(|header| [IMAGE_MAGIC, RELEASED_MAGIC].contains(&header.magic))
            {
                installed.push((slot, header));
            }
        }
        Ok(installed)
    }

    fn header(&self, id: u32) -> Result<Option<ImageHeader>, KernelError> {
        let map = MapData::from_id(id).map_err(|error| KernelError::Pin {
            path: map_pin(names::IMAGES),
            reason: error.to_string(),
        })?;
        let image: Map<u32, Image> = Map::from_data(names::IMAGES, map);
        image.get_prefix(&0)
    }

    /// Adds the network entries of one policy. `u32` is the prefix length of the whole key.
    pub fn add_net(&mut self, entries: &[(u32, NetKey, NetEntries)]) -> Result<(), KernelError> {
        for (prefix_len, key, value) in entries {
            self.net.set(
                &PrefixKey {
                    prefix_len: *prefix_len,
                    key: *key,
                },
                value,
            )?;
        }
        Ok(())
    }

    /// Removes every network entry of one policy.
    pub fn remove_net(&mut self, policy: u32) -> Result<(), KernelError> {
        for key in self.net.keys()? {
            if key.key.policy == policy.to_be_bytes() {
                self.net.delete(&key)?;
            }
        }
        Ok(())
    }

    /// Filesystems that hooks can place.
    pub fn superblocks(&self) -> Result<Vec<SuperblockEntry>, KernelError> {
        let mut entries = Vec::new();
        for number in 1..MAX_SUPERBLOCKS as u32 {
            let owner = self.superblocks.get(&number)?;
            if let Some(Superblock { dev, instance }) = owner.filter(|owner| owner.dev != 0) {
                entries.push(SuperblockEntry {
                    dev,
                    instance,
                    number,
                });
            }
        }
        Ok(entries)
    }

    /// The number is one of the device's candidates ([`agent_abi::superblock`]): hooks look for it
    /// nowhere else.
    pub fn add_superblock(&mut self, entry: SuperblockEntry) -> Result<(), KernelError> {
        self.superblocks.set(&entry.number, &entry.owner())
    }

    pub fn remove_superblock(&mut self, entry: SuperblockEntry) -> Result<(), KernelError> {
        if self.superblocks.get(&entry.number)? == Some(entry.owner()) {
            self.superblocks
                .set(&entry.number, &Superblock::default())?;
        }
        Ok(())
    }

    /// Tasks entering this cgroup, or one below it, get `label` from now on.
    pub fn tag_cgroup(&mut self, cgroup: u64, label: Label) -> Result<(), KernelError> {
        self.cgroups.set(&cgroup, &label)
    }

    pub fn untag_cgroup(&mut self, cgroup: u64) -> Result<(), KernelError> {
        self.cgroups.delete(&cgroup).map(drop)
    }

    /// Tagged cgroups and the label that each gives.
    pub fn tagged_cgroups(&self) -> Result<Vec<(u64, Label)>, KernelError> {
        let mut tagged = Vec::new();
        for cgroup in self.cgroups.keys()? {
            if let Some(label) = self.cgroups.get(&cgroup)? {
                tagged.push((cgroup, label));
            }
        }
        Ok(tagged)
    }

    /// Whether tasks may lack labels that their cgroups give.
    pub fn settling(&self) -> Result<Settling, KernelError> {
        self.census.settling()
    }

    /// Tells the kernel side so, or that it is over.
    pub fn set_settling(&mut self, settling: Settling) -> Result<(), KernelError> {
        self.census.set_settling(settling)
    }

    /// How many births the kernel side did not see, since it was loaded.
    pub fn unseen_births(&self) -> Result<u64, KernelError> {
        self.census.unseen_births()
    }

    /// Gives the label of its cgroup to every process that has none and is in a tagged one, and the
    /// label of its process to every thread. Counts the processes.
    pub fn settle_labels(&mut self) -> Result<Outcome, KernelError> {
        self.census.settle()
    }

    /// Takes `label` from every thread of the host.
    pub fn clear_labels(&mut self, label: Label) -> Result<Outcome, KernelError> {
        self.census.clear(label)
    }

    /// Every live thread that has a label or is where it should have one.
    pub fn members(&mut self) -> Result<Vec<Member>, KernelError> {
        self.census.members()
    }

    /// Labels a process, all its threads, by the pidfd of its leader.
    pub fn set_label(&mut self, pidfd: &OwnedFd, label: Label) -> Result<(), KernelError> {
        self.labels.set(&pidfd.as_raw_fd(), &label)
    }

    /// Makes the terminal with this slave the session's own. The descriptor may be one of `O_PATH`.
    pub fn own_terminal(&mut self, slave: &OwnedFd, label: Label) -> Result<(), KernelError> {
        let key = slave.as_raw_fd();
        let mut owners = self.terminals.get(&key)?.unwrap_or_default();
        owners.labels[Owners::place(label.generation)] = label;
        self.terminals.set(&key, &owners)
    }

    /// The last number of a kind that was given, as far as the kernel side lives back.
    pub fn last_number(&self, counter: impl Into<u32>) -> Result<u32, KernelError> {
        Ok(self.numbers.get(&counter.into())?.unwrap_or(0))
    }

    pub fn note_number(&mut self, counter: impl Into<u32>, number: u32) -> Result<(), KernelError> {
        let counter = counter.into();
        let last = self.last_number(counter)?.max(number);
        self.numbers.set(&counter, &last)
    }

    /// Lets a session say which of its jobs is in the foreground of the terminal that was made for it:
    /// `number` is that terminal's session.
    pub fn own_jobs(&mut self, label: Label, number: u32) -> Result<(), KernelError> {
        let jobs = Jobs {
            generation: label.generation,
            number,
        };
        self.jobs.set(&label.slot, &jobs)
    }

    /// The label of a process; `None` where it has none.
    pub fn label(&self, pidfd: &OwnedFd) -> Result<Option<Label>, KernelError> {
        let label = self.labels.get(&pidfd.as_raw_fd())?.map(Label::settled);
        Ok(label.filter(|label| label.generation != 0))
    }

    pub fn clear_label(&mut self, pidfd: &OwnedFd) -> Result<(), KernelError> {
        self.labels.delete(&pidfd.as_raw_fd()).map(drop)
    }

    /// The counts of a session's rules, by rule number; the last is that of no rule.
    pub fn ledger(&self, slot: u32) -> Result<Vec<Count>, KernelError> {
        (0..MAX_RULES as u16)
            .map(|rule| {
                let index = ledger_index(slot, rule);
                Ok(self.ledger.get(&index)?.unwrap_or_default())
            })
            .collect()
    }

    pub fn reset_ledger(&mut self, slot: u32) -> Result<(), KernelError> {
        debug_assert_eq!(ledger_index(0, NO_RULE), MAX_RULES as u32 - 1);
        (0..MAX_RULES as u16).try_for_each(|rule| {
            self.ledger
                .set(&ledger_index(slot, rule), &Count::default())
        })
    }

    /// Events of this account that found no room in the ring buffer since it was given to its session.
    pub fn lost(&self, account: u32) -> Result<u64, KernelError> {
        Ok(self.shares.get(&account)?.unwrap_or_default().lost)
    }

    /// Forgets what an earlier session of this slot lost. Nobody may act for the slot meanwhile.
    pub fn reset_lost(&mut self, slot: u32) -> Result<(), KernelError> {
        let share = self.shares.get(&slot)?.unwrap_or_default();
        self.shares.set(&slot, &Share { lost: 0, ..share })
    }

    /// What every account has put into the ring buffer, ever, in bytes.
    pub fn put_in(&self) -> Result<Vec<u64>, KernelError> {
        (0..ACCOUNTS as u32)
            .map(|account| Ok(self.shares.get(&account)?.unwrap_or_default().bytes))
            .collect()
    }

    /// These events were taken out of the ring buffer: their sessions may send as many again.
    pub fn took(&mut self, events: &[OwnedEvent]) -> Result<(), KernelError> {
        let mut sums = BTreeMap::<u32, u64>::new();
        for event in events {
            *sums.entry(event.event.slot).or_default() += event.bytes();
        }
        for (slot, bytes) in sums {
            let taken = self.taken.get(&slot)?.unwrap_or(0);
            self.taken.set(&slot, &taken.wrapping_add(bytes))?;
        }
        Ok(())
    }

    /// The ring buffer was found empty after the accounts had put in this much: all of it was taken, also
    /// where an earlier daemon died before it could say so.
    pub fn took_all(&mut self, put_in: &[u64]) -> Result<(), KernelError> {
        for (account, bytes) in (0..).zip(put_in) {
            if self.taken.get(&account)? != Some(*bytes) {
                self.taken.set(&account, bytes)?;
            }
        }
        Ok(())
    }

    /// Bytes that wait in the ring buffer.
    pub fn waiting(&self) -> Result<u64, KernelError> {
        (0..).zip(self.put_in()?).try_fold(0, |sum, (slot, bytes)| {
            let taken = self.taken.get(&slot)?.unwrap_or(0);
            Ok(sum
                + bytes
                    .wrapping_sub(taken)
                    .cast_signed()
                    .max(0)
                    .cast_unsigned())
        })
    }

    /// The stream of decisions. Can be taken once.
    pub fn take_events(&mut self) -> Option<EventStream> {
        self.events.take()
    }

    /// The stream of what has to be seen to. Can be taken once.
    pub fn take_notices(&mut self) -> Option<EventStream> {
        self.notices.take()
    }
}
