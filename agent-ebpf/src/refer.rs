//! The refer rule: what gets another name gains no right by it.

use agent_abi::{FileRights, Image, Reason, ledger::NO_RULE};
use agent_decide::{
    New, Old, Record,
    needs::OfMove,
    refer::{gained, may_move},
};

use crate::{
    decide::{EACCES, at_state, count_rules, out_of_memory, refuse_file},
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
pub(crate) struct Move {
    pub old: *const Dentry,
    pub new: *const Dentry,
    /// What it takes at the two names.
    pub needs: OfMove,
}

impl Move {
    /// Whether what gets another name, both of an exchange, may have it.
    #[inline(always)]
    fn is_narrower(&self, image: &Image, from: u64, to: u64) -> bool {
        may_move(image, is_directory(self.old), Old(from), New(to))
            && (!self.needs.exchange || may_move(image, is_directory(self.new), Old(to), New(from)))
    }
}

/// Whether a short walk already finds that a rename within one directory is allowed. If not, nothing
/// is decided yet.
#[inline(always)]
pub(crate) fn permits_move(subject: &Subject, wanted: &Move) -> bool {
    let Some(image) = subject.image else {
        return false;
    };
    let Some(found) = short_walk(image, wanted.old, Some(wanted.new)) else {
        return false;
    };
    let (from, to) = (found.state, found.sibling);
    let (old, new) = (Record::of(image, from), Record::of(image, to));
    let OfMove { leave, arrive, .. } = wanted.needs;
    let permitted = old.rights(image).contains(leave)
        && new.rights(image).contains(arrive)
        && wanted.is_narrower(image, from, to);
    if permitted {
        count_rules(subject, image, old, leave);
        count_rules(subject, image, new, arrive);
    }
    permitted
}

/// Decides a link or a rename.
#[inline(always)]
pub(crate) fn moved(subject: &Subject, wanted: &Move) -> i32 {
    let Move { old, new, needs } = *wanted;
    let Some(scratch) = SCRATCH.get_or_create(subject.task) else {
        return out_of_memory(subject);
    };
    let Some(image) = subject.image else {
        let reason = Reason::SessionEnded;
        return refuse_file(
            subject,
            scratch,
            Object::unwalked(old),
            needs.first(),
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
                needs.first(),
                reason,
                NO_RULE,
                EACCES,
            );
        }
    };
    let OfMove { leave, arrive, .. } = needs;
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
    let gained = gained(image, Old(from), New(to));
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
pub(crate) fn refuse_move(subject: &Subject, dentry: *const Dentry, reason: Reason) -> i32 {
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
