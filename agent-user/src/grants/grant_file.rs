//! Where a file of a grant is, and by which way it was read.

use std::{io, os::fd::BorrowedFd};

use jiff::Timestamp;

use super::{reach::Spot, trail::follow};
use crate::mounts::MountView;

/// A file that a grant was read from.
#[derive(Debug)]
pub struct GrantFile {
    /// `None`: it lies in no mount that can be told.
    pub spot: Option<Spot>,
    /// When it was last written or changed; `None` where it is not there any more.
    pub changed: Option<Timestamp>,
    /// Links on the way to it, with the times when they were made.
    pub links: Vec<(Spot, Option<Timestamp>)>,
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
            .filter_map(|link| Some((Spot::at(view, &link.own, link.only_root)?, link.changed)));
        Ok(Self {
            spot: Spot::at(view, &trail.real, trail.only_root),
            changed: trail.changed,
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
