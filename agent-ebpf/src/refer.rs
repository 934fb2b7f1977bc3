//! The refer rule: what gets another name gains no right by it.

use agent_abi::{FileRights, Image, Reason, ledger::NO_RULE};

use crate::{
    automaton::word,
    decide::{EACCES, allowed, at_state, count_rules, out_of_memory, record_of, refuse_file},
    kernel::Dentry,
    maps::SCRATCH,
    place::is_directory,
    short_walk::short_walk,
    subject::Subject,
    walk::{Object, states_of},
};

/// What a move across the grant's borders gets: `mv` and its like then copy, as between
/// filesystems, and the copy is judged by the rights of its new name.
const EXDEV: i32 = 18;

/// A link or a rename.
#[derive(Clone, Copy)]
pub struct Move {
    pub old: *const Dentry,
    /// Wanted at the old name; nothing for a link.
    pub leave: FileRights,
    pub new: *const Dentry,
    /// Wanted at the new name.
    pub arrive: FileRights,
    /// What is at the new name gets the old one.
    pub exchange: bool,
}

impl Move {
    /// What is asked first: a link wants nothing at the old name.
    #[inline(always)]
    fn first(&self) -> FileRights {
        if self.leave.is_empty() {
            self.arrive
        } else {
            self.leave
        }
    }

    /// For every path at or below the objects, rights after ⊆ rights before.
    #[inline(always)]
    fn is_narrower(&self, image: &Image, from: u64, to: u64) -> bool {
        may_move(image, self.old, from, to)
            && (!self.exchange || may_move(image, self.new, to, from))
    }
}

/// Whether a short walk already finds that a rename within one directory is allowed. If not, nothing
/// is decided yet.
#[inline(always)]
pub fn permits_move(subject: &Subject, wanted: &Move) -> bool {
    let Some(image) = subject.image else {
        return false;
    };
    let Some(found) = short_walk(image, wanted.old, Some(wanted.new)) else {
        return false;
    };
    let (from, to) = (found.state, found.sibling);
    // SAFETY: `word` masks every index.
    let (old, new) = unsafe { (record_of(image, from), record_of(image, to)) };
    // SAFETY: as above.
    let (old_rights, new_rights) =
        unsafe { (FileRights(word(image, old)), FileRights(word(image, new))) };
    let permitted = old_rights.contains(wanted.leave)
        && new_rights.contains(wanted.arrive)
        && wanted.is_narrower(image, from, to);
    if permitted {
        count_rules(subject, image, old, wanted.leave);
        count_rules(subject, image, new, wanted.arrive);
    }
    permitted
}

/// Decides a link or a rename.
#[inline(always)]
pub fn moved(subject: &Subject, wanted: &Move) -> i32 {
    let Move {
        old,
        leave,
        new,
        arrive,
        ..
    } = *wanted;
    let Some(scratch) = SCRATCH.get_or_create(subject.task) else {
        return out_of_memory(subject);
    };
    let Some(image) = subject.image else {
        let reason = Reason::SessionEnded;
        return refuse_file(
            subject,
            scratch,
            Object::unwalked(old),
            wanted.first(),
            reason,
            NO_RULE,
            EACCES,
        );
    };
    let (from, to) = match states_of(image, scratch, old, new) {
        Ok((from, to)) => (u64::from(from), u64::from(to)),
        Err(reason) => {
            return refuse_file(
                subject,
                scratch,
                Object::first(old),
                wanted.first(),
                reason,
                NO_RULE,
                EACCES,
            );
        }
    };
    let mut result = 0;
    if !leave.is_empty() {
        result = at_state(subject, scratch, image, Object::first(old), from, leave);
    }
    if result == 0 {
        result = at_state(subject, scratch, image, Object::second(new), to, arrive);
    }
    if result != 0 || wanted.is_narrower(image, from, to) {
        return result;
    }
    let gained = gained(image, from, to);
    refuse_file(
        subject,
        scratch,
        Object::second(new),
        gained,
        Reason::Refer,
        NO_RULE,
        EXDEV,
    )
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
                Object::unwalked(dentry),
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
fn may_move(image: &Image, dentry: *const Dentry, from: u64, to: u64) -> bool {
    if !is_directory(dentry) {
        return FileRights(allowed(image, from)).contains(FileRights(allowed(image, to)));
    }
    // SAFETY: `word` masks every index.
    unsafe {
        let header = &image.header;
        let classes = u64::from(header.refer_classes);
        let from = u64::from(word(image, classes.wrapping_add(from)));
        let to = u64::from(word(image, classes.wrapping_add(to)));
        let count = u64::from(header.refer_count);
        if count == 0 {
            return from == to;
        }
        let bit = to.wrapping_mul(count).wrapping_add(from);
        word(image, u64::from(header.refer).wrapping_add(bit >> 4)) >> (bit & 15) & 1 == 1
    }
}

/// What a refused move would have gained, for the event: for a directory it may be further down.
#[inline(always)]
fn gained(image: &Image, from: u64, to: u64) -> FileRights {
    let gained = FileRights(allowed(image, to)).without(FileRights(allowed(image, from)));
    if gained.is_empty() {
        FileRights::CREATE
    } else {
        gained
    }
}
