//! What the daemon asks, answered from memory.

use std::{collections::BTreeMap, os::fd::OwnedFd};

use agent_abi::{
    Image, ImageHeader, Label,
    arrival::{Viewed, Waiting},
    attachment::Attachments,
    census::{Member, Settling},
    image::{IMAGE_MAGIC, RELEASED_MAGIC},
    launcher::Runtime,
    ledger::{Count, NO_RULE, ledger_index},
    limits::MAX_RULES,
    share::ACCOUNTS,
};

use super::{MemoryKernel, State, pid_of};
use crate::{
    api::doctor::HookCoverage,
    kernel::{
        Enforcement, KernelError, NetRow, Outcome, OwnedEvent, Port, SELF_CHECK, SuperblockEntry,
    },
};

impl Port for MemoryKernel {
    fn coverage(&self) -> &[HookCoverage] {
        &self.coverage
    }

    fn examine(&self) -> Enforcement {
        let off = self.state().off.clone();
        off.map_or(Enforcement::InForce, Enforcement::Off)
    }

    fn was_interrupted(&self) -> bool {
        false
    }

    fn install(&mut self, slot: u32, image: &Image) -> Result<(), KernelError> {
        self.asked("install")?.images.insert(slot, copy(image));
        Ok(())
    }

    fn remove(&mut self, slot: u32) -> Result<(), KernelError> {
        self.asked("remove")?.images.remove(&slot);
        Ok(())
    }

    fn installed(&self) -> Result<Vec<(u32, ImageHeader)>, KernelError> {
        let state = self.asked("installed")?;
        let images = state.images.iter().filter(|(slot, image)| {
            let is_known = [IMAGE_MAGIC, RELEASED_MAGIC].contains(&image.header.magic);
            **slot != SELF_CHECK.slot && is_known
        });
        Ok(images.map(|(slot, image)| (*slot, image.header)).collect())
    }

    fn note_released(&mut self, label: Label) -> Result<(), KernelError> {
        let mut state = self.asked("note_released")?;
        state.released.insert(label.generation);
        Ok(())
    }

    fn was_released(&self, label: Label) -> Result<bool, KernelError> {
        let state = self.asked("was_released")?;
        Ok(state.released.contains(&label.generation))
    }

    fn add_net(&mut self, entries: &[NetRow]) -> Result<(), KernelError> {
        self.asked("add_net")?.net.extend_from_slice(entries);
        Ok(())
    }

    fn remove_net(&mut self, policy: u32) -> Result<(), KernelError> {
        let mut state = self.asked("remove_net")?;
        state
            .net
            .retain(|(_, key, _)| key.policy != policy.to_be_bytes());
        Ok(())
    }

    fn superblocks(&self) -> Result<Vec<SuperblockEntry>, KernelError> {
        let state = self.asked("superblocks")?;
        Ok(state.superblocks.values().copied().collect())
    }

    fn add_superblock(&mut self, entry: SuperblockEntry) -> Result<(), KernelError> {
        let mut state = self.asked("add_superblock")?;
        state.superblocks.insert(entry.number, entry);
        Ok(())
    }

    fn has_superblock(&self, entry: SuperblockEntry) -> Result<bool, KernelError> {
        let state = self.asked("has_superblock")?;
        Ok(state.superblocks.get(&entry.number) == Some(&entry))
    }

    fn remove_superblock(&mut self, entry: SuperblockEntry) -> Result<(), KernelError> {
        let mut state = self.asked("remove_superblock")?;
        if state.superblocks.get(&entry.number) == Some(&entry) {
            state.superblocks.remove(&entry.number);
        }
        Ok(())
    }

    fn tag_cgroup(&mut self, cgroup: u64, label: Label) -> Result<(), KernelError> {
        self.asked("tag_cgroup")?.tags.insert(cgroup, label);
        Ok(())
    }

    fn untag_cgroup(&mut self, cgroup: u64) -> Result<(), KernelError> {
        self.asked("untag_cgroup")?.tags.remove(&cgroup);
        Ok(())
    }

    fn tagged_cgroups(&self) -> Result<Vec<(u64, Label)>, KernelError> {
        let state = self.asked("tagged_cgroups")?;
        let tags = state.tags.iter();
        Ok(tags.map(|(cgroup, label)| (*cgroup, *label)).collect())
    }

