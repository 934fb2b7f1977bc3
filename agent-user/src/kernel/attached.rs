//! The attached kernel side: maps of BPF, read and written.

use std::{
    collections::BTreeMap,
    os::fd::{AsRawFd, OwnedFd},
};

use agent_abi::{
    Image, ImageHeader, Label,
    arrival::{ATTENDED_AT, Viewed, Waiting},
    attachment::Attachments,
    census::{Member, Settling},
    image::{IMAGE_MAGIC, RELEASED_MAGIC},
    launcher::{MAX_RUNTIMES, Runtime},
    ledger::{Count, NO_RULE, ledger_index},
    limits::{MAX_RELEASED, MAX_RULES, MAX_SESSIONS, MAX_SUPERBLOCKS},
    names,
    net::NetEntries,
    share::{ACCOUNTS, Share},
    superblock::Superblock,
    terminal::{Jobs, Owners},
};
use aya::maps::MapData;

use super::{
    Enforcement, EventStream, KernelError, NetRow, Outcome, OwnedEvent, Port, SuperblockEntry,
    attachment::Attachment,
    attachments, census,
    forking::{self, Processes},
    load::{self, census_pin, map_pin},
    self_check,
    sys::{Map, PrefixKey, array_of_one},
};
use crate::api::doctor::HookCoverage;

/// The attached kernel side.
pub struct Kernel {
    coverage: Vec<HookCoverage>,
    attachment: Attachment,
    interrupted: bool,
    /// Keyed by pidfd. A thread group has the label of its leader.
    processes: Processes,
    /// Keyed by a descriptor of the slave.
    terminals: Map<i32, Owners>,
    launchers: Map<i32, u64>,
    runtimes: Map<u32, Runtime>,
    viewed: Map<Viewed, u32>,
    waiting: Map<u32, Waiting>,
    attended: Map<u32, u64>,
    own: Map<u32, u32>,
    jobs: Map<u32, Jobs>,
    numbers: Map<u32, u32>,
    images: Map<u32, u32>,
    released: Map<u32, u32>,
    cgroups: Map<u64, Label>,
    attachments: Map<u32, u32>,
    census: census::Iterator,
    superblocks: Map<u32, Superblock>,
    net: Map<PrefixKey, NetEntries>,
    ledger: Map<u32, Count>,
    shares: Map<u32, Share>,
    taken: Map<u32, u64>,
    pub(super) events: Option<EventStream>,
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
            processes: Processes::open()?,
            terminals: Map::open(names::TERMINALS, &map_pin(names::TERMINALS))?,
            runtimes: Map::open(names::RUNTIMES, &map_pin(names::RUNTIMES))?,
            launchers: Map::open(names::LAUNCHERS, &map_pin(names::LAUNCHERS))?,
            viewed: Map::open(names::VIEWED, &map_pin(names::VIEWED))?,
            waiting: Map::open(names::WAITING, &map_pin(names::WAITING))?,
            attended: Map::open(names::ATTENDED, &map_pin(names::ATTENDED))?,
            own: Map::open(names::OWN, &map_pin(names::OWN))?,
            numbers: Map::open(names::NUMBERS, &map_pin(names::NUMBERS))?,
            jobs: Map::open(names::JOBS, &map_pin(names::JOBS))?,
            images: Map::open(names::IMAGES, &map_pin(names::IMAGES))?,
            released: Map::open(names::RELEASED, &map_pin(names::RELEASED))?,
            cgroups: Map::open(names::CGROUPS, &map_pin(names::CGROUPS))?,
            attachments: Map::open(names::ATTACHMENTS, &map_pin(names::ATTACHMENTS))?,
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

    /// The stream of decisions. Can be taken once.
    pub fn take_events(&mut self) -> Option<EventStream> {
        self.events.take()
    }

    /// The stream of what has to be seen to. Can be taken once.
    pub fn take_notices(&mut self) -> Option<EventStream> {
        self.notices.take()
    }

    fn header(&self, id: u32) -> Result<Option<ImageHeader>, KernelError> {
        let map = MapData::from_id(id).map_err(|error| KernelError::Pin {
            path: map_pin(names::IMAGES),
            reason: error.to_string(),
        })?;
        let image: Map<u32, Image> = Map::from_data(names::IMAGES, map);
        image.get_prefix(&0)
    }
}

fn is_of_forks(hook: &HookCoverage) -> bool {
    hook.attached && hook.hook == forking::HOOK
}

/// Where in `RELEASED` a session is noted.
fn released_place(label: Label) -> u32 {
    label.generation & (MAX_RELEASED as u32 - 1)
}

impl Port for Kernel {
    fn coverage(&self) -> &[HookCoverage] {
        &self.coverage
    }

    fn examine(&self) -> Enforcement {
        self.attachment.examine()
    }

