//! What a state allows, and by which rule.

use agent_abi::{FileRights, Image, Reason, Right, ledger::NO_RULE};

use crate::automaton::word;

/// The label record of a state: the allowed rights, then the deciding rule of each right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Record(u64);

impl Record {
    /// The record of a state.
    #[must_use]
    #[inline(always)]
    pub fn of(image: &Image, state: u64) -> Self {
        let header = &image.header;
        let offset = word(image, u64::from(header.state_labels).wrapping_add(state));
        Self(u64::from(header.labels).wrapping_add(u64::from(offset)))
    }

    /// The rights that the state allows.
    #[must_use]
    #[inline(always)]
    pub fn rights(self, image: &Image) -> FileRights {
        FileRights(word(image, self.0))
    }

    /// The rule that decides about the file right with this bit, [`NO_RULE`] where none does.
    #[must_use]
    #[inline(always)]
    pub fn rule(self, image: &Image, bit: u64) -> u16 {
        word(image, self.0.wrapping_add(1 + bit))
    }
}

/// Why a state does not give what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The rights that are missing; never empty.
    pub missing: FileRights,
    /// The rule that refuses the first of them, [`NO_RULE`] where none does.
    pub rule: u16,
    /// [`Reason::Rule`] or [`Reason::NoRule`].
    pub reason: Reason,
}

/// Whether the label `record` gives all of `wanted`.
///
/// # Errors
/// What is missing, and why.
#[inline(always)]
pub fn judge(image: &Image, record: Record, wanted: FileRights) -> Result<(), Refusal> {
    let missing = wanted.without(record.rights(image));
    if missing.is_empty() {
        return Ok(());
    }
    let rule = record.rule(image, u64::from(missing.lowest() & 15));
    Err(Refusal {
        missing,
        rule,
        reason: reason_of(rule),
    })
}

/// Why there is a refusal, by the rule that decided.
#[must_use]
#[inline(always)]
pub const fn reason_of(rule: u16) -> Reason {
    if rule == NO_RULE {
        Reason::NoRule
    } else {
        Reason::Rule
    }
}

/// Whether a state allows a file right, and the rule that decides; `(false, NO_RULE)` for a right that is
/// not about files.
#[must_use]
pub fn decide(image: &Image, state: u64, right: Right) -> (bool, u16) {
    let wanted = FileRights::only(right);
    if wanted.is_empty() {
        return (false, NO_RULE);
    }
    let record = Record::of(image, state);
    let rule = record.rule(image, u64::from(wanted.lowest()));
    (judge(image, record, wanted).is_ok(), rule)
}
