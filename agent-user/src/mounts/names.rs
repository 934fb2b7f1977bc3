//! Under which path the objects of each filesystem are known.

use std::collections::BTreeMap;

use agent_abi::KernelFilesystem;

use serde::{Deserialize, Serialize};

use super::{Mount, path};
use crate::api::PathText;

/// A directory of a filesystem, and the path by which it is known with all below.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Shown {
    /// Relative to the root of the filesystem, `/` for all of it.
    pub root: Vec<u8>,
    pub at: Vec<u8>,
}

/// What is known of one filesystem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    /// The kernel knows it by its kind.
    kernels_own: bool,
    /// The one that counts first.
    shown: Vec<Shown>,
}

impl Shown {
    /// Whether `inner`, relative to the root of the filesystem, is in it.
    #[must_use]
    pub fn has(&self, inner: &[u8]) -> bool {
        path::below(&self.root, inner).is_some()
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    root: PathText,
    at: PathText,
}

impl From<Stored> for Shown {
    fn from(stored: Stored) -> Self {
        Self {
            root: stored.root.bytes(),
            at: stored.at.bytes(),
        }
    }
}

impl From<Shown> for Stored {
    fn from(shown: Shown) -> Self {
        Self {
            root: PathText::new(&shown.root),
            at: PathText::new(&shown.at),
        }
    }
}

/// Filesystems by kernel device (major << 20 | minor), each with its names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names(BTreeMap<u32, Known>);

impl Names {
    /// Of mounts that can be reached, in the order of mounting.
    ///
    /// First of a filesystem comes what shows the most of it (its root is nearest to the
    /// filesystem's), then what has the fewest directories before it, then the oldest.
    ///
    /// The kernel's own filesystems have their usual path, and so have the devices, of which there is
    /// one for the host. What has no place is left out: it is refused, and nothing else is.
    pub(super) fn of<'m>(mounts: impl Iterator<Item = &'m Mount>) -> Self {
        let mut names = BTreeMap::<u32, Known>::new();
        for mount in mounts {
            let own = KernelFilesystem::of_type(mount.fstype.as_bytes());
            let fixed = own.map(KernelFilesystem::path);
            let fixed = fixed.or_else(|| (mount.fstype == "devtmpfs").then_some(b"/dev"));
            if fixed.is_none() && !mount.has_place() {
                continue;
            }
            let shown = match fixed {
                Some(path) => Shown {
                    root: b"/".into(),
                    at: path.into(),
                },
                None => Shown {
                    root: mount.root.clone(),
                    at: mount.point.clone(),
                },
            };
            let known = names.entry(mount.dev).or_insert_with(|| Known {
                kernels_own: own.is_some(),
                shown: Vec::new(),
            });
            if !known.shown.contains(&shown) {
                known.shown.push(shown);
            }
        }
        for known in names.values_mut() {
            // The sort is stable, and mountinfo is in the order of mounting.
            known.shown.sort_by_key(|shown| {
                (
                    path::depth(&shown.root),
                    path::depth(&shown.at),
                    shown.at.len(),
                )
            });
        }
        Self(names)
    }

    /// Filesystems that are told by their device, each with its names.
    pub fn placed(&self) -> impl Iterator<Item = (u32, &[Shown])> {
        self.0
            .iter()
            .filter(|(_, known)| !known.kernels_own)
            .map(|(dev, known)| (*dev, known.shown.as_slice()))
    }

    /// The names of one filesystem that is told by its device.
    pub(super) fn shown(&self, dev: u32) -> Option<&[Shown]> {
        let known = self.0.get(&dev).filter(|known| !known.kernels_own)?;
        Some(&known.shown)
    }

    pub(super) fn add(&mut self, dev: u32, shown: &[Shown]) {
        let known = Known {
            kernels_own: false,
            shown: shown.to_vec(),
        };
        if !shown.is_empty() {
            self.0.insert(dev, known);
        }
    }

    pub(super) fn remove(&mut self, dev: u32) {
        self.0.remove(&dev);
    }

    /// Takes the kernel's own filesystems from others. They are for reports: what is judged by its kind
    /// needs no name.
    pub(super) fn take_kernels_own(&mut self, from: &Self) {
        self.0.retain(|_, known| !known.kernels_own);
        for (dev, known) in from.0.iter().filter(|(_, known)| known.kernels_own) {
            self.0.entry(*dev).or_insert_with(|| known.clone());
        }
    }

    /// The same for those that are known nowhere else.
    pub(super) fn add_kernels_own(&mut self, from: &Self) {
        for (dev, known) in from.0.iter().filter(|(_, known)| known.kernels_own) {
            self.0.entry(*dev).or_insert_with(|| known.clone());
        }
    }

    /// The path that counts for `inner`, which is relative to the root of `dev`.
    ///
    /// `None`: it is not shown.
    #[must_use]
    pub fn full_path(&self, dev: u32, inner: &[u8]) -> Option<Vec<u8>> {
        self.0.get(&dev)?.shown.iter().find_map(|shown| {
            path::below(&shown.root, inner).map(|rest| path::join(&shown.at, rest))
        })
    }
}
