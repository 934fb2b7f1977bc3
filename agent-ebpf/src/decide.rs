//! Verdicts: a state or a fact against the session's image; then the ledger, then the event.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use agent_abi::{
    FileRights, Image, Reason, Right, Verdict,
    event::Detail,
    ledger::{NO_RULE, ledger_index},
    right::FILE_RIGHTS,
};

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;

use crate::{
    directory::recall,
    event::{Finding, count_drop, report, report_file},
    kernel::{
        DENTRY_INODE, DENTRY_SB, Dentry, FILE_INODE, FILE_MOUNT, File, INODE_MODE, Inode,
        MOUNT_NAMESPACE, MOUNT_VFSMOUNT, SB_FLAGS, SB_MAGIC, SuperBlock, VfsMount,
        file_path_is_trusted, is_null, load, offset,
    },
    maps::{LEDGER, SCRATCH},
    scratch::Scratch,
    subject::Subject,
    walk::{keep, state_of, states_of, word},
};

pub const EPERM: i32 = 1;
pub const ENOMEM: i32 = 12;
pub const EACCES: i32 = 13;
/// What a move across the grant's borders gets: `mv` and its like then copy, as between
/// filesystems, and the copy is judged by the rights of its new name.
pub const EXDEV: i32 = 18;

/// `SB_KERNMOUNT`: a filesystem that the kernel mounts for itself and that has no path.
const SB_KERNMOUNT: u64 = 1 << 22;
const PIPEFS_MAGIC: u64 = 0x5049_5045;
const TMPFS_MAGIC: u64 = 0x0102_1994;
/// Process descriptors (6.9+). What may be done with one is judged at its use.
const PIDFS_MAGIC: u64 = 0x5049_4446;
const HUGETLBFS_MAGIC: u64 = 0x9584_58f6;

const S_IFMT: u16 = 0o170_000;
const S_IFDIR: u16 = 0o040_000;

const fn nothing() -> Detail {
    Detail {
        words: [0; 2],
        extra: 0,
    }
}

/// Refuses something that has no path. Returns what the hook returns.
#[inline(always)]
pub fn refuse(
    subject: &Subject,
    right: Right,
    reason: Reason,
    rule: u16,
    detail: Detail,
    errno: i32,
) -> i32 {
    let reason = if subject.image.is_none() {
        Reason::SessionEnded
    } else {
        reason
    };
    let verdict = conclude(subject, rule);
    match SCRATCH.get_or_create(subject.task) {
        Some(scratch) => report(
            subject,
            scratch,
            verdict,
            Finding {
                right,
                reason,
                rule,
                detail,
            },
        ),
        None => count_drop(),
    }
    returned(verdict, errno)
}

/// Refuses without an event: for questions that the kernel itself asks not to be audited.
#[inline(always)]
pub fn refuse_silently(subject: &Subject, errno: i32) -> i32 {
    let audit = subject.image.is_some_and(|image| image.header.audit != 0);
    if audit { 0 } else { -errno }
}

/// Counts an allowed use of a rule.
#[inline(always)]
pub fn count_allowed(subject: &Subject, rule: u16) {
    if let Some(count) = LEDGER.get_ptr_mut(ledger_index(subject.label.slot, rule)) {
        // SAFETY: a live map value; the increment is atomic.
        unsafe { increment(&raw mut (*count).allowed) };
    }
}

/// [`permits`] for the dentry of an open file.
#[inline(always)]
pub fn permits_opened(subject: &Subject, dentry: *const Dentry, wanted: FileRights) -> bool {
    file_path_is_trusted() && permits(subject, dentry, wanted)
}

/// Whether the short way already finds that the session may do `wanted` to the file at `dentry`.
/// If not, nothing is decided yet.
#[inline(always)]
pub fn permits(subject: &Subject, dentry: *const Dentry, wanted: FileRights) -> bool {
    let Some(image) = subject.image else {
        return false;
    };
    let Some((state, _)) = recall(image, dentry) else {
        return false;
    };
    // SAFETY: `word` masks every index.
    let record = unsafe { record_of(image, state) };
    // SAFETY: as above.
    let permitted = FileRights(unsafe { word(image, record) }).contains(wanted);
    if permitted {
        count_rules(subject, image, record, wanted);
    }
    permitted
}

