//! Numbers of superblocks: the index under which an image says what a filesystem's root is.
//!
//! A number must not change its meaning while an image in force still uses it: the image would
//! judge the new filesystem's files by the old one's paths. So a number is given again only when
//! every session's image has been replaced since.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use agent_abi::{
    limits::MAX_SUPERBLOCKS,
    superblock::{CANDIDATES, NOBODY, candidate},
};

use crate::kernel::{KernelError, Port, SuperblockEntry};

/// Who has which number. Number 0 is nobody's.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Superblocks {
    by_dev: BTreeMap<u32, SuperblockEntry>,
    /// Of filesystems that went away; perhaps still in some image.
    stale: BTreeSet<u32>,
    /// Instances that were not given yet.
    instances: Range<u32>,
}

impl Superblocks {
    /// What an earlier daemon left. Numbers that are not in it may be in images all the same:
    /// until those are replaced no number is given.
    pub(in crate::daemon) fn from_kernel(entries: &[SuperblockEntry]) -> Self {
        let by_dev = entries
            .iter()
            .map(|entry| (entry.dev, *entry))
            .collect::<BTreeMap<_, _>>();
        let stale = (1..MAX_SUPERBLOCKS as u32)
            .filter(|number| !entries.iter().any(|entry| entry.number == *number))
            .collect();
        Self {
            by_dev,
            stale,
            instances: 0..0,
        }
    }

    /// How many filesystems can be told apart from others before `take_instances` is due.
    pub(super) fn instances_left(&self) -> usize {
        self.instances.len()
    }

    /// At least every instance that was given.
    pub(super) fn highest_instance(&self) -> u32 {
        let given = self.by_dev.values().map(|entry| entry.instance);
        given.max().unwrap_or(0).max(self.instances.end)
    }

    /// Takes numbers that nobody had before.
    pub(super) fn take_instances(&mut self, instances: Range<u32>) {
        self.instances = instances;
    }

    /// Numbers that some image may hold for a filesystem that is gone.
    pub(super) fn stale(&self) -> BTreeSet<u32> {
        self.stale.clone()
    }

    /// Every session's image has been replaced since these were stale, by one made from this table.
    pub(super) fn all_replaced(&mut self, since: &BTreeSet<u32>) {
        self.stale.retain(|number| !since.contains(number));
    }

    pub(in crate::daemon) fn instance(&self, dev: u32) -> Option<u32> {
        self.by_dev.get(&dev).map(|entry| entry.instance)
    }

    /// The number of a filesystem, if it is still that instance.
    pub(in crate::daemon) fn number(&self, dev: u32, instance: u32) -> Option<u32> {
        let entry = self.by_dev.get(&dev)?;
        (entry.instance == instance).then_some(entry.number)
    }

    /// Whether replacing all images would make numbers free.
    pub(super) fn has_stale(&self) -> bool {
        !self.stale.is_empty()
    }

    /// The first number that is free of those that the device can have.
    fn free_for(&self, dev: u32) -> Option<u32> {
        let used = |number: &u32| self.by_dev.values().any(|entry| entry.number == *number);
        (0..CANDIDATES)
            .map(|choice| candidate(dev, choice))
            .find(|number| *number != NOBODY && !self.stale.contains(number) && !used(number))
    }

