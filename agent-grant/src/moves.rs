//! Moves: renames, links and exchanges, decided as the kernel side decides them
//! (`agent-ebpf/src/refer.rs`).

use std::fmt;

use agent_abi::{FileRights, words};
use agent_decide::{
    New, Old,
    needs::{OfMove, RENAME_EXCHANGE},
};

use crate::glob;

/// How an object gets another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// `replaces`: something has the new name already.
    Rename { replaces: bool },
    /// It keeps the old name.
    Link,
    /// What has the new name gets the old one.
    Exchange { other_is_directory: bool },
}

words! {
    /// How something gets another name.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum MoveKind {
        /// It loses the old one.
        Rename => "rename",
        /// It keeps the old one.
        Link => "link",
        /// What has the new one gets the old one.
        Exchange => "exchange",
    }
}

impl Manner {
    /// Whether it is a rename, a link or an exchange.
    #[must_use]
    pub fn kind(self) -> MoveKind {
        match self {
            Self::Rename { .. } => MoveKind::Rename,
            Self::Link => MoveKind::Link,
            Self::Exchange { .. } => MoveKind::Exchange,
        }
    }

    /// `rename`, `link` or `exchange`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.kind().name()
    }
}

/// A move that a kernel could be asked for. Paths are as the kernel walks them: `/` and a name, at
/// least once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    old: Vec<u8>,
    new: Vec<u8>,
    is_directory: bool,
    manner: Manner,
}

/// Why no kernel is asked for a move.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoveError {
    #[error("{0}")]
    Path(String),
    #[error("both paths are the same")]
    Same,
    #[error("one path is within the other, so that the move is impossible")]
    Within,
    #[error("a directory cannot have a second name")]
    LinkedDirectory,
}

/// What decides about moves: a grant, or an image of one.
pub trait Authority {
    fn rights(&self, path: &[u8]) -> FileRights;

    /// Whether an object may get another path, a directory with all that is below it.
    fn may_move(&self, is_directory: bool, old: Old<&[u8]>, new: New<&[u8]>) -> bool;
}

/// An object that changes its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passage<'m> {
    pub is_directory: bool,
    pub old: Old<&'m [u8]>,
    pub new: New<&'m [u8]>,
}

impl Passage<'_> {
    /// The refer rule: whether the object may have the new path instead of the old one.
    #[must_use]
    pub fn is_permitted(&self, authority: &impl Authority) -> bool {
        authority.may_move(self.is_directory, self.old, self.new)
    }
}

impl Move {
    /// # Errors
    /// Why no kernel is asked for it.
    pub fn new(
        old: Vec<u8>,
        new: Vec<u8>,
        is_directory: bool,
        manner: Manner,
    ) -> Result<Self, MoveError> {
        if manner == Manner::Link && is_directory {
            return Err(MoveError::LinkedDirectory);
        }
        for path in [&old, &new] {
            glob::literal_components(path).map_err(MoveError::Path)?;
        }
        if old == new {
            return Err(MoveError::Same);
        }
        if is_within(&old, &new) || is_within(&new, &old) {
            return Err(MoveError::Within);
        }
        Ok(Self {
            old,
            new,
            is_directory,
            manner,
        })
    }

    #[must_use]
    pub fn old(&self) -> &[u8] {
        &self.old
    }

    #[must_use]
    pub fn new_path(&self) -> &[u8] {
        &self.new
    }

    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.is_directory
    }

    #[must_use]
    pub fn manner(&self) -> Manner {
        self.manner
    }

    /// The rights that are needed at the old path and at the new one, by what is no symbolic link.
    #[must_use]
    pub fn needs(&self) -> [(&[u8], FileRights); 2] {
        let OfMove { leave, arrive, .. } = match self.manner {
            Manner::Link => OfMove::link(0),
            Manner::Rename { replaces } => OfMove::rename(0, replaces.into(), 0, 0),
            Manner::Exchange { .. } => OfMove::rename(RENAME_EXCHANGE, 1, 0, 0),
        };
        [(&self.old, leave), (&self.new, arrive)]
    }

    /// What changes its path: one object, both of an exchange.
    pub fn passages(&self) -> impl Iterator<Item = Passage<'_>> {
        let there = Passage {
            is_directory: self.is_directory,
            old: Old(&self.old),
            new: New(&self.new),
        };
        let back = match self.manner {
            Manner::Exchange { other_is_directory } => Some(Passage {
                is_directory: other_is_directory,
                old: Old(&self.new),
                new: New(&self.old),
            }),
            Manner::Rename { .. } | Manner::Link => None,
        };
        std::iter::once(there).chain(back)
    }

    /// Whether the kernel lets it happen.
    #[must_use]
    pub fn is_permitted(&self, authority: &impl Authority) -> bool {
        let may = |(path, rights): (&[u8], FileRights)| authority.rights(path).contains(rights);
        self.needs().into_iter().all(may)
            && self
                .passages()
                .all(|passage| passage.is_permitted(authority))
    }
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let object = |is_directory: bool, path: &[u8]| {
            let kind = if is_directory { "directory " } else { "" };
            format!("{kind}{}", String::from_utf8_lossy(path))
        };
        let old = object(self.is_directory, &self.old);
        let new = |is_directory| object(is_directory, &self.new);
        let verb = self.manner.name();
        match self.manner {
            Manner::Rename { replaces: true } => write!(f, "{verb} {old} over {}", new(false)),
            Manner::Rename { .. } | Manner::Link => write!(f, "{verb} {old} to {}", new(false)),
            Manner::Exchange { other_is_directory } => {
                write!(f, "{verb} {old} with {}", new(other_is_directory))
            }
        }
    }
}

/// Whether `path` is below `above`.
fn is_within(path: &[u8], above: &[u8]) -> bool {
    path.strip_prefix(above)
        .is_some_and(|rest| rest.starts_with(b"/"))
}
