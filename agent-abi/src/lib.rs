//! The one contract between Bailiff's kernel side (`agent-ebpf`) and user side
//! (`agent-grant`, `agent-user`): rights, verdicts, events, and the keys and values of every map.
//!
//! Everything here is `no_std`, `repr(C)` and free of padding whose value could matter; sizes are
//! asserted at compile time, so both halves fail to build rather than disagree.
#![no_std]

pub mod arguments;
pub mod arrival;
pub mod attachment;
pub mod census;
pub mod daemon;
pub mod event;
pub mod fields;
pub mod filesystem;
pub mod forking;
pub mod image;
pub mod label;
pub mod launcher;
pub mod ledger;
pub mod limits;
pub mod names;
pub mod nested;
pub mod net;
pub mod relocation;
pub mod right;
pub mod share;
pub mod socket_option;
pub mod superblock;
pub mod surface;
pub mod terminal;
pub mod verdict;
mod words;

pub use event::{Event, EventKind};
pub use filesystem::KernelFilesystem;
pub use image::{Image, ImageHeader};
pub use label::Label;
pub use right::{FileRights, Right};
pub use surface::Surface;
pub use verdict::{Reason, Verdict};