/// Decides whether the session may do `wanted` to the file at `dentry`.
#[inline(always)]
pub fn file(subject: &Subject, dentry: *const Dentry, wanted: FileRights) -> i32 {
    walked(subject, dentry, wanted, true)
}

/// [`file`] for the dentry of an open file.
#[inline(always)]
pub fn opened(subject: &Subject, dentry: *const Dentry, wanted: FileRights) -> i32 {
    walked(subject, dentry, wanted, file_path_is_trusted())
}

/// Decides by the long way, and remembers the directory for the short one.
#[inline(always)]
fn walked(subject: &Subject, dentry: *const Dentry, wanted: FileRights, keeps: bool) -> i32 {
    let Some(scratch) = SCRATCH.get_or_create(subject.task) else {
        return out_of_memory(subject);
    };
    let Some(image) = subject.image else {
        let reason = Reason::SessionEnded;
        return refuse_file(subject, scratch, dentry, wanted, reason, NO_RULE, EACCES);
    };
    match state_of(image, scratch, dentry) {
        Ok(state) => {
            if keeps {
                keep(image, scratch, dentry);
            }
            at_state(subject, scratch, image, dentry, state, wanted)
        }
        Err(reason) => refuse_file(subject, scratch, dentry, wanted, reason, NO_RULE, EACCES),
    }
}

/// Decides a link or a rename: `leave` at the old name, `arrive` at the new one, and that the
/// object gains no right by it. `exchange` asks the same the other way round.
///
/// Invariant: for every path at or below the object, rights after ⊆ rights before.
#[inline(always)]
pub fn moved(
    subject: &Subject,
    old: *const Dentry,
    leave: FileRights,
    new: *const Dentry,
    arrive: FileRights,
    exchange: bool,
) -> i32 {
    let Some(scratch) = SCRATCH.get_or_create(subject.task) else {
        return out_of_memory(subject);
    };
    let Some(image) = subject.image else {
        return refuse_file(
            subject,
            scratch,
            old,
            leave,
            Reason::SessionEnded,
            NO_RULE,
            EACCES,
        );
    };
    let (old_state, new_state) = match states_of(image, scratch, old, new) {
        Ok(states) => states,
        Err(reason) => {
            return refuse_file(subject, scratch, old, leave, reason, NO_RULE, EACCES);
        }
    };
    let mut result = 0;
    if !leave.is_empty() {
        result = at_state(subject, scratch, image, old, old_state, leave);
    }
    if result == 0 {
        result = at_state(subject, scratch, image, new, new_state, arrive);
    }
    if result != 0 {
        return result;
    }
    let narrower = may_move(image, old, old_state, new_state)
        && (!exchange || may_move(image, new, new_state, old_state));
    if narrower {
        return 0;
    }
    let wanted = gained(image, old_state, new_state);
    refuse_file(subject, scratch, new, wanted, Reason::Refer, NO_RULE, EXDEV)
}

/// Refuses to move the object at `dentry` at all.
#[inline(always)]
pub fn refuse_move(subject: &Subject, dentry: *const Dentry, reason: Reason) -> i32 {
    match SCRATCH.get_or_create(subject.task) {
        Some(scratch) => {
            let reason = if subject.image.is_none() {
                Reason::SessionEnded
            } else {
                reason
            };
            refuse_file(
                subject,
                scratch,
                dentry,
                FileRights::CREATE,
                reason,
                NO_RULE,
                EACCES,
            )
        }
        None => out_of_memory(subject),
    }
}

