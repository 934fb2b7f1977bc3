//! Programs that only set things up for the program that they execute next. An armed label stays armed when one
//! of them is executed by whom it is for.
//!
//! - systemd's executor, by a service manager (`starts_services()` in [`crate::hooks`]). The daemon marks the
//!   inode, by a descriptor of it. The mark is gone with the inode's place in memory, which whoever holds the file
//!   open keeps there: the daemon, and systemd itself.
//! - A container's runtime, by itself: runc executes itself as the init of a container, or a copy of itself in
//!   memory that nobody can write to, so that the container cannot reach its file. It does so in the host's mount
//!   namespace, before it enters any of the container's: there no path is the container's to choose, and what the
//!   container's image calls `/proc/self/exe` is not executed there.
//!
//! Without a mark the label takes force too early, and never too late.

use agent_abi::launcher::MAX_RUNTIMES;

use crate::{
    address::Address,
    kernel::{
        INODE_SB, Inode, MEMORY_FILE_INODE, MEMORY_FILE_SEALS, MOUNT_NAMESPACE_NUMBER,
        NAMESPACES_MOUNT, SB_FLAGS, SB_MAGIC, TASK_GROUP_LEADER, TASK_NAMESPACES, Task, load,
    },
    maps::{LAUNCHERS, RUNTIMES},
    place::{SB_KERNMOUNT, TMPFS_MAGIC},
    program,
    subject::current_task,
};

/// `F_SEAL_WRITE`
const SEALED: u64 = 8;

/// Whether `program` is marked.
#[inline(always)]
pub(crate) fn is_launcher(program: *const Inode) -> bool {
    !program.is_null() && LAUNCHERS.get(program).is_some()
}

/// Whether a container's runtime executes itself, or a copy that it made of itself.
#[inline(never)]
pub(crate) fn renews_itself(program: *const Inode) -> bool {
    // SAFETY: `current` is a valid task.
    let leader: *const Task = unsafe { load(current_task(), &TASK_GROUP_LEADER) };
    let leader = Address::of(leader);
    let own = program::of_task(leader);
    let namespace = leader.member(&TASK_NAMESPACES).follow();
    let namespace = namespace.member(&NAMESPACES_MOUNT).follow();
    let namespace = namespace.member(&MOUNT_NAMESPACE_NUMBER).read() as u32;
    if own.1 == 0 || !is_runtime(own, namespace) {
        return false;
    }
    own == program::of_file(program) || is_copy(program)
}

/// Whether it is a copy that somebody made of a program: a file in memory that never had a path, and that nobody can
/// write to any more.
#[inline(always)]
pub(crate) fn is_copy(program: *const Inode) -> bool {
    is_sealed_memory(Address::of(program))
}

#[inline(always)]
fn is_runtime((device, inode): (u32, u64), namespace: u32) -> bool {
    let mut place = 0;
    while place < MAX_RUNTIMES as u32 {
        if let Some(runtime) = RUNTIMES.get(place)
            && runtime.inode == inode
            && runtime.device == device
            && runtime.namespace == namespace
        {
            return true;
        }
        place += 1;
    }
    false
}

/// Whether it is a file in memory that never had a path, and that nobody can write to any more.
#[inline(always)]
fn is_sealed_memory(inode: Address) -> bool {
    let superblock = inode.member(&INODE_SB).follow();
    superblock.member(&SB_MAGIC).read() == TMPFS_MAGIC
        && superblock.member(&SB_FLAGS).read() & SB_KERNMOUNT != 0
        && inode
            .container(&MEMORY_FILE_INODE)
            .member(&MEMORY_FILE_SEALS)
            .read()
            & SEALED
            != 0
}
