//! What is in force, held by descriptors of the daemon's own, and looked at again and again.
//!
//! A link lives as long as anything refers to it: a pin, or a descriptor. While the daemon runs, its
//! descriptors keep every program attached, whatever becomes of the pins; the pins keep them when it
//! ends. Who removes the pins, or unmounts the filesystem that they are in, would so take every
//! session's limits away with the daemon's next restart.

use std::{
    collections::HashMap,
    ffi::OsString,
    fs, io,
    os::{
        fd::OwnedFd,
        unix::fs::{DirEntryExt, MetadataExt},
    },
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
    /// The pin when it was last asked what is pinned: what an inode of a BPF filesystem stands for never
    /// changes (`bpf_mkobj_ops()` in kernel/bpf/inode.c).
    pin: Mutex<Option<Inode>>,
}

/// Device and number.
type Inode = (u64, u64);

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
        let missing = self.missing();
        let count = missing.len();
        if count == 0 {
            return Enforcement::InForce;
        }
        match self.pin_again(missing) {
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

    fn missing(&self) -> Vec<&Held> {
        let directories = [maps(), self.directory.clone()];
        let pins =
            directories.map(|directory| (pins_in(&directory).unwrap_or_default(), directory));
        let inode = |held: &Held| {
            let (directory, name) = (held.path.parent()?, held.path.file_name()?);
            let (pins, _) = pins.iter().find(|(_, place)| place == directory)?;
            pins.get(name).copied()
        };
        let held = self.held.iter();
        held.filter(|held| !held.is_pinned(inode(held))).collect()
    }

    fn pin_again(&self, missing: Vec<&Held>) -> Result<(), KernelError> {
        let root = Path::new(names::PIN_ROOT);
        for directory in [root, &maps(), &self.directory] {
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

/// Where maps are pinned.
fn maps() -> PathBuf {
    Path::new(names::PIN_ROOT).join("maps")
}

/// What lies in a directory, by name: told all at once, since there are hundreds.
fn pins_in(directory: &Path) -> io::Result<HashMap<OsString, Inode>> {
    let device = || fs::metadata(directory).map(|found| found.dev());
    let before = device()?;
    let inode = |entry: fs::DirEntry| (entry.file_name(), (before, entry.ino()));
    let entries = fs::read_dir(directory)?;
    let pins = entries.map(|entry| entry.map(inode)).collect();
    // Another filesystem that was mounted there meanwhile has the same numbers.
    if device()? == before {
        pins
    } else {
        Ok(HashMap::new())
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

    /// `found` is what lies in its place.
    fn is_pinned(&self, found: Option<Inode>) -> bool {
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
