//! Numbers of superblocks: the index under which an image says what a filesystem's root is.
//!
//! A number must not change its meaning while an image in force still uses it: the image would
//! judge the new filesystem's files by the old one's paths. So a number is given again only when
//! every session's image has been replaced since.

use std::collections::{BTreeMap, BTreeSet};

use agent_abi::{
    limits::MAX_SUPERBLOCKS,
    superblock::{CANDIDATES, NOBODY, candidate},
};

use crate::kernel::{Kernel, KernelError, SuperblockEntry};

/// Who has which number. Number 0 is nobody's.
#[derive(Debug, Default)]
pub(super) struct Superblocks {
    by_dev: BTreeMap<u32, u32>,
    /// Of filesystems that went away; perhaps still in some image.
    stale: BTreeSet<u32>,
}

impl Superblocks {
    /// What an earlier daemon left. Numbers that are not in it may be in images all the same:
    /// until those are replaced (`all_replaced`) no number is given.
    pub(super) fn from_kernel(entries: &[SuperblockEntry]) -> Self {
        let by_dev = entries
            .iter()
            .map(|entry| (entry.dev, entry.number))
            .collect::<BTreeMap<_, _>>();
        let stale = (1..MAX_SUPERBLOCKS as u32)
            .filter(|number| !by_dev.values().any(|used| used == number))
            .collect();
        Self { by_dev, stale }
    }

    /// Every session's image has been replaced, by one made from this table.
    pub(super) fn all_replaced(&mut self) {
        self.stale.clear();
    }

    pub(super) fn number(&self, dev: u32) -> Option<u32> {
        self.by_dev.get(&dev).copied()
    }

    /// Whether replacing all images would make numbers free.
    pub(super) fn has_stale(&self) -> bool {
        !self.stale.is_empty()
    }

    /// The first number that is free of those that the device can have.
    fn free_for(&self, dev: u32) -> Option<u32> {
        let used = self.by_dev.values().copied().collect::<BTreeSet<_>>();
        (0..CANDIDATES)
            .map(|choice| candidate(dev, choice))
            .find(|number| {
                *number != NOBODY && !used.contains(number) && !self.stale.contains(number)
            })
    }

    /// Gives each device a number, as far as there are any. Returns how many have none.
    pub(super) fn add(
        &mut self,
        kernel: &mut Kernel,
        devices: impl IntoIterator<Item = u32>,
    ) -> Result<usize, KernelError> {
        let mut without = 0;
        for dev in devices {
            if self.by_dev.contains_key(&dev) {
                continue;
            }
            match self.free_for(dev) {
                Some(number) => {
                    kernel.add_superblock(SuperblockEntry { dev, number })?;
                    self.by_dev.insert(dev, number);
                }
                None => without += 1,
            }
        }
        Ok(without)
    }

    /// Takes what the kernel side dropped by itself out of the table.
    pub(super) fn reconcile(&mut self, entries: &[SuperblockEntry]) {
        let gone = |dev: &u32, number: &u32| {
            !entries
                .iter()
                .any(|entry| entry.dev == *dev && entry.number == *number)
        };
        let stale = self.by_dev.iter().filter(|(dev, number)| gone(dev, number));
        self.stale
            .extend(stale.map(|(_, number)| *number).collect::<Vec<_>>());
        self.by_dev.retain(|dev, number| !gone(dev, number));
    }

    /// Drops the numbers of devices that nobody sees.
    pub(super) fn keep_only(
        &mut self,
        kernel: &mut Kernel,
        seen: &BTreeSet<u32>,
    ) -> Result<(), KernelError> {
        let unseen = self
            .by_dev
            .keys()
            .filter(|dev| !seen.contains(dev))
            .copied()
            .collect::<Vec<_>>();
        for dev in unseen {
            self.forget(kernel, dev)?;
        }
        Ok(())
    }

    /// The filesystem is gone.
    pub(super) fn forget(&mut self, kernel: &mut Kernel, dev: u32) -> Result<(), KernelError> {
        if let Some(number) = self.by_dev.remove(&dev) {
            self.stale.insert(number);
            kernel.remove_superblock(SuperblockEntry { dev, number })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(dev: u32, number: u32) -> SuperblockEntry {
        SuperblockEntry { dev, number }
    }

    #[test]
    fn no_number_is_given_before_the_old_images_are_replaced() {
        let mut table = Superblocks::from_kernel(&[entry(8, 40), entry(9, 45)]);
        assert_eq!(table.free_for(10), None);
        assert!(table.has_stale());
        table.all_replaced();
        assert_eq!(table.free_for(10), Some(candidate(10, 0)));
        assert_eq!(table.number(9), Some(45));
    }

    #[test]
    fn a_number_of_what_is_gone_rests_until_images_are_replaced() {
        let home = candidate(8, 0);
        let mut table = Superblocks::from_kernel(&[entry(8, home), entry(9, 45)]);
        table.all_replaced();
        table.reconcile(&[entry(9, 45)]);
        assert_eq!(table.number(8), None);
        assert_eq!(table.free_for(8), Some(home + 1));
        table.all_replaced();
        assert_eq!(table.free_for(8), Some(home));
    }

    #[test]
    fn number_0_is_given_to_nobody() {
        let dev = (1..).find(|dev| candidate(*dev, 0) == 0).unwrap();
        let mut table = Superblocks::default();
        table.all_replaced();
        assert_eq!(table.free_for(dev), Some(1));
    }

    #[test]
    fn a_few_hundred_filesystems_without_a_device_all_find_a_number() {
        let mut table = Superblocks::default();
        for dev in 1..=900 {
            let number = table.free_for(dev).unwrap();
            table.by_dev.insert(dev, number);
        }
    }
}