/// Whether an object that is at `from` may get a name at `to`.
#[inline(always)]
fn may_move(image: &Image, dentry: *const Dentry, from: u32, to: u32) -> bool {
    if !is_directory(dentry) {
        return FileRights(allowed(image, from)).contains(FileRights(allowed(image, to)));
    }
    // SAFETY: `word` masks every index.
    unsafe {
        let header = &image.header;
        let from = u32::from(word(image, header.refer_classes.wrapping_add(from)));
        let to = u32::from(word(image, header.refer_classes.wrapping_add(to)));
        if header.refer_count == 0 {
            return from == to;
        }
        let bit = to.wrapping_mul(header.refer_count).wrapping_add(from);
        word(image, header.refer.wrapping_add(bit >> 4)) >> (bit & 15) & 1 == 1
    }
}

/// What a refused move would have gained, for the event: for a directory it may be further down.
#[inline(always)]
fn gained(image: &Image, from: u32, to: u32) -> FileRights {
    let gained = FileRights(allowed(image, to)).without(FileRights(allowed(image, from)));
    if gained.is_empty() {
        FileRights::CREATE
    } else {
        gained
    }
}

#[inline(always)]
fn allowed(image: &Image, state: u32) -> u16 {
    // SAFETY: `word` masks every index.
    unsafe { word(image, record_of(image, state)) }
}

/// Word index of a state's label record.
#[inline(always)]
unsafe fn record_of(image: &Image, state: u32) -> u32 {
    // SAFETY: `word` masks every index.
    unsafe {
        let header = &image.header;
        let offset = word(image, header.state_labels.wrapping_add(state));
        header.labels.wrapping_add(u32::from(offset))
    }
}

/// Compares what is wanted with the state's label, counts, and reports a refusal.
#[inline(always)]
fn at_state(
    subject: &Subject,
    scratch: *mut Scratch,
    image: &Image,
    dentry: *const Dentry,
    state: u32,
    wanted: FileRights,
) -> i32 {
    // SAFETY: `word` masks every index.
    let (record, allowed) = unsafe {
        let record = record_of(image, state);
        (record, FileRights(word(image, record)))
    };
    let missing = wanted.without(allowed);
    if missing.is_empty() {
        count_rules(subject, image, record, wanted);
        return 0;
    }
    // SAFETY: `word` masks every index.
    let rule = unsafe { word(image, record.wrapping_add(1 + (missing.lowest() & 15))) };
    let reason = if rule == NO_RULE {
        Reason::NoRule
    } else {
        Reason::Rule
    };
    refuse_file(subject, scratch, dentry, missing, reason, rule, EACCES)
}

/// Counts the rule of each right that was used.
#[inline(always)]
fn count_rules(subject: &Subject, image: &Image, record: u32, wanted: FileRights) {
    let mut right = 0;
    while right < FILE_RIGHTS as u32 {
        if wanted.0 >> right & 1 == 1 {
            // SAFETY: `word` masks every index.
            let rule = unsafe { word(image, record.wrapping_add(1 + right)) };
            count_allowed(subject, rule);
        }
        right += 1;
    }
}

#[inline(always)]
fn refuse_file(
    subject: &Subject,
    scratch: *mut Scratch,
    dentry: *const Dentry,
    missing: FileRights,
    reason: Reason,
    rule: u16,
    errno: i32,
) -> i32 {
    let verdict = conclude(subject, rule);
    let finding = Finding {
        right: first_right(missing),
        reason,
        rule,
        detail: nothing(),
    };
    report_file(subject, scratch, verdict, finding, dentry);
    returned(verdict, errno)
}

/// The right to name in the event; the lowest of those missing.
#[inline(always)]
fn first_right(missing: FileRights) -> Right {
    match missing.lowest() {
        0 => Right::FileRead,
        1 => Right::FileWrite,
        2 => Right::FileCreate,
        3 => Right::FileDelete,
        4 => Right::FileList,
        5 => Right::FileExec,
        6 => Right::FileAttr,
        7 => Right::FileIoctl,
        _ => Right::FileConnect,
    }
}

/// Without memory there is no walk and no event; the refusal is counted as lost.
#[inline(always)]
fn out_of_memory(subject: &Subject) -> i32 {
    count_drop();
    returned(conclude(subject, NO_RULE), ENOMEM)
}