    fn set_attachments(&mut self, table: &Attachments) -> Result<(), KernelError> {
        let mut copy = Box::<Attachments>::new_uninit();
        // SAFETY: both are valid for one table and do not overlap; it is integers only.
        let copy = unsafe {
            copy.as_mut_ptr().copy_from_nonoverlapping(table, 1);
            copy.assume_init()
        };
        self.asked("set_attachments")?.attachments = Some(copy);
        Ok(())
    }

    fn attached_labels(&self) -> Result<Vec<Label>, KernelError> {
        let state = self.asked("attached_labels")?;
        let labels = state.attachments.iter().flat_map(|table| table.labels);
        Ok(labels.filter(|label| label.is_some()).collect())
    }

    fn label(&self, pidfd: &OwnedFd) -> Result<Option<Label>, KernelError> {
        Ok(self.asked("label")?.label(pid_of(pidfd)))
    }

    fn set_label(&mut self, pidfd: &OwnedFd, label: Label) -> Result<(), KernelError> {
        let mut state = self.asked("set_label")?;
        if let Some(pid) = pid_of(pidfd) {
            state.process(pid).label = label;
        }
        Ok(())
    }

    fn settling(&self) -> Result<Settling, KernelError> {
        Ok(self.asked("settling")?.settling)
    }

    fn set_settling(&mut self, settling: Settling) -> Result<(), KernelError> {
        self.asked("set_settling")?.settling = settling;
        Ok(())
    }

    fn loses_labels(&self) -> bool {
        false
    }

    fn unseen_births(&self) -> Result<u64, KernelError> {
        self.asked("unseen_births").map(|_| 0)
    }

    fn killed_at_fork(&self) -> Result<u64, KernelError> {
        Ok(0)
    }

    fn settle_labels(&mut self) -> Result<Outcome, KernelError> {
        let mut state = self.asked("settle_labels")?;
        let State {
            processes, tags, ..
        } = &mut *state;
        let mut changed = 0;
        for process in processes.values_mut() {
            let tag = tags.get(&process.cgroup);
            if let Some(tag) = tag.filter(|_| !process.label.is_some()) {
                process.label = *tag;
                changed += 1;
            }
        }
        Ok(Outcome { changed, failed: 0 })
    }

    fn clear_labels(&mut self, label: Label) -> Result<Outcome, KernelError> {
        let mut state = self.asked("clear_labels")?;
        let mut changed = 0;
        for process in state.processes.values_mut() {
            if process.label.in_force() == label {
                process.label = Label::NONE;
                changed += 1;
            }
        }
        Ok(Outcome { changed, failed: 0 })
    }

    fn members(&mut self) -> Result<Vec<Member>, KernelError> {
        let state = self.asked("members")?;
        let members = state.processes.iter().map(|(pid, process)| Member {
            own: process.label,
            process: process.label,
            place: state.tags.get(&process.cgroup).copied().unwrap_or_default(),
            cgroup: process.cgroup,
            pid: *pid,
            tid: *pid,
        });
        let is_alive = |pid: u32| {
            let handle = state.processes.get(&pid)?.handle.as_ref()?;
            Some(handle.alive())
        };
        let members = members.filter(|member| {
            let is_told = member.process.is_some() || member.place.is_some();
            is_told && is_alive(member.pid).unwrap_or(false)
        });
        Ok(members.collect())
    }

    fn mark_launcher(&mut self, _program: &OwnedFd) -> Result<(), KernelError> {
        self.asked("mark_launcher").map(drop)
    }

    fn set_runtimes(&mut self, _runtimes: &[Runtime]) -> Result<(), KernelError> {
        self.asked("set_runtimes").map(drop)
    }

    fn armed_label(&self, pidfd: &OwnedFd) -> Result<Option<Label>, KernelError> {
        let state = self.asked("armed_label")?;
        let process = pid_of(pidfd).and_then(|pid| state.processes.get(&pid));
        let armed = process.filter(|process| process.label.is_armed());
        Ok(armed.map(|process| process.label.in_force()))
    }

    fn attend(&mut self, now: u64) -> Result<(), KernelError> {
        self.asked("attend")?.attended = now;
        Ok(())
    }

    fn mark_viewed(&mut self, namespace: Viewed) -> Result<(), KernelError> {
        self.asked("mark_viewed")?.viewed.insert(namespace);
        Ok(())
    }

    fn waiting_processes(&self) -> Result<Vec<(u32, Waiting)>, KernelError> {
        let state = self.asked("waiting_processes")?;
        let waiting = state.waiting.iter();
        Ok(waiting.map(|(process, entry)| (*process, *entry)).collect())
    }

