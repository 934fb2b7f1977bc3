//! Which program a task runs, by its file's device and inode.

use crate::{
    address::Address,
    kernel::{FILE_INODE, INODE_INO, INODE_SB, Inode, MEMORY_PROGRAM, SB_DEV, TASK_MEMORY},
};

/// Device and inode of the program that a task runs; zeros where it has none.
#[inline(always)]
pub(crate) fn of_task(task: Address) -> (u32, u64) {
    let file = task.member(&TASK_MEMORY).follow();
    let file = file.member(&MEMORY_PROGRAM).follow();
    of_inode(file.member(&FILE_INODE).follow())
}

/// The same of a program's file.
#[inline(always)]
pub(crate) fn of_file(inode: *const Inode) -> (u32, u64) {
    of_inode(Address::of(inode))
}

#[inline(always)]
fn of_inode(inode: Address) -> (u32, u64) {
    let superblock = inode.member(&INODE_SB).follow();
    (
        superblock.member(&SB_DEV).read() as u32,
        inode.member(&INODE_INO).read(),
    )
}