    /// Gives each device a number, as far as there are any. Returns how many have none.
    pub(super) fn add(
        &mut self,
        kernel: &mut dyn Port,
        devices: impl IntoIterator<Item = u32>,
    ) -> Result<usize, KernelError> {
        let mut without = 0;
        for dev in devices {
            if self.by_dev.contains_key(&dev) {
                continue;
            }
            let Some(number) = self.free_for(dev) else {
                without += 1;
                continue;
            };
            let Some(instance) = self.instances.next() else {
                without += 1;
                continue;
            };
            let entry = SuperblockEntry {
                dev,
                instance,
                number,
            };
            kernel.add_superblock(entry)?;
            self.by_dev.insert(dev, entry);
        }
        Ok(without)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = SuperblockEntry> {
        self.by_dev.values().copied()
    }

    /// Takes what the kernel side dropped by itself out of the table.
    pub(super) fn reconcile(&mut self, entries: &[SuperblockEntry]) {
        let stale = &mut self.stale;
        self.by_dev.retain(|_, entry| {
            let is_there = entries.contains(entry);
            if !is_there {
                stale.insert(entry.number);
            }
            is_there
        });
    }

    /// Drops the numbers of devices that nobody sees.
    pub(super) fn keep_only(
        &mut self,
        kernel: &mut dyn Port,
        seen: &BTreeSet<u32>,
    ) -> Result<(), KernelError> {
        let unseen = self
            .by_dev
            .values()
            .filter(|entry| !seen.contains(&entry.dev));
        for entry in unseen.copied().collect::<Vec<_>>() {
            self.drop_entry(kernel, entry)?;
        }
        Ok(())
    }

    /// The filesystem is gone, if it is still this instance that has its device number.
    pub(super) fn forget(
        &mut self,
        kernel: &mut dyn Port,
        dev: u32,
        instance: u32,
    ) -> Result<(), KernelError> {
        match self.by_dev.get(&dev) {
            Some(entry) if entry.instance == instance => self.drop_entry(kernel, *entry),
            _ => Ok(()),
        }
    }

    fn drop_entry(
        &mut self,
        kernel: &mut dyn Port,
        entry: SuperblockEntry,
    ) -> Result<(), KernelError> {
        self.by_dev.remove(&entry.dev);
        self.stale.insert(entry.number);
        kernel.remove_superblock(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(dev: u32, number: u32) -> SuperblockEntry {
        SuperblockEntry {
            dev,
            instance: dev + 100,
            number,
        }
    }

    fn replace_all(table: &mut Superblocks) {
        let stale = table.stale();
        table.all_replaced(&stale);
    }

    #[test]
    fn no_number_is_given_before_the_old_images_are_replaced() {
        let mut table = Superblocks::from_kernel(&[entry(8, 40), entry(9, 45)]);
        assert_eq!(table.free_for(10), None);
        assert!(table.has_stale());
        replace_all(&mut table);
        assert_eq!(table.free_for(10), Some(candidate(10, 0)));
        assert_eq!(table.number(9, 109), Some(45));
        assert_eq!(table.number(9, 110), None);
    }

    #[test]
    fn a_number_of_what_is_gone_rests_until_images_are_replaced() {
        let home = candidate(8, 0);
        let mut table = Superblocks::from_kernel(&[entry(8, home), entry(9, 45)]);
        replace_all(&mut table);
        let before = table.stale();
        table.reconcile(&[entry(9, 45)]);
        assert_eq!(table.instance(8), None);
        assert_eq!(table.free_for(8), Some(home + 1));
        // It became stale while images were being replaced.
        table.all_replaced(&before);
        assert_eq!(table.free_for(8), Some(home + 1));
        replace_all(&mut table);
        assert_eq!(table.free_for(8), Some(home));
    }

    #[test]
    fn another_instance_of_a_device_is_another_filesystem() {
        let mut table = Superblocks::from_kernel(&[entry(8, 40)]);
        let later = SuperblockEntry {
            instance: 7,
            ..entry(8, 40)
        };
        table.reconcile(&[later]);
        assert_eq!(table.instance(8), None);
    }

    #[test]
    fn number_0_is_given_to_nobody() {
        let dev = (1..).find(|dev| candidate(*dev, 0) == 0).unwrap();
        let mut table = Superblocks::default();
        replace_all(&mut table);
        assert_eq!(table.free_for(dev), Some(1));
    }

    #[test]
    fn a_few_hundred_filesystems_without_a_device_all_find_a_number() {
        let mut table = Superblocks::default();
        for dev in 1..=900 {
            let number = table.free_for(dev).unwrap();
            table.by_dev.insert(dev, entry(dev, number));
        }
    }
}
