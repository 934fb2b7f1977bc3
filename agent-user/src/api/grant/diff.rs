//! `bailiff grant diff`

use agent_grant::{Relation, algebra::Side};
use serde::{Deserialize, Serialize};

use super::DifferenceKind;
use crate::api::{PathText, RuleRef, Word};

/// `bailiff grant diff`: in what two grants differ.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GrantDiff {
    /// Version of the document.
    pub schema: u32,
    /// The first grant, as it was named on the command line.
    pub first: String,
    /// The second grant, as it was named on the command line.
    pub second: String,
    /// Of the first to the second.
    pub relation: Word<Relation>,
    /// One for each way in which they differ.
    pub differences: Vec<Difference>,
}

/// One difference, with every right in which it shows alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Difference {
    /// The grant that allows it.
    pub wider: Word<Side>,
    /// What it is about.
    pub kind: Word<DifferenceKind>,
    /// Rights (`read`), the key of a setting or limit, or `capabilities` and a name; none for variables
    /// and the mode.
    pub rights: Vec<String>,
    /// A shortest path, destination or name on which it shows; none for settings.
    pub object: Option<PathText>,
    /// What the first grant says.
    pub first: Answer,
    /// What the second grant says.
    pub second: Answer,
}

/// What one of the grants says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Answer {
    /// `allowed`, `refused`, or the value of a setting or limit.
    pub value: String,
    /// The rule that decides, if one does.
    pub rule: Option<RuleRef>,
}

impl From<&agent_grant::algebra::Answer> for Answer {
    fn from(answer: &agent_grant::algebra::Answer) -> Self {
        Self {
            value: answer.value.clone(),
            rule: answer.rule.as_ref().map(RuleRef::from),
        }
    }
}
