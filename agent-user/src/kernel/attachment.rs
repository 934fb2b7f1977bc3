//! What is in force, held by descriptors of the daemon's own, and looked at again and again.
//!
//! A link lives as long as anything refers to it: a pin, or a descriptor. While the daemon runs, its
//! descriptors keep every program attached, whatever becomes of the pins; the pins keep them when it
//! ends. Who removes the pins, or unmounts the filesystem that they are in, would so take every
//! session's limits away with the daemon's next restart.

use std::{
    fs, io,
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use agent_abi::names;

use crate::api::{self, EnforcementState};

use super::{
    error::KernelError,
    load::{make_directory, map_pin},
    maps::pinned_maps,
    sys::{self, ObjectInfo},
};

/// Whether what sessions are limited by is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enforcement {
    /// Attached, and pinned: it outlasts the daemon.
    InForce,
    /// Attached, and gone with this daemon.
    NotLasting(String),
    /// Sessions are not limited, or not wholly.
    Off(String),
}

impl From<Enforcement> for api::Enforcement {
    fn from(found: Enforcement) -> Self {
        let (state, because) = match found {
            Enforcement::InForce => (EnforcementState::InForce, None),
            Enforcement::NotLasting(why) => (EnforcementState::NotLasting, Some(why)),
            Enforcement::Off(why) => (EnforcementState::Off, Some(why)),
        };
        Self {
            state: state.into(),
            because,
        }
    }
}

/// One object, and where it is pinned.
struct Held {
    path: PathBuf,
    fd: OwnedFd,
    id: u32,
    /// Of a link: the program that it calls.
    program: Option<u32>,
    /// Device and number of the pin's inode when it was last asked what is pinned: what an inode of a BPF
    /// filesystem stands for never changes (`bpf_mkobj_ops()` in kernel/bpf/inode.c).
    pin: Mutex<Option<(u64, u64)>>,
}

/// Everything that limits sessions.
pub(super) struct Attachment {
    directory: PathBuf,
    held: Vec<Held>,
}

impl Attachment {
    /// Takes hold of what is pinned.
    pub(super) fn open(directory: &Path, programs: &[&str]) -> Result<Self, KernelError> {
        let mut held = Vec::new();
        for program in programs {
            held.push(Held::open(
                directory.join(format!("{program}_program")),
                false,
            )?);
            held.push(Held::open(directory.join(program), true)?);
        }
        for map in pinned_maps() {
            held.push(Held::open(map_pin(map), false)?);
        }
        Ok(Self {
            directory: directory.into(),
            held,
        })
    }

    /// Looks whether every program is attached and pinned. What is not pinned any more is pinned
    /// again, where that can be done.
    pub(super) fn examine(&self) -> Enforcement {
        if let Some(held) = self.held.iter().find(|held| !held.is_as_it_was()) {
            return Enforcement::Off(format!("{} is not attached any more", held.name()));
        }
        let missing = || self.held.iter().filter(|held| !held.is_pinned());
        let count = missing().count();
        if count == 0 {
            return Enforcement::InForce;
        }
        match self.pin_again(missing()) {
            Ok(()) => {
                tracing::error!("{count} of Bailiff's pins were gone, and were made again");
                Enforcement::InForce
            }
            Err(error) => Enforcement::NotLasting(format!(
                "{count} of {} pins below {} are gone and cannot be made again ({error}): what is in \
                 force ends with this daemon. Mount it (`mount -t bpf bpf /sys/fs/bpf`)",
                self.held.len(),
                names::PIN_ROOT
            )),
        }
    }

    fn pin_again<'a>(&self, missing: impl Iterator<Item = &'a Held>) -> Result<(), KernelError> {
        let root = Path::new(names::PIN_ROOT);
        for directory in [root, &root.join("maps"), &self.directory] {
            make_directory(directory)?;
        }
        for held in missing {
            let failed = |error: io::Error| KernelError::Pin {
                path: held.path.clone(),
                reason: error.to_string(),
            };
            clear(&held.path).map_err(failed)?;
            sys::pin(&held.fd, &held.path).map_err(failed)?;
        }
        Ok(())
    }
}

/// Removes whatever is in the place of a pin.
fn clear(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        _ => fs::remove_file(path),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

impl Held {
    fn open(path: PathBuf, is_link: bool) -> Result<Self, KernelError> {
        let opened = sys::open_pinned(&path).and_then(|fd| Ok((sys::info(&fd)?, fd)));
        let (info, fd) = opened.map_err(|error| KernelError::Pin {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        let ObjectInfo { id, program, .. } = info;
        Ok(Self {
            path,
            fd,
            id,
            program: is_link.then_some(program),
            pin: Mutex::default(),
        })
    }

    fn name(&self) -> String {
        self.path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
    }

    /// A link can come to call another program; other objects stay what they are.
    fn is_as_it_was(&self) -> bool {
        self.program.is_none_or(|program| {
            sys::info(&self.fd).is_ok_and(|info| info.id == self.id && info.program == program)
        })
    }

    fn is_pinned(&self) -> bool {
        let found = fs::symlink_metadata(&self.path).ok();
        let found = found.map(|found| (found.dev(), found.ino()));
        let mut known = self.pin.lock().unwrap_or_else(PoisonError::into_inner);
        if found.is_some() && found == *known {
            return true;
        }
        let is_it = sys::open_pinned(&self.path)
            .and_then(|fd| sys::info(&fd))
            .is_ok_and(|info| info.id == self.id);
        // Looked at before: one that was put there meanwhile is asked the next time.
        *known = found.filter(|_| is_it);
        is_it
    }
}
