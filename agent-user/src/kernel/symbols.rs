//! Addresses of kernel variables.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use super::error::KernelError;

/// The address of `rename_lock` (fs/dcache.c). Its first member is the sequence.
pub(super) fn rename_lock() -> Result<u64, KernelError> {
    let path = Path::new("/proc/kallsyms");
    let unreadable = |source| KernelError::Unreadable {
        path: path.into(),
        source,
        hint: "Bailiff needs a kernel built with CONFIG_KALLSYMS_ALL=y",
    };
    let file = File::open(path).map_err(unreadable)?;
    for line in BufReader::new(file).lines() {
        let line = line.map_err(unreadable)?;
        let mut words = line.split_ascii_whitespace();
        let address = words.next();
        if words.nth(1) != Some("rename_lock") || words.next().is_some() {
            continue;
        }
        let address = address.and_then(|address| u64::from_str_radix(address, 16).ok());
        return address
            .filter(|address| *address != 0)
            .ok_or(KernelError::NoRenameLock);
    }
    Err(KernelError::NoRenameLock)
}
