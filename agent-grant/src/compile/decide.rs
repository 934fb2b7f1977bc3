//! Questions to a compiled grant.

use std::{fmt, sync::OnceLock};

use agent_abi::{
    FileRights, Image, Reason, Right,
    ledger::NO_RULE,
    net::{NetEntries, NetKey},
};
use agent_decide::{New, Old};

use super::{Compiled, ImageParams, RuleInfo, VisibleFilesystem, VisibleMount};
use crate::{interpret::Interpreter, moves::Authority, net::Endpoint};

impl Compiled {
    /// Every rule by number, those that every session has included.
    #[must_use]
    pub fn rules(&self) -> &[RuleInfo] {
        &self.info
    }

    /// The rule with a number, as it stands in events.
    #[must_use]
    pub fn rule(&self, number: u16) -> Option<&RuleInfo> {
        self.info.get(usize::from(number))
    }

    /// Whether a file right is allowed on a path, and the rule that decides
    /// ([`NO_RULE`] where none does). The root is the empty path.
    #[must_use]
    pub fn decide(&self, path: &[u8], right: Right) -> (bool, u16) {
        self.asked.of(self).map_or((false, NO_RULE), |image| {
            image.decide(image.walk(image.root(WHOLE), path), right)
        })
    }

    /// The rights on a path. The root is the empty path.
    #[must_use]
    pub fn rights(&self, path: &[u8]) -> FileRights {
        self.asked.of(self).map_or(FileRights::NONE, |image| {
            image.rights(image.walk(image.root(WHOLE), path))
        })
    }

    /// Why nothing is decided about a path, whatever the rules say: it is too deep.
    #[must_use]
    pub fn unresolvable(&self, path: &[u8]) -> Option<Reason> {
        let image = self.asked.of(self)?;
        image.resolve(image.root(WHOLE), path).err()
    }

    /// The same for a network destination.
    #[must_use]
    pub fn decide_net(&self, to: Endpoint) -> (bool, u16) {
        self.net.decide(to)
    }

    /// Whether an object may get the path `new` for the path `old`, as far as its rights are concerned.
    #[must_use]
    pub fn may_move(&self, is_directory: bool, old: Old<&[u8]>, new: New<&[u8]>) -> bool {
        self.asked.of(self).is_some_and(|image| {
            let state = |path| image.walk(image.root(WHOLE), path);
            image.may_move(is_directory, Old(state(old.0)), New(state(new.0)))
        })
    }

    /// Entries of the `NET` map: key length in bits (policy included), key, value.
    #[must_use]
    pub fn net_entries(&self, policy: u32) -> Vec<(u32, NetKey, NetEntries)> {
        self.net.kernel_entries(policy)
    }
}

impl Authority for Compiled {
    fn rights(&self, path: &[u8]) -> FileRights {
        self.rights(path)
    }

    fn may_move(&self, is_directory: bool, old: Old<&[u8]>, new: New<&[u8]>) -> bool {
        self.may_move(is_directory, old, new)
    }
}

/// The grant's image where one filesystem is the whole tree, made when it is asked first.
///
/// There is none for a grant that no session could begin under, which allows nothing; what
/// [`compile`](super::compile()) and [`intersect`](crate::intersect) return has one.
#[derive(Default)]
pub(crate) struct Asked(OnceLock<Option<Box<Image>>>);

/// A copy of the grant makes its own when it is asked.
impl Clone for Asked {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// The only filesystem.
const WHOLE: u32 = 0;

impl Asked {
    fn of(&self, grant: &Compiled) -> Option<Interpreter<'_>> {
        let image = self.0.get_or_init(|| {
            let whole = VisibleFilesystem {
                number: WHOLE,
                mounts: vec![VisibleMount {
                    root: Vec::new(),
                    at: Vec::new(),
                }],
            };
            let params = ImageParams {
                generation: 0,
                policy: 0,
                epoch: 0,
                superblocks: &[whole],
            };
            grant.image(&params).ok()
        });
        Interpreter::new(image.as_ref()?)
    }
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asked")
    }
}
