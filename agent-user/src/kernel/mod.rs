//! The kernel side as the daemon sees it: programs loaded and pinned, maps read and written.
//!
//! Nothing above this module knows of BPF.

use std::{future::Future, os::fd::OwnedFd};

use agent_abi::{
    Event, Image, Label,
    ledger::Count,
    net::{NetEntries, NetKey},
};

/// What went wrong between the daemon and the kernel; the message says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    #[error("{what}: {source}")]
    Io { what: String, source: std::io::Error },
    #[error("{0}")]
    Unsupported(String),
    #[error("{0}")]
    Other(String),
}

/// One hook of the kernel side on this kernel.
#[derive(Clone, Debug, serde::Serialize)]
pub struct HookCoverage {
    /// Name of the program and of the hook, as in `lsm/file_open`.
    pub hook: String,
    /// `files`, `exec`, `network`, `processes`, `kernel surface`, `labels`.
    pub family: &'static str,
    pub attached: bool,
    /// Why it is not attached, or what it cannot see on this kernel.
    pub note: Option<String>,
    /// Instructions that the verifier walked, where the kernel tells (5.16+).
    pub verified_instructions: Option<u32>,
}

/// One thing that `bailiff doctor` looks at.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Check {
    pub name: &'static str,
    pub ok: bool,
    /// What was found.
    pub found: String,
    /// What to do about it, where `ok` is false.
    pub remedy: Option<String>,
}

/// Looks at this host without changing it: privileges, LSM list, BTF, cgroup v2, bpffs.
pub fn diagnose() -> Vec<Check> {
    todo!()
}

/// An event with its path bytes (relative to its superblock's root).
#[derive(Clone, Debug)]
pub struct OwnedEvent {
    pub event: Event,
    pub path: Vec<u8>,
}

/// A number of a `SUPERBLOCKS` entry: kernel device and index into `Image::roots`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuperblockEntry {
    pub dev: u32,
    pub number: u32,
}

/// The attached kernel side.
pub struct Kernel {}

impl Kernel {
    /// Loads, attaches and pins the programs, or takes over those that an earlier daemon pinned.
    pub fn start() -> Result<Self, KernelError> {
        todo!()
    }
    pub fn coverage(&self) -> &[HookCoverage] {
        todo!()
    }
    /// Puts `image` in force for its slot; one atomic swap.
    pub fn install(&mut self, slot: u32, image: &Image) -> Result<(), KernelError> {
        let _ = (slot, image);
        todo!()
    }
    /// Empties a slot: labels that still name it are refused everything.
    pub fn remove(&mut self, slot: u32) -> Result<(), KernelError> {
        let _ = slot;
        todo!()
    }
    /// Slots with an image in force, and the header of each: what a new daemon takes over.
    pub fn installed(&self) -> Result<Vec<(u32, agent_abi::ImageHeader)>, KernelError> {
        todo!()
    }
    /// Adds the network entries of one policy. `u32` is the prefix length of the whole key.
    pub fn add_net(&mut self, entries: &[(u32, NetKey, NetEntries)]) -> Result<(), KernelError> {
        let _ = entries;
        todo!()
    }
    /// Removes every network entry of one policy.
    pub fn remove_net(&mut self, policy: u32) -> Result<(), KernelError> {
        let _ = policy;
        todo!()
    }
    pub fn superblocks(&self) -> Result<Vec<SuperblockEntry>, KernelError> {
        todo!()
    }
    pub fn add_superblock(&mut self, entry: SuperblockEntry) -> Result<(), KernelError> {
        let _ = entry;
        todo!()
    }
    pub fn remove_superblock(&mut self, dev: u32) -> Result<(), KernelError> {
        let _ = dev;
        todo!()
    }
    /// Tasks entering this cgroup, or one below it, get `label` from now on.
    pub fn tag_cgroup(&mut self, cgroup: u64, label: Label) -> Result<(), KernelError> {
        let _ = (cgroup, label);
        todo!()
    }
    pub fn untag_cgroup(&mut self, cgroup: u64) -> Result<(), KernelError> {
        let _ = cgroup;
        todo!()
    }
    /// Labels a process (all its threads) by its pidfd.
    pub fn set_label(&mut self, pidfd: &OwnedFd, label: Label) -> Result<(), KernelError> {
        let _ = (pidfd, label);
        todo!()
    }
    pub fn label(&self, pidfd: &OwnedFd) -> Result<Option<Label>, KernelError> {
        let _ = pidfd;
        todo!()
    }
    pub fn clear_label(&mut self, pidfd: &OwnedFd) -> Result<(), KernelError> {
        let _ = pidfd;
        todo!()
    }
    /// The counts of a session's rules, by rule number; the last is that of no rule.
    pub fn ledger(&self, slot: u32) -> Result<Vec<Count>, KernelError> {
        let _ = slot;
        todo!()
    }
    pub fn reset_ledger(&mut self, slot: u32) -> Result<(), KernelError> {
        let _ = slot;
        todo!()
    }
    /// Events that found the ring buffer full, since the programs were loaded.
    pub fn drops(&self) -> Result<u64, KernelError> {
        todo!()
    }
    /// The stream of events. Can be taken once.
    pub fn take_events(&mut self) -> Option<EventStream> {
        todo!()
    }
}

/// Reads the ring buffer; events that waited while no daemon ran come first.
pub struct EventStream {}

impl EventStream {
    /// The next batch, at least one event; waits for it.
    pub fn next(&mut self) -> impl Future<Output = Result<Vec<OwnedEvent>, KernelError>> + Send + '_ {
        async { todo!() }
    }
}
