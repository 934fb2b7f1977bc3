//! An [`Image`], asked as the kernel asks it: by the same code ([`agent_decide`]) about the same words.

use agent_abi::{
    FileRights, Image, Reason, Right,
    image::{IMAGE_MAGIC, SINK},
};
use agent_decide::{New, Old, Record, label, path, refer};

/// An image, read.
#[derive(Clone, Copy)]
pub struct Interpreter<'i> {
    image: &'i Image,
}

impl<'i> Interpreter<'i> {
    /// `None` where the image is none.
    #[must_use]
    pub fn new(image: &'i Image) -> Option<Self> {
        (image.header.magic == IMAGE_MAGIC).then_some(Self { image })
    }

    /// The state at a filesystem's root.
    #[must_use]
    pub fn root(&self, superblock: u32) -> u16 {
        self.image
            .roots
            .get(superblock as usize)
            .copied()
            .unwrap_or(SINK)
    }

    /// The state after a path from a state.
    ///
    /// # Errors
    /// [`Reason::Unresolvable`] for what is deeper than the kernel side goes.
    pub fn resolve(&self, from: u16, path: &[u8]) -> Result<u16, Reason> {
        path::follow(self.image, from.into(), path).map(|state| state as u16)
    }

    /// The state after a path from a state; [`SINK`], where nothing is allowed, for what cannot be
    /// resolved.
    #[must_use]
    pub fn walk(&self, from: u16, path: &[u8]) -> u16 {
        self.resolve(from, path).unwrap_or(SINK)
    }

    /// The rights at a state.
    #[must_use]
    pub fn rights(&self, state: u16) -> FileRights {
        Record::of(self.image, state.into()).rights(self.image)
    }

    /// Whether a state allows a file right, and the rule that decides.
    #[must_use]
    pub fn decide(&self, state: u16, right: Right) -> (bool, u16) {
        label::decide(self.image, state.into(), right)
    }

    /// Whether an object may get a path with state `new` for one with state `old`.
    #[must_use]
    pub fn may_move(&self, is_directory: bool, old: Old<u16>, new: New<u16>) -> bool {
        let (old, new) = (Old(old.0.into()), New(new.0.into()));
        refer::may_move(self.image, is_directory, old, new)
    }
}
