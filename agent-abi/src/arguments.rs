//! Arguments of hooks that stand at different positions on different kernels.
//!
//! The daemon looks for them by name in the running kernel's BTF and fills their positions into the
//! code, see [`relocation`](crate::relocation). To read another such argument, add a row here.

/// Calls `$callback!` with rows `NAME = "hook", "argument";`.
#[macro_export]
macro_rules! for_each_hook_argument {
    ($callback:ident) => {
        $callback! {
            // Behind `idmap` from 6.9 on.
            SETATTR_DENTRY = "inode_setattr", "dentry";
            SETATTR_CHANGES = "inode_setattr", "attr";
            // Behind `attr` before 6.16.
            PERF_TYPE = "perf_event_open", "type";
        }
    };
}
