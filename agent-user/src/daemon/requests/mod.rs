//! Who calls, and what they ask.

mod answers;
pub(super) mod door;
mod patient;
pub(super) mod peer;
pub(super) mod router;
pub(super) mod shares;
mod why;
