//! The census: the iterator over every task, asked to label, to free or to list them.
//!
//! Minimum kernel: 5.12 (an iterator with task storage). It sees the tasks of the pid namespace of the
//! process that reads it, and below.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::OwnedFd,
    path::Path,
};

use agent_abi::{
    Label,
    census::{Act, Census, Member, Settling},
    names,
};

use super::{
    error::KernelError,
    iterator,
    load::{census_pins, map_pin, program_pin},
    sys::{self, Map},
};

/// What a census did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Labels given or taken.
    pub changed: u64,
    /// Labels for which the kernel had no memory.
    pub failed: u64,
}

/// Makes this process the daemon for what is in force already, whichever build that is. Where nothing is, or
/// its orders are others, it becomes so when its own programs are there ([`super::Kernel::start`]).
pub fn claim() {
    let Ok(orders) = Map::open(names::CENSUS, &map_pin(names::CENSUS)) else {
        return;
    };
    for pin in census_pins() {
        let claimed = open(&pin).and_then(|link| take(&link, &orders, Act::Claim, Label::NONE));
        if let Err(error) = claimed {
            tracing::debug!("not known as the daemon yet: {error}");
        }
    }
}

/// The iterator, and the maps by which it is told what to do.
pub(super) struct Iterator {
    /// Held, so that it serves without its pin.
    link: OwnedFd,
    orders: Map<u32, Census>,
    settling: Map<u32, Settling>,
    /// The program that labels who is born.
    births: OwnedFd,
}

impl Iterator {
    /// By the link that is pinned at `link`.
    pub(super) fn open(link: &Path) -> Result<Self, KernelError> {
        Ok(Self {
            link: open(link)?,
            births: open(&program_pin("task_newtask"))?,
            orders: Map::open(names::CENSUS, &map_pin(names::CENSUS))?,
            settling: Map::open(names::SETTLING, &map_pin(names::SETTLING))?,
        })
    }

    /// Gives labels to those who should have one.
    pub(super) fn settle(&self) -> Result<Outcome, KernelError> {
        self.take(Act::Settle, Label::NONE)
            .map(|(outcome, _)| outcome)
    }

    /// Takes `label` from all who have it.
    pub(super) fn clear(&self, label: Label) -> Result<Outcome, KernelError> {
        self.take(Act::Clear, label).map(|(outcome, _)| outcome)
    }

    /// Makes this process the one that no session may do anything to.
    pub(super) fn claim(&self) -> Result<(), KernelError> {
        self.take(Act::Claim, Label::NONE).map(drop)
    }

    /// Every thread that has a label, or is where it should have one, and is not about to end.
    pub(super) fn members(&self) -> Result<Vec<Member>, KernelError> {
        let (_, bytes) = self.take(Act::List, Label::NONE)?;
        Ok(records(&bytes))
    }

    fn take(&self, act: Act, label: Label) -> Result<(Outcome, Vec<u8>), KernelError> {
        take(&self.link, &self.orders, act, label)
    }

    /// How many births went unseen: the kernel leaves a tracepoint's program out where another task was
    /// preempted in it, which can be from 7.0 on.
    pub(super) fn unseen_births(&self) -> Result<u64, KernelError> {
        sys::recursion_misses(&self.births).map_err(|error| KernelError::Pin {
            path: program_pin("task_newtask"),
            reason: error.to_string(),
        })
    }

    /// What the kernel side is told of labels that may be missing.
    pub(super) fn settling(&self) -> Result<Settling, KernelError> {
        Ok(self.settling.get(&0)?.unwrap_or_default())
    }

    pub(super) fn set_settling(&self, settling: Settling) -> Result<(), KernelError> {
        self.settling.set(&0, &settling)
    }
}

fn take(
    link: &OwnedFd,
    orders: &Map<u32, Census>,
    act: Act,
    label: Label,
) -> Result<(Outcome, Vec<u8>), KernelError> {
    let order = Census {
        act: act as u32,
        label,
        ..Census::default()
    };
    orders.set(&0, &order)?;
    let bytes = read_all(link).map_err(|source| KernelError::Map {
        operation: "look at the tasks",
        map: names::CENSUS,
        source,
    })?;
    let done = orders.get(&0)?.unwrap_or_default();
    let outcome = Outcome {
        changed: done.changed,
        failed: done.failed,
    };
    Ok((outcome, bytes))
}

fn open(pin: &Path) -> Result<OwnedFd, KernelError> {
    sys::open_pinned(pin).map_err(|error| KernelError::Pin {
        path: pin.into(),
        reason: error.to_string(),
    })
}

/// What an iterator that lists has written.
pub(super) fn records(bytes: &[u8]) -> Vec<Member> {
    let records = bytes.chunks_exact(size_of::<Member>());
    records
        // SAFETY: as many bytes as a `Member` has, which is integers only.
        .map(|record| unsafe { record.as_ptr().cast::<Member>().read_unaligned() })
        .collect()
}

/// Runs the iterator with this link to its end.
pub(super) fn read_all(link: &OwnedFd) -> io::Result<Vec<u8>> {
    let mut file = File::from(iterator::pass(link)?);
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 64 << 10];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(bytes),
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
            // After a million tasks that had nothing to say (`bpf_seq_read()`).
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
