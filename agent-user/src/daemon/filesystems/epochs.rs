//! Numbers of images: never the same twice while the host is up, whatever daemon gives them.

use std::{
    ops::Range,
    sync::{Mutex, PoisonError},
};

use super::numbers;
use crate::store::{Counter, Store, StoreError};

/// Numbers that are reserved at a time, so that the store is not asked for each image.
const BLOCK: u32 = 1 << 16;

/// Numbers that are reserved for this daemon. The next block is reserved when half of one is left: a store
/// that fails for a time keeps no image from being put in force.
pub(in crate::daemon) struct Epochs {
    block: u32,
    left: Mutex<Left>,
}

struct Left {
    block: Range<u32>,
    following: Option<Range<u32>>,
}

impl Epochs {
    /// All are greater than `floor`.
    ///
    /// # Errors
    /// The store fails, or has no more numbers.
    pub(in crate::daemon) fn reserve(store: &Store, floor: u32) -> Result<Self, StoreError> {
        Self::in_blocks(store, floor, BLOCK)
    }

    fn in_blocks(store: &Store, floor: u32, block: u32) -> Result<Self, StoreError> {
        let first = numbers::reserve(store, Counter::Epoch, floor, block)?;
        let left = Left {
            block: first..first.saturating_add(block),
            following: None,
        };
        Ok(Self {
            block,
            left: Mutex::new(left),
        })
    }

    /// What the kernel side is to note: where the disk is full, the store does not know these.
    pub(in crate::daemon) fn last_reserved(&self) -> u32 {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.block.end.saturating_sub(1)
    }

    /// The next one.
    ///
    /// # Errors
    /// None is left, and the store fails or has no more.
    pub(in crate::daemon) fn next(&self, store: &Store) -> Result<u32, StoreError> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if left.following.is_none() && left.block.len() as u32 <= self.block / 2 {
            // Somebody may have replaced the store by an empty one.
            let floor = left.block.end.saturating_sub(1);
            match reserve(store, floor, self.block) {
                Ok(following) => left.following = Some(following),
                Err(error) if left.block.is_empty() => return Err(error),
                Err(error) => {
                    let count = left.block.len();
                    tracing::warn!("{count} images more can be put in force: {error}");
                }
            }
        }
        loop {
            if let Some(epoch) = left.block.next() {
                return Ok(epoch);
            }
            // Reserved above at the latest.
            match left.following.take() {
                Some(following) => left.block = following,
                None => return Err(StoreError::Exhausted("epoch")),
            }
        }
    }
}

fn reserve(store: &Store, floor: u32, count: u32) -> Result<Range<u32>, StoreError> {
    let first = store.reserve(Counter::Epoch, floor, count)?;
    Ok(first..first.saturating_add(count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::temporary;

    fn next(epochs: &Epochs, store: &Store, count: usize) -> Vec<u32> {
        let next = || epochs.next(store).unwrap();
        std::iter::repeat_with(next).take(count).collect()
    }

    #[test]
    fn each_is_reserved_before_it_is_given() {
        let (_directory, store) = temporary();
        let one = Epochs::in_blocks(&store, 0, 3).unwrap();
        assert_eq!(next(&one, &store, 2), [1, 2]);
        // Half of the block is gone. Another daemon's block comes in between, and is not entered.
        assert_eq!(next(&one, &store, 1), [3]);
        let other = Epochs::in_blocks(&store, 0, 3).unwrap();
        assert_eq!(next(&one, &store, 4), [4, 5, 6, 10]);
        assert_eq!(next(&other, &store, 4), [7, 8, 9, 13]);
        let mut all = next(&one, &store, 100);
        all.extend(next(&other, &store, 100));
        all.sort_unstable();
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "{all:?}");
    }

    #[test]
    fn no_image_waits_for_the_store_while_some_are_left() {
        let (directory, store) = temporary();
        let epochs = Epochs::in_blocks(&store, 0, 3).unwrap();
        let raw = rusqlite::Connection::open(directory.path().join("bailiff.db")).unwrap();
        raw.execute_batch("ALTER TABLE counters RENAME TO away")
            .unwrap();
        assert_eq!(next(&epochs, &store, 3), [1, 2, 3]);
        for _ in 0..3 {
            assert!(epochs.next(&store).is_err());
        }
        raw.execute_batch("ALTER TABLE away RENAME TO counters")
            .unwrap();
        assert_eq!(next(&epochs, &store, 2), [4, 5]);
        // A new store knows nothing of those that were given.
        raw.execute_batch("DELETE FROM counters").unwrap();
        assert_eq!(next(&epochs, &store, 4), [6, 7, 8, 9]);
    }

    #[test]
    fn the_last_does_not_begin_again() {
        let (_directory, store) = temporary();
        let epochs = Epochs::in_blocks(&store, u32::MAX - 5, 3).unwrap();
        let first = u32::MAX - 4;
        assert_eq!(next(&epochs, &store, 3), [first, first + 1, first + 2]);
        for _ in 0..3 {
            assert!(matches!(epochs.next(&store), Err(StoreError::Exhausted(_))));
        }
    }
}
