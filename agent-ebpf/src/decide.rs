//! Verdicts: a state or a fact against the session's image; then the ledger, then the event.

use agent_abi::{
    FileRights, Image, Reason, Right, Verdict,
    event::Detail,
    ledger::{NO_RULE, ledger_index},
    right::FILE_RIGHTS,
};
use agent_decide::{Record, Refusal, judge};

use crate::{
    counter::increment,
    directory::recall,
    event::{Finding, Said, report, report_file},
    kernel::{
        Dentry, NAMEIDATA_DENTRY, NameiData, TASK_NAMEIDATA, file_path_is_trusted, load, opaque,
    },
    maps::{LEDGER, SCRATCH},
    notice::count_loss,
    scratch::Scratch,
    short_walk::short_walk,
    subject::Subject,
    walk::{Object, keep, state_of},
};

pub(crate) const EPERM: i32 = 1;
pub(crate) const ENOMEM: i32 = 12;
pub(crate) const EACCES: i32 = 13;

/// Refuses something that has no path. Returns what the hook returns.
#[inline(always)]
pub(crate) fn refuse(
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
        None => count_loss(subject.account()),
    }
    returned(verdict, errno)
}

/// Refuses without an event: for questions that the kernel itself asks not to be audited.
#[inline(always)]
pub(crate) fn refuse_silently(subject: &Subject, errno: i32) -> i32 {
    let audit = subject.image.is_some_and(|image| image.header.audit != 0);
    if audit { 0 } else { -errno }
}

/// Counts an allowed use of a rule.
#[inline(always)]
pub(crate) fn count_allowed(subject: &Subject, rule: u16) {
    if let Some(count) = LEDGER.get_ptr_mut(ledger_index(subject.label.slot, rule)) {
        // SAFETY: a live map value; the increment is atomic.
        unsafe { increment(&raw mut (*count).allowed) };
    }
}

/// [`permits`] for the dentry of an open file.
#[inline(always)]
pub(crate) fn permits_opened(subject: &Subject, dentry: *const Dentry, wanted: FileRights) -> bool {
    match trusted(subject, dentry) {
        Some(dentry) => permits(subject, dentry, wanted),
        None => false,
    }
}

/// [`permits_opened`] for a file that is mapped, as every new program does. Where nothing can be
/// recalled then (6.18+), it walks.
#[inline(always)]
pub(crate) fn permits_mapped(subject: &Subject, dentry: *const Dentry, wanted: FileRights) -> bool {
    if file_path_is_trusted() {
        return permits(subject, dentry, wanted);
    }
    let Some(image) = subject.image else {
        return false;
    };
    match short_walk(image, dentry, None) {
        Some(found) => allows(subject, image, found.state, wanted),
        None => false,
    }
}

/// The dentry of an open file by a way on which the verifier trusts it.
///
/// From 6.18 on `file::f_path` is in a union. While a path is opened, the lookup under way has the
/// dentry too.
#[inline(always)]
fn trusted(subject: &Subject, opened: *const Dentry) -> Option<*const Dentry> {
    if file_path_is_trusted() {
        return Some(opened);
    }
    // SAFETY: `current` is a valid task; without a lookup everything loads as NULL.
    let found: *const Dentry = unsafe {
        let lookup: *const NameiData = load(subject.task, &TASK_NAMEIDATA);
        load(lookup, &NAMEIDATA_DENTRY)
    };
    // Compared as numbers: LLVM may put equal pointers in each other's place, the verifier not.
    (opaque(found as u64) == opaque(opened as u64)).then_some(found)
}

/// Whether it is already known that the session may do `wanted` to the file at `dentry`, because its
/// directory is remembered. If not, nothing is decided yet.
#[inline(always)]
pub(crate) fn permits(subject: &Subject, dentry: *const Dentry, wanted: FileRights) -> bool {
    let Some(image) = subject.image else {
        return false;
    };
    match recall(image, dentry) {
        Some(state) => allows(subject, image, state, wanted),
        None => false,
    }
}

/// Whether a state allows `wanted`, which then counts as used.
#[inline(always)]
fn allows(subject: &Subject, image: &Image, state: u64, wanted: FileRights) -> bool {
    let record = Record::of(image, state);
    let permitted = record.rights(image).contains(wanted);
    if permitted {
        count_rules(subject, image, record, wanted);
    }
    permitted
}

/// Decides whether the session may do `wanted` to the file at `dentry`.
#[inline(always)]
pub(crate) fn file(subject: &Subject, dentry: *const Dentry, wanted: FileRights) -> i32 {
    walked(subject, dentry, wanted, Some(dentry))
}

/// [`file`] for the dentry of an open file.
#[inline(always)]
pub(crate) fn opened(subject: &Subject, dentry: *const Dentry, wanted: FileRights) -> i32 {
    walked(subject, dentry, wanted, trusted(subject, dentry))
}