/// Counts a refusal and says what it amounts to in the session's mode.
#[inline(always)]
fn conclude(subject: &Subject, rule: u16) -> Verdict {
    if let Some(count) = LEDGER.get_ptr_mut(ledger_index(subject.label.slot, rule)) {
        // SAFETY: a live map value; the increment is atomic.
        unsafe { increment(&raw mut (*count).refused) };
    }
    let audit = subject.image.is_some_and(|image| image.header.audit != 0);
    if audit {
        Verdict::WouldDeny
    } else {
        Verdict::Deny
    }
}

#[inline(always)]
fn returned(verdict: Verdict, errno: i32) -> i32 {
    if matches!(verdict, Verdict::WouldDeny) {
        0
    } else {
        -errno
    }
}

#[inline(always)]
unsafe fn increment(counter: *mut u64) {
    // SAFETY: the caller's pointer is a live, aligned map value.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter, 1) };
}

/// Whether a dentry is a directory.
#[inline(always)]
pub fn is_directory(dentry: *const Dentry) -> bool {
    // SAFETY: the hook's dentry; a negative one has no inode.
    unsafe { !is_null(dentry, &DENTRY_INODE) && has_directory_mode(load(dentry, &DENTRY_INODE)) }
}

/// Whether an open file is a directory.
#[inline(always)]
pub fn is_open_directory(file: *const File) -> bool {
    // SAFETY: the hook's file; an open one always has an inode.
    unsafe { has_directory_mode(load(file, &FILE_INODE)) }
}

/// # Safety
/// `inode` is one that the verifier accepts for a direct load.
#[inline(always)]
unsafe fn has_directory_mode(inode: *const Inode) -> bool {
    if inode.is_null() {
        return false;
    }
    // SAFETY: the caller's promise.
    let mode: u16 = unsafe { load(inode, &INODE_MODE) };
    mode & S_IFMT == S_IFDIR
}

/// Where an object stands.
pub enum Place {
    /// In a filesystem that is mounted somewhere.
    Named,
    /// Never had a path: pipes, memfds and shared memory of the process itself, opened again
    /// through `/proc/self/fd`; process descriptors.
    Anonymous,
    /// In the layer below a stacked filesystem (overlayfs), which opens it with the agent as
    /// `current` after the agent's own open was decided.
    Layer,
}

/// `MNT_NS_INTERNAL`: a mount that is in no namespace, so that no path leads into it.
const INTERNAL_NAMESPACE: u64 = (-22_i64).cast_unsigned();

/// Where an open file, whose dentry is `dentry`, stands.
#[inline(always)]
pub fn place_of(file: *const File, dentry: *const Dentry) -> Place {
    // SAFETY: the hook's file.
    place(unsafe { load(file, &FILE_MOUNT) }, dentry)
}

/// Where the path made of `mount` and `dentry` stands.
#[inline(always)]
pub fn place(mount: *const VfsMount, dentry: *const Dentry) -> Place {
    // SAFETY: `struct mount` is around the `vfsmount`; its namespace is read by a helper, because
    // the verifier knows only the inner struct.
    let namespace = unsafe {
        let distance = offset(&MOUNT_NAMESPACE).wrapping_sub(offset(&MOUNT_VFSMOUNT));
        let mut namespace = 0_u64;
        bpf_probe_read_kernel(
            (&raw mut namespace).cast(),
            size_of::<u64>() as u32,
            mount.wrapping_byte_add(distance).cast(),
        );
        namespace
    };
    if namespace != INTERNAL_NAMESPACE {
        return Place::Named;
    }
    // SAFETY: the hook's dentry.
    let (flags, magic): (u64, u64) = unsafe {
        let superblock: *const SuperBlock = load(dentry, &DENTRY_SB);
        (load(superblock, &SB_FLAGS), load(superblock, &SB_MAGIC))
    };
    if flags & SB_KERNMOUNT == 0 {
        return Place::Layer;
    }
    if matches!(
        magic,
        PIPEFS_MAGIC | TMPFS_MAGIC | HUGETLBFS_MAGIC | PIDFS_MAGIC
    ) {
        return Place::Anonymous;
    }
    // The kernel's own, such as namespaces: no root that a session knows, and so refused.
    Place::Named
}
