//! The kernel side as the daemon sees it: programs loaded and pinned, maps read and written.
//!
//! Nothing above this module knows of BPF. The daemon asks by [`Port`], which [`Kernel`] answers.

mod attached;
mod attachment;
mod attachments;
mod btf;
mod census;
mod child;
mod detach;
mod diagnose;
mod error;
mod events;
mod forking;
mod hooks;
mod iterator;
mod labels;
mod load;
mod maps;
#[cfg(test)]
pub(crate) mod memory;
#[cfg(test)]
mod object_tables;
mod pinned;
mod port;
mod range;
mod relocate;
mod self_check;
mod symbols;
mod sys;
mod unattached;

use crate::api::doctor::OtherHooks;

pub use attached::Kernel;
pub use attachment::Enforcement;
pub use attachments::label_of_unit;
pub use census::{Outcome, claim};
pub use diagnose::{Found, diagnose};
pub use error::KernelError;
pub use events::{EventStream, OwnedEvent};
pub use labels::Labels;
pub use load::rehearse;
pub use port::{EventSource, LabelSource, NetRow, Port, SuperblockEntry};
pub use self_check::LABEL as SELF_CHECK;

/// The LSM hooks of the running kernel that no program of Bailiff attaches to.
///
/// # Errors
/// The kernel's type information cannot be read.
pub fn other_hooks() -> Result<OtherHooks, KernelError> {
    Ok(unattached::of_kernel(&btf::Btf::of_running_kernel()?))
}

/// The families of hooks.
pub fn hook_families() -> impl Iterator<Item = &'static str> {
    let families = hooks::HOOKS.iter().map(|hook| hook.family);
    families
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
}
