//! User namespaces.
//!
//! | hook | right |
//! |---|---|
//! | `userns_create` | `kernel.namespace` (other namespaces need a capability) |
//! | `fexit/create_user_ns` | notes whose a new one is |
//! | `fexit/retire_userns_sysctls` | forgets it |

use agent_abi::{Right, Surface};
use aya_ebpf::{
    macros::{fexit, lsm},
    programs::{FExitContext, LsmContext},
};

use super::surface::opened;
use crate::{
    forking,
    kernel::{
        CREDENTIALS_NAMESPACE, Credentials, DENTRY_SB, Dentry, SB_MAGIC, SuperBlock,
        TASK_GROUP_LEADER, Task, UserNamespace, load,
    },
    nested::{forget, note},
    subject::{Subject, current_task, guard_alone},
};

/// `int userns_create(const struct cred *)`
#[lsm(hook = "userns_create")]
fn userns_create(_ctx: LsmContext) -> i32 {
    guard_alone(|subject| {
        if subject.may(Surface::Containers) {
            return 0;
        }
        opened(subject, Surface::Namespaces, Right::KernelNamespace, 0)
    })
}

/// `int create_user_ns(struct cred *new)` (kernel/user_namespace.c), after it. Whoever makes one: what stands
/// where another stood is not that other's.
#[fexit(function = "create_user_ns")]
fn create_user_ns(ctx: FExitContext) -> i32 {
    let failed: i32 = ctx.arg(1);
    if failed != 0 {
        return 0;
    }
    // SAFETY: `current` is a valid task, and the function's argument has the new namespace.
    let (leader, namespace): (*const Task, *const UserNamespace) = unsafe {
        (
            load(current_task(), &TASK_GROUP_LEADER),
            load(ctx.arg::<*const Credentials>(0), &CREDENTIALS_NAMESPACE),
        )
    };
    let label = forking::label_of(leader);
    let generation = match label.is_armed() {
        // Who sets something up for the session acts as itself.
        true => 0,
        false => label.generation,
    };
    note(namespace, generation);
    0
}

/// `void retire_userns_sysctls(struct user_namespace *)` (kernel/ucount.c): of each that is freed, also of those
/// above one that go with it.
#[fexit(function = "retire_userns_sysctls")]
fn retire_userns_sysctls(ctx: FExitContext) -> i32 {
    forget(ctx.arg(0));
    0
}

const NSFS_MAGIC: u64 = 0x6e73_6673;

/// Whether a file stands for a namespace, in a session that may have such. It is good for nothing but entering it,
/// for which the kernel asks for a capability over its owner.
#[inline(always)]
pub(super) fn is_namespace(subject: &Subject, dentry: *const Dentry) -> bool {
    // SAFETY: the hook's dentry, and what is loaded from it.
    let magic: u64 = unsafe {
        let superblock: *const SuperBlock = load(dentry, &DENTRY_SB);
        load(superblock, &SB_MAGIC)
    };
    magic == NSFS_MAGIC && subject.may(Surface::Containers)
}