/// Decides by the long way, and remembers the directory of `kept` for the short one.
#[inline(always)]
fn walked(
    subject: &Subject,
    dentry: *const Dentry,
    wanted: FileRights,
    kept: Option<*const Dentry>,
) -> i32 {
    let Some(scratch) = SCRATCH.get_or_create(subject.task) else {
        return out_of_memory(subject);
    };
    let Some(image) = subject.image else {
        let reason = Reason::SessionEnded;
        let object = Object::unwalked(dentry);
        return refuse_file(subject, scratch, object, wanted, reason, NO_RULE, EACCES);
    };
    match state_of(image, scratch, dentry) {
        Ok(state) => {
            if let Some(kept) = kept {
                keep(image, scratch, kept);
            }
            let object = Object::first(dentry);
            at_state(subject, scratch, image, object, u64::from(state), wanted)
        }
        Err(reason) => {
            let object = Object::first(dentry);
            refuse_file(subject, scratch, object, wanted, reason, NO_RULE, EACCES)
        }
    }
}

/// Compares what is wanted with the state's label, counts, and reports a refusal.
#[inline(always)]
pub(crate) fn at_state(
    subject: &Subject,
    scratch: *mut Scratch,
    image: &Image,
    object: Object,
    state: u64,
    wanted: FileRights,
) -> i32 {
    let record = Record::of(image, state);
    match judge(image, record, wanted) {
        Ok(()) => {
            count_rules(subject, image, record, wanted);
            0
        }
        Err(Refusal {
            missing,
            rule,
            reason,
        }) => refuse_file(subject, scratch, object, missing, reason, rule, EACCES),
    }
}

/// Counts the rule of each right that was used.
#[inline(always)]
pub(crate) fn count_rules(subject: &Subject, image: &Image, record: Record, wanted: FileRights) {
    // Most of what programs do, and so not to be searched for.
    match wanted {
        FileRights::READ => return count_rule_of(subject, image, record, 0),
        FileRights::CREATE => return count_rule_of(subject, image, record, 2),
        FileRights::DELETE => return count_rule_of(subject, image, record, 3),
        _ => {}
    }
    let mut right = 0;
    while right < FILE_RIGHTS as u64 {
        if wanted.0 >> right & 1 == 1 {
            count_rule_of(subject, image, record, right);
        }
        right += 1;
    }
}

#[inline(always)]
fn count_rule_of(subject: &Subject, image: &Image, record: Record, right: u64) {
    count_allowed(subject, record.rule(image, right));
}

#[inline(always)]
pub(crate) fn refuse_file(
    subject: &Subject,
    scratch: *mut Scratch,
    object: Object,
    missing: FileRights,
    reason: Reason,
    rule: u16,
    errno: i32,
) -> i32 {
    let verdict = conclude(subject, rule);
    // Nothing is refused where nothing is missing.
    let right = missing.first().unwrap_or(Right::FileRead);
    let said = Said::new(verdict, right, reason, rule);
    report_file(subject, scratch, said, object.dentry, object.which);
    returned(verdict, errno)
}

/// Refuses a terminal of others.
#[inline(always)]
pub(crate) fn refuse_terminal(subject: &Subject, dentry: *const Dentry, wanted: FileRights) -> i32 {
    refuse_whatever_rules(subject, dentry, wanted, Reason::OutsideSession, EACCES)
}

/// Refuses a file whatever the rules say of its path.
#[inline(always)]
pub(crate) fn refuse_whatever_rules(
    subject: &Subject,
    dentry: *const Dentry,
    wanted: FileRights,
    reason: Reason,
    errno: i32,
) -> i32 {
    let Some(scratch) = SCRATCH.get_or_create(subject.task) else {
        return out_of_memory(subject);
    };
    let reason = if subject.image.is_none() {
        Reason::SessionEnded
    } else {
        reason
    };
    let object = Object::unwalked(dentry);
    refuse_file(subject, scratch, object, wanted, reason, NO_RULE, errno)
}

/// Without memory there is no walk and no event; the refusal is counted as lost.
#[inline(always)]
pub(crate) fn out_of_memory(subject: &Subject) -> i32 {
    count_loss(subject.account());
    returned(conclude(subject, NO_RULE), ENOMEM)
}

/// Counts a refusal and says what it amounts to in the session's mode.
///
/// What decides stays in the caller: 6.1 took a verdict that a program of its own returned for the other one,
/// and let everything through.
#[inline(always)]
fn conclude(subject: &Subject, rule: u16) -> Verdict {
    count_refused(subject, rule);
    let audit = subject.image.is_some_and(|image| image.header.audit != 0);
    if audit {
        Verdict::WouldDeny
    } else {
        Verdict::Deny
    }
}

/// A program of its own: 6.1 has no room on the stack for another copy of it in a rename.
#[inline(never)]
fn count_refused(subject: &Subject, rule: u16) -> i32 {
    if let Some(count) = LEDGER.get_ptr_mut(ledger_index(subject.account(), rule)) {
        // SAFETY: a live map value; the increment is atomic.
        unsafe { increment(&raw mut (*count).refused) };
    }
    0
}

#[inline(always)]
fn returned(verdict: Verdict, errno: i32) -> i32 {
    if matches!(verdict, Verdict::WouldDeny) {
        0
    } else {
        -errno
    }
}
