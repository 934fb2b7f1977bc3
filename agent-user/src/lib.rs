//! The user side of Bailiff: the daemon and the command line.
//!
//! `daemon` turns grants into kernel tables and kernel events into rows of `store`; `cli` asks it
//! over the types of `api`. `kernel` is the only module that knows of BPF.

pub mod accounts;
pub mod api;
pub mod attachments;
pub mod cgroup;
pub mod cli;
pub mod client;
pub mod clock;
pub mod daemon;
pub mod grants;
pub mod kernel;
pub mod mounts;
pub mod process;
pub mod render;
pub mod self_test;
pub mod store;
pub mod why;
pub mod working_directory;
