//! Room on the disks that builds and downloads are written to.

use crate::paths;
use anyhow::Result;
use nix::sys::statvfs::statvfs;
use std::path::Path;

/// What a whole run takes on a machine that has nothing of it yet: 3.0 GB of build output (5.7 where builds are
/// incremental) and 1.4 GB of kernels and roots.
const WANTED: u64 = 5 << 30;

/// Says so where less is free, since what fails then says it a hundred lines further up, or not at all.
pub(crate) fn warn() -> Result<()> {
    for folder in [paths::workspace(), &paths::cache()?] {
        if let Some(free) = free(folder).filter(|free| *free < WANTED) {
            eprintln!(
                "note: {} MB are free for {}, and all that is built and downloaded takes about {} MB",
                free >> 20,
                folder.display(),
                WANTED >> 20
            );
        }
    }
    Ok(())
}

fn free(folder: &Path) -> Option<u64> {
    let found = statvfs(folder).ok()?;
    Some(found.blocks_available() * found.fragment_size())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_some_room_where_the_tests_are() {
        assert!(free(Path::new(".")).is_some_and(|free| free > 0));
        assert_eq!(free(Path::new("/nonexistent")), None);
    }
}