    fn set_waiting(&mut self, process: u32, waiting: &Waiting) -> Result<(), KernelError> {
        let mut state = self.asked("set_waiting")?;
        state.waiting.insert(process, *waiting);
        Ok(())
    }

    fn forget_waiting(&mut self, process: u32) -> Result<(), KernelError> {
        self.asked("forget_waiting")?.waiting.remove(&process);
        Ok(())
    }

    fn own_filesystem(&mut self, dev: u32, label: Label) -> Result<(), KernelError> {
        let own = &mut self.asked("own_filesystem")?.own;
        own.insert(dev, label.generation);
        Ok(())
    }

    fn session_filesystems(&self) -> Result<Vec<u32>, KernelError> {
        let state = self.asked("session_filesystems")?;
        Ok(state.own.keys().copied().collect())
    }

    fn own_terminal(&mut self, _slave: &OwnedFd, _label: Label) -> Result<(), KernelError> {
        self.asked("own_terminal").map(drop)
    }

    fn own_jobs(&mut self, _label: Label, _number: u32) -> Result<(), KernelError> {
        self.asked("own_jobs").map(drop)
    }

    fn ledger(&self, slot: u32, rules: usize) -> Result<Vec<Count>, KernelError> {
        let state = self.asked("ledger")?;
        let rules = (0..MAX_RULES as u16 - 1).take(rules).chain([NO_RULE]);
        let count = |rule| {
            let index = ledger_index(slot, rule);
            state.ledger.get(&index).copied().unwrap_or_default()
        };
        Ok(rules.map(count).collect())
    }

    fn reset_ledger(&mut self, slot: u32) -> Result<(), KernelError> {
        let mut state = self.asked("reset_ledger")?;
        let own = ledger_index(slot, 0)..ledger_index(slot, 0) + MAX_RULES as u32;
        state.ledger.retain(|index, _| !own.contains(index));
        Ok(())
    }

    fn lost(&self, account: u32) -> Result<u64, KernelError> {
        let state = self.asked("lost")?;
        Ok(state.shares.get(&account).map_or(0, |share| share.lost))
    }

    fn reset_lost(&mut self, slot: u32) -> Result<(), KernelError> {
        self.asked("reset_lost")?
            .shares
            .entry(slot)
            .or_default()
            .lost = 0;
        Ok(())
    }

    fn put_in(&self) -> Result<Vec<u64>, KernelError> {
        let state = self.asked("put_in")?;
        let bytes = |account| state.shares.get(&account).map_or(0, |share| share.bytes);
        Ok((0..ACCOUNTS as u32).map(bytes).collect())
    }

    fn took(&mut self, events: &[OwnedEvent]) -> Result<(), KernelError> {
        let mut state = self.asked("took")?;
        let mut sums = BTreeMap::<u32, u64>::new();
        for event in events {
            *sums.entry(event.event.slot).or_default() += event.bytes();
        }
        for (slot, bytes) in sums {
            *state.taken.entry(slot).or_default() += bytes;
        }
        Ok(())
    }

    fn took_all(&mut self, put_in: &[u64]) -> Result<(), KernelError> {
        let mut state = self.asked("took_all")?;
        state.taken = (0..).zip(put_in.iter().copied()).collect();
        Ok(())
    }

    fn waiting(&self) -> Result<u64, KernelError> {
        let state = self.asked("waiting")?;
        Ok(state.events.iter().map(OwnedEvent::bytes).sum())
    }

    fn last_number(&self, kind: u32) -> Result<u32, KernelError> {
        let state = self.asked("last_number")?;
        Ok(state.numbers.get(&kind).copied().unwrap_or(0))
    }

    fn note_number(&mut self, kind: u32, number: u32) -> Result<(), KernelError> {
        let mut state = self.asked("note_number")?;
        let last = state.numbers.entry(kind).or_default();
        *last = number.max(*last);
        Ok(())
    }
}

/// A copy that never lies on the stack: an image is a megabyte.
fn copy(image: &Image) -> Box<Image> {
    let mut copy = Box::<Image>::new_uninit();
    // SAFETY: both are valid for one image and do not overlap; an image is integers only, so that its
    // bytes are a value.
    unsafe {
        copy.as_mut_ptr().copy_from_nonoverlapping(image, 1);
        copy.assume_init()
    }
}
