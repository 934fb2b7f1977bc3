use anyhow::Result;

use super::must;
use crate::{
    clock::count,
    ground::{FILE, path},
};

pub(super) fn open(depth: u32) -> Result<impl FnMut() -> u64> {
    let path = path(depth, FILE)?;
    Ok(move || {
        count(|| {
            // SAFETY: a string that ends in a zero byte, and a descriptor just opened.
            unsafe {
                let file = must(libc::open(path.as_ptr(), libc::O_RDONLY), "open");
                libc::close(file);
            }
        })
    })
}

pub(super) fn create(depth: u32) -> Result<impl FnMut() -> u64> {
    let path = path(depth, "created.tmp")?;
    Ok(move || {
        count(|| {
            let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY;
            // SAFETY: as above.
            unsafe {
                let file = must(libc::open(path.as_ptr(), flags, 0o600), "create");
                libc::close(file);
                must(libc::unlink(path.as_ptr()), "unlink");
            }
        })
    })
}

pub(super) fn rename(depth: u32) -> Result<impl FnMut() -> u64> {
    let mut from = path(depth, "written.tmp")?;
    let mut to = path(depth, "written.txt")?;
    std::fs::write(from.to_str()?, b"")?;
    Ok(move || {
        let taken = count(|| {
            // SAFETY: strings that end in a zero byte.
            must(
                unsafe { libc::rename(from.as_ptr(), to.as_ptr()) },
                "rename",
            );
        });
        std::mem::swap(&mut from, &mut to);
        taken
    })
}
