//! Set-user-id and set-group-id bits: whoever runs such a file outside acts as its owner, root for a
//! session of root, and under no grant. To leave one needs the capability `fsetid`.
//!
//! | hook | where the mode is |
//! |---|---|
//! | `path_chmod` | what is asked for; `fchmod` of a temporary file too |
//! | `path_mknod`, which a creating `open` asks as well | what is asked for |
//! | `file_open` with `O_TMPFILE`, which asks no hook with a mode | the new file's |
//! | `mmap_file` | shared memory of a file that has a bit already and is open for writing |
//!
//! Nothing else sets the bits: links and renames keep the program and its owner, a change of owner
//! or content takes them away (`chown_common()`, `file_remove_privs()`) unless the content changes
//! by memory, and an ACL gives none.

use agent_abi::{FileRights, Reason, ledger::NO_RULE};
use agent_decide::needs::FMODE_WRITE;

use super::process::{CAP_FSETID, has_capability};
use crate::{
    decide::{EPERM, out_of_memory, refuse_file},
    kernel::{Dentry, FILE_DENTRY, FILE_MODE, File, load},
    maps::SCRATCH,
    place::mode_of,
    subject::Subject,
    walk::Object,
};

const S_ISUID: u16 = 0o4000;
const S_ISGID: u16 = 0o2000;

/// Whether a mode has one of the bits.
#[inline(always)]
pub(super) fn is_set(mode: u16) -> bool {
    mode & (S_ISUID | S_ISGID) != 0
}

/// Refuses a file that is no directory and gets `mode`, in a session without `fsetid`; 0 says that
/// the bits are no objection.
#[inline(always)]
pub(super) fn refuse_set_id(
    subject: &Subject,
    dentry: *const Dentry,
    mode: u16,
    wanted: FileRights,
) -> i32 {
    if !is_set(mode) || has_capability(subject, CAP_FSETID) {
        return 0;
    }
    let Some(scratch) = SCRATCH.get_or_create(subject.task) else {
        return out_of_memory(subject);
    };
    let object = Object::unwalked(dentry);
    let reason = if subject.image.is_none() {
        Reason::SessionEnded
    } else {
        Reason::PrivilegeGain
    };
    refuse_file(subject, scratch, object, wanted, reason, NO_RULE, EPERM)
}

/// Refuses a mapping by which the content of a set-user-id file could change.
#[inline(always)]
pub(super) fn refuse_mapped(subject: &Subject, mapped: *const File) -> i32 {
    if mapped.is_null() {
        return 0;
    }
    // SAFETY: the hook's argument, and not NULL.
    let (opened, dentry): (u32, *const Dentry) =
        unsafe { (load(mapped, &FILE_MODE), load(mapped, &FILE_DENTRY)) };
    if opened & FMODE_WRITE == 0 {
        return 0;
    }
    refuse_set_id(subject, dentry, mode_of(mapped), FileRights::WRITE)
}
