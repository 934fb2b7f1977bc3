//! `bailiff daemon`: puts grants in force, records what is refused, answers the command line.

mod adopt;
mod answers;
mod door;
mod enforced;
mod epochs;
mod error;
mod follow;
mod images;
mod labels;
mod lifecycle;
mod log;
mod members;
mod notices;
mod numbers;
mod owed;
mod patient;
mod peer;
mod pump;
mod reach;
mod self_test;
mod server;
mod sessions;
mod shares;
mod start;
mod startup;
mod state;
mod superblocks;
mod terminals;
mod translate;
mod watch;
mod whose;

pub use startup::{Settings, main};
