//! `bailiff daemon`: puts grants in force, records what is refused, answers the command line.

mod assembly;
mod attachments;
mod enforced;
mod error;
mod events;
mod filesystems;
mod heap;
mod launchers;
mod log;
mod requests;
mod self_test;
mod sessions;
mod startup;
mod state;
#[cfg(test)]
mod tests;
mod trust;

pub use startup::{Settings, main};
