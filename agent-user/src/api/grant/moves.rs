//! What a grant says of a move.

use agent_abi::{FileRights, Right};
use agent_grant::{
    Manner,
    explain::{self, Transfer},
};
use serde::{Deserialize, Serialize};

use super::MoveKind;
use crate::api::{PathText, RuleRef, Word};

/// A move, and whether a grant allows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MoveJudgement {
    /// How it gets its new name.
    #[serde(rename = "move")]
    pub kind: Word<MoveKind>,
    /// The name that it has.
    pub old: PathText,
    /// The name that it gets.
    pub new: PathText,
    /// What is moved is a directory.
    pub directory: bool,
    /// A rename finds the new name taken.
    pub replaces: bool,
    /// Of an exchange: whether what has the new name is a directory.
    pub to_directory: Option<bool>,
    /// Whether the grant allows it.
    pub allowed: bool,
    /// The rights that the two names need, in the order in which the kernel asks.
    pub needs: Vec<Need>,
    /// What forbids it whatever the rights at both names are.
    pub bars: Vec<Bar>,
}

/// A right that one of the names needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Need {
    /// As in an event: `file.create`.
    pub right: Word<Right>,
    /// The name.
    pub path: PathText,
    /// Whether the grant allows it.
    pub allowed: bool,
    /// The rule that decides; none where no rule allows it.
    pub rule: Option<RuleRef>,
}

/// A path, at or below what is moved, whose rights forbid it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Bar {
    /// The path now; none where no path shows it: what the kernel knows of directories is coarser than
    /// the rules.
    pub old: Option<PathText>,
    /// The path after the move.
    pub new: Option<PathText>,
    /// Rights that it would gain.
    pub gained: Vec<Word<Right>>,
    /// Rights to make what is there that it would lose.
    pub lost: Vec<Word<Right>>,
    /// The rule that refuses the first of those: at the path now what would be gained, after the move
    /// what would be lost; none where no rule allows it.
    pub rule: Option<RuleRef>,
}

impl From<&agent_grant::MoveExplanation> for MoveJudgement {
    fn from(found: &agent_grant::MoveExplanation) -> Self {
        let wanted = &found.wanted;
        let manner = wanted.manner();
        Self {
            kind: manner.kind().into(),
            old: PathText::new(wanted.old()),
            new: PathText::new(wanted.new_path()),
            directory: wanted.is_directory(),
            replaces: manner == Manner::Rename { replaces: true },
            to_directory: match manner {
                Manner::Exchange { other_is_directory } => Some(other_is_directory),
                Manner::Rename { .. } | Manner::Link => None,
            },
            allowed: found.allowed,
            needs: found.needs.iter().map(Need::from).collect(),
            bars: found.transfers.iter().filter_map(Bar::of).collect(),
        }
    }
}

impl From<&explain::Need> for Need {
    fn from(need: &explain::Need) -> Self {
        Self {
            right: need.right.into(),
            path: PathText::new(&need.path),
            allowed: need.allowed,
            rule: need.rule.as_ref().map(RuleRef::from),
        }
    }
}

impl Bar {
    /// What forbids that an object changes its path, if something does.
    fn of(transfer: &Transfer) -> Option<Self> {
        Some(match transfer.bar.as_ref()? {
            explain::Bar::Rights {
                below,
                gained,
                lost,
                rule,
            } => Self {
                old: Some(PathText::new(&[&transfer.old[..], below].concat())),
                new: Some(PathText::new(&[&transfer.new[..], below].concat())),
                gained: names(*gained),
                lost: names(*lost),
                rule: rule.as_ref().map(RuleRef::from),
            },
            explain::Bar::Coarse => Self {
                old: None,
                new: None,
                gained: Vec::new(),
                lost: Vec::new(),
                rule: None,
            },
        })
    }
}

fn names(rights: FileRights) -> Vec<Word<Right>> {
    rights.iter().map(Word::from).collect()
}
