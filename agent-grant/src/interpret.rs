//! Decides by an [`Image`] as the kernel does: the same words, the same steps.

use agent_abi::{
    FileRights, Image, Right,
    image::{IMAGE_MAGIC, SINK},
    ledger::NO_RULE,
    limits::IMAGE_WORDS,
    right::FILE_RIGHTS,
};

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

    fn word(&self, index: u32) -> u16 {
        self.image.words[index as usize & (IMAGE_WORDS - 1)]
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
    #[must_use]
    pub fn walk(&self, from: u16, path: &[u8]) -> u16 {
        let header = &self.image.header;
        path.iter().fold(from, |state, byte| {
            if *byte != b'/' && u32::from(state) >= header.settled {
                return state;
            }
            let class = u32::from(self.image.classes[usize::from(*byte)]);
            self.word(u32::from(state) * header.columns + class)
        })
    }

    /// The rights at a state.
    #[must_use]
    pub fn rights(&self, state: u16) -> FileRights {
        FileRights(self.word(self.record(state)))
    }

    fn record(&self, state: u16) -> u32 {
        let header = &self.image.header;
        header.labels + u32::from(self.word(header.state_labels + u32::from(state)))
    }

    /// Whether a state allows a file right, and the rule that decides.
    #[must_use]
    pub fn decide(&self, state: u16, right: Right) -> (bool, u16) {
        let number = right as u32;
        if number as usize >= FILE_RIGHTS {
            return (false, NO_RULE);
        }
        let allowed = self.rights(state).0 & (1 << number) != 0;
        (allowed, self.word(self.record(state) + 1 + number))
    }

    /// Whether a file in state `old` may get a name in state `new`: one with no right more.
    #[must_use]
    pub fn may_move_file(&self, new: u16, old: u16) -> bool {
        self.rights(old).contains(self.rights(new))
    }

    /// Whether a directory in state `old` may get a name in state `new`, with all below it.
    #[must_use]
    pub fn may_move(&self, new: u16, old: u16) -> bool {
        let header = &self.image.header;
        let class = |state: u16| u32::from(self.word(header.refer_classes + u32::from(state)));
        let (new, old) = (class(new), class(old));
        if new == old {
            return true;
        }
        if new >= header.refer_count || old >= header.refer_count {
            return false;
        }
        let bit = new * header.refer_count + old;
        self.word(header.refer + bit / 16) & (1 << (bit % 16)) != 0
    }
}
