//! Where a file of a grant is, and by which way it was read.

use std::{io, os::fd::BorrowedFd};

use super::{reach::Spot, trail::follow};
use crate::mounts::MountView;

/// A file that a grant was read from.
#[derive(Debug)]
pub struct GrantFile {
    /// `None`: it lies in no mount that can be told.
    pub spot: Option<Spot>,
    /// Links on the way to it.
    pub links: Vec<Spot>,
    /// Names that the file has (hard links).
    pub names: u64,
}

impl GrantFile {
    /// Follows `path` in the root and mounts of whoever read it.
    pub fn at(root: BorrowedFd<'_>, view: &MountView, path: &[u8]) -> io::Result<Self> {
        let trail = follow(root, path, None)?;
        let links = trail
            .links
            .iter()
            .filter_map(|link| Spot::at(view, &link.own, link.past));
        Ok(Self {
            spot: Spot::at(view, &trail.real, trail.past),
            links: links.collect(),
            names: trail.names,
        })
    }

    /// The path by which the session knows it, where it can see it at all.
    #[must_use]
    pub fn known_in(&self, view: &MountView) -> Option<Vec<u8>> {
        let spot = self.spot.as_ref()?;
        view.names().full_path(spot.dev(), spot.inner())
    }
}