    fn was_interrupted(&self) -> bool {
        self.interrupted
    }

    fn install(&mut self, slot: u32, image: &Image) -> Result<(), KernelError> {
        let inner = array_of_one(names::IMAGES, image)?;
        self.images.set_map(&slot, &inner)
    }

    fn remove(&mut self, slot: u32) -> Result<(), KernelError> {
        self.images.delete(&slot).map(drop)
    }

    fn installed(&self) -> Result<Vec<(u32, ImageHeader)>, KernelError> {
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

    fn note_released(&mut self, label: Label) -> Result<(), KernelError> {
        let place = released_place(label);
        self.released.set(&place, &label.generation)
    }

    fn was_released(&self, label: Label) -> Result<bool, KernelError> {
        let noted = self.released.get(&released_place(label))?;
        Ok(label.is_some() && noted == Some(label.generation))
    }

    fn add_net(&mut self, entries: &[NetRow]) -> Result<(), KernelError> {
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

    fn remove_net(&mut self, policy: u32) -> Result<(), KernelError> {
        for key in self.net.keys()? {
            if key.key.policy == policy.to_be_bytes() {
                self.net.delete(&key)?;
            }
        }
        Ok(())
    }

    fn superblocks(&self) -> Result<Vec<SuperblockEntry>, KernelError> {
        let owners = self.superblocks.range(1, MAX_SUPERBLOCKS - 1)?;
        let numbered = (1..).zip(owners).filter(|(_, owner)| owner.dev != 0);
        let entries = numbered.map(|(number, Superblock { dev, instance })| SuperblockEntry {
            dev,
            instance,
            number,
        });
        Ok(entries.collect())
    }

    fn add_superblock(&mut self, entry: SuperblockEntry) -> Result<(), KernelError> {
        self.superblocks.set(&entry.number, &entry.owner())
    }

    fn has_superblock(&self, entry: SuperblockEntry) -> Result<bool, KernelError> {
        Ok(self.superblocks.get(&entry.number)? == Some(entry.owner()))
    }

    fn remove_superblock(&mut self, entry: SuperblockEntry) -> Result<(), KernelError> {
        if self.has_superblock(entry)? {
            self.superblocks
                .set(&entry.number, &Superblock::default())?;
        }
        Ok(())
    }

    fn tag_cgroup(&mut self, cgroup: u64, label: Label) -> Result<(), KernelError> {
        self.cgroups.set(&cgroup, &label)
    }

    fn untag_cgroup(&mut self, cgroup: u64) -> Result<(), KernelError> {
        self.cgroups.delete(&cgroup).map(drop)
    }

    fn tagged_cgroups(&self) -> Result<Vec<(u64, Label)>, KernelError> {
        let mut tagged = Vec::new();
        for cgroup in self.cgroups.keys()? {
            if let Some(label) = self.cgroups.get(&cgroup)? {
                tagged.push((cgroup, label));
            }
        }
        Ok(tagged)
    }

    fn set_attachments(&mut self, table: &Attachments) -> Result<(), KernelError> {
        let inner = array_of_one(names::ATTACHMENTS, table)?;
        self.attachments.set_map(&0, &inner)
    }

    fn attached_labels(&self) -> Result<Vec<Label>, KernelError> {
        let table = attachments::table(&self.attachments)?;
        let labels = table.map_or_else(Vec::new, |table| table.labels.to_vec());
        Ok(labels.into_iter().filter(|label| label.is_some()).collect())
    }

    fn label(&self, pidfd: &OwnedFd) -> Result<Option<Label>, KernelError> {
        let label = self.processes.label(pidfd)?.map(Label::settled);
        Ok(label.filter(|label| label.generation != 0))
    }

    fn set_label(&mut self, pidfd: &OwnedFd, label: Label) -> Result<(), KernelError> {
        self.processes.set(pidfd, label)
    }

    fn settling(&self) -> Result<Settling, KernelError> {
        self.census.settling()
    }

    fn set_settling(&mut self, settling: Settling) -> Result<(), KernelError> {
        self.census.set_settling(settling)
    }

    fn loses_labels(&self) -> bool {
        self.coverage.iter().any(is_of_forks)
    }

    fn unseen_births(&self) -> Result<u64, KernelError> {
        self.census.unseen_births()
    }

    fn killed_at_fork(&self) -> Result<u64, KernelError> {
        self.processes.killed()
    }

    fn settle_labels(&mut self) -> Result<Outcome, KernelError> {
        self.census.settle()
    }

    fn clear_labels(&mut self, label: Label) -> Result<Outcome, KernelError> {
        self.census.clear(label)
    }

    fn members(&mut self) -> Result<Vec<Member>, KernelError> {
        self.census.members()
    }

    fn mark_launcher(&mut self, program: &OwnedFd) -> Result<(), KernelError> {
        self.launchers.set(&program.as_raw_fd(), &1)
    }

    fn set_runtimes(&mut self, runtimes: &[Runtime]) -> Result<(), KernelError> {
        for place in 0..MAX_RUNTIMES {
            let runtime = runtimes.get(place).copied().unwrap_or_default();
            self.runtimes.set(&(place as u32), &runtime)?;
        }
        Ok(())
    }

    fn armed_label(&self, pidfd: &OwnedFd) -> Result<Option<Label>, KernelError> {
        let label = self.processes.label(pidfd)?;
        let armed = label.filter(|label| label.is_armed());
        Ok(armed.map(Label::settled))
    }

    fn attend(&mut self, now: u64) -> Result<(), KernelError> {
        self.attended.set(&ATTENDED_AT, &now)
    }

    fn mark_viewed(&mut self, namespace: Viewed) -> Result<(), KernelError> {
        self.viewed.set(&namespace, &1)
    }

    fn waiting_processes(&self) -> Result<Vec<(u32, Waiting)>, KernelError> {
        let mut waiting = Vec::new();
        for process in self.waiting.keys()? {
            if let Some(entry) = self.waiting.get(&process)? {
                waiting.push((process, entry));
            }
        }
        Ok(waiting)
    }

    fn set_waiting(&mut self, process: u32, waiting: &Waiting) -> Result<(), KernelError> {
        self.waiting.set(&process, waiting)
    }

    fn forget_waiting(&mut self, process: u32) -> Result<(), KernelError> {
        self.waiting.delete(&process).map(drop)
    }

    fn own_filesystem(&mut self, dev: u32, label: Label) -> Result<(), KernelError> {
        self.own.set(&dev, &label.generation)
    }

    fn session_filesystems(&self) -> Result<Vec<u32>, KernelError> {
        self.own.keys()
    }

    fn own_terminal(&mut self, slave: &OwnedFd, label: Label) -> Result<(), KernelError> {
        let key = slave.as_raw_fd();
        let mut owners = self.terminals.get(&key)?.unwrap_or_default();
        owners.labels[Owners::place(label.generation)] = label;
        self.terminals.set(&key, &owners)
    }

    fn own_jobs(&mut self, label: Label, number: u32) -> Result<(), KernelError> {
        let jobs = Jobs {
            generation: label.generation,
            number,
        };
        self.jobs.set(&label.slot, &jobs)
    }

    fn ledger(&self, slot: u32, rules: usize) -> Result<Vec<Count>, KernelError> {
        let rules = rules.min(MAX_RULES - 1);
        let mut counts = self.ledger.range(ledger_index(slot, 0), rules)?;
        let of_none = self.ledger.get(&ledger_index(slot, NO_RULE))?;
        counts.push(of_none.unwrap_or_default());
        Ok(counts)
    }

    fn reset_ledger(&mut self, slot: u32) -> Result<(), KernelError> {
        debug_assert_eq!(ledger_index(0, NO_RULE), MAX_RULES as u32 - 1);
        let none = [Count::default(); MAX_RULES];
        self.ledger.set_range(ledger_index(slot, 0), &none)
    }

    fn lost(&self, account: u32) -> Result<u64, KernelError> {
        Ok(self.shares.get(&account)?.unwrap_or_default().lost)
    }

    fn reset_lost(&mut self, slot: u32) -> Result<(), KernelError> {
        let share = self.shares.get(&slot)?.unwrap_or_default();
        self.shares.set(&slot, &Share { lost: 0, ..share })
    }

    fn put_in(&self) -> Result<Vec<u64>, KernelError> {
        let shares = self.shares.range(0, ACCOUNTS)?;
        Ok(shares.into_iter().map(|share| share.bytes).collect())
    }

    fn took(&mut self, events: &[OwnedEvent]) -> Result<(), KernelError> {
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

    fn took_all(&mut self, put_in: &[u64]) -> Result<(), KernelError> {
        let taken = self.taken.range(0, put_in.len())?;
        for ((account, bytes), taken) in (0..).zip(put_in).zip(taken) {
            if taken != *bytes {
                self.taken.set(&account, bytes)?;
            }
        }
        Ok(())
    }

    fn waiting(&self) -> Result<u64, KernelError> {
        let taken = self.taken.range(0, ACCOUNTS)?;
        let left = self.put_in()?.into_iter().zip(taken).map(|(put, taken)| {
            let left = put.wrapping_sub(taken).cast_signed();
            left.max(0).cast_unsigned()
        });
        Ok(left.sum())
    }

    fn last_number(&self, kind: u32) -> Result<u32, KernelError> {
        Ok(self.numbers.get(&kind)?.unwrap_or(0))
    }

    fn note_number(&mut self, kind: u32, number: u32) -> Result<(), KernelError> {
        let last = self.last_number(kind)?.max(number);
        self.numbers.set(&kind, &last)
    }
}
