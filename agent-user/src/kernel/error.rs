//! What goes wrong between the daemon and the kernel.

use std::{io, path::PathBuf};

/// The message says what is wrong and, where the operator can mend it, how.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// A file of the running kernel could not be read.
    #[error("cannot read {path}: {source}. {hint}")]
    Unreadable {
        path: PathBuf,
        source: io::Error,
        hint: &'static str,
    },
    /// BTF that does not have the expected form.
    #[error("the kernel's type information (/sys/kernel/btf/vmlinux) is not understood: {0}")]
    Btf(String),
    /// A structure member that the hooks need does not exist.
    #[error(
        "this kernel has no member {0}, which Bailiff reads: the kernel is newer or older than \
         this version supports (6.1 and up); please report it with `uname -r`"
    )]
    NoSuchField(String),
    /// A hook that enforcement needs does not exist.
    #[error(
        "this kernel has no LSM hook {0}, and enforcement has a hole without it: use a kernel \
         from 6.1 on with CONFIG_BPF_LSM=y"
    )]
    NoSuchHook(String),
    /// A hook has other arguments than the program expects.
    #[error(
        "LSM hook {hook} has {found} arguments on this kernel, Bailiff expects {expected}: this \
         kernel is newer than this version supports"
    )]
    HookChanged {
        hook: String,
        expected: usize,
        found: usize,
    },
    /// `rename_lock` is not in the symbol table.
    #[error(
        "the address of rename_lock is not in /proc/kallsyms, so paths cannot be read safely: \
         the daemon needs root and kernel.kptr_restrict below 2"
    )]
    NoRenameLock,
    /// The object was refused by the loader or the verifier.
    #[error("cannot load the eBPF programs: {0}")]
    Load(String),
    /// A program was refused by the verifier, or could not be attached.
    #[error("cannot load or attach the program for {hook}: {reason}")]
    Program { hook: String, reason: String },
    /// Pins could not be made or opened.
    #[error("cannot use {path}: {reason}")]
    Pin { path: PathBuf, reason: String },
    /// A map operation failed.
    #[error("cannot {operation} in map {map}: {source}")]
    Map {
        operation: &'static str,
        map: &'static str,
        source: io::Error,
    },
    /// A process would be in no session once it failed to fork.
    #[error(
        "this kernel frees the label of a process that fails to fork, and has not what Bailiff needs to keep it: \
         use a kernel with the fix \"bpf,fork: wipe ->bpf_storage before bailouts that access it\" (6.1 and 6.12 \
         have it in their newest versions)"
    )]
    FreesLabels,
    /// The check of what hooks read found a difference.
    #[error(
        "the self-check failed: {0}. Enforcement would be unsafe on this kernel, so the daemon \
         does not start; please report this with `uname -r`"
    )]
    SelfCheck(String),
}
