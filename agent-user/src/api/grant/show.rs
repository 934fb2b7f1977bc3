//! `bailiff grant show`

use std::collections::BTreeMap;

use agent_abi::Right;
use agent_grant::{Effect, syntax::settings::SettingTable};
use serde::{Deserialize, Serialize};

use super::RuleKind;
use crate::api::{Mode, PathText, RuleRef, Word};

/// `bailiff grant show`: what a grant says, includes and variables filled in.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GrantShown {
    /// Version of the document.
    pub schema: u32,
    /// Its name, as its text has it.
    pub name: String,
    /// What it is for, in its author's words.
    pub purpose: Option<String>,
    /// Whether it is carried out.
    pub mode: Word<Mode>,
    /// Every rule, those of included grants first.
    pub rules: Vec<RuleShown>,
    /// For each file right the rules that allow and deny it.
    pub rights: Vec<RightShown>,
    /// Every switch.
    pub settings: Vec<SettingShown>,
    /// Capabilities that can be used, by name.
    pub capabilities: Vec<String>,
    /// What is handed over of the environment.
    pub environment: EnvironmentShown,
    /// What switches and capabilities open, in words.
    pub opens: Vec<Opening>,
    /// Limits, by name, as written.
    pub limits: BTreeMap<String, String>,
    /// Limits that this version does not enforce, by name.
    pub unenforced: Vec<String>,
    /// What is written and not granted on this host, since a link is not followed.
    pub remarks: Vec<String>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RuleShown {
    /// Which one.
    #[serde(flatten)]
    pub rule: RuleRef,
    /// What it is about.
    pub kind: Word<RuleKind>,
    /// Whether it allows or denies.
    pub effect: Word<Effect>,
    /// Rights as a grant writes them: `read`; `all`.
    pub rights: Vec<String>,
    /// Patterns, destinations or names.
    pub objects: Vec<PatternShown>,
    /// Patterns that are taken out of it.
    pub except: Vec<PatternShown>,
}

/// A pattern as written, and what it names on this host where that is something else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PatternShown {
    /// As written.
    pub written: String,
    /// With real paths put in.
    pub real: Vec<String>,
}

/// A file right, and the rules that speak of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RightShown {
    /// As in an event: `file.read`.
    pub right: Word<Right>,
    /// Ids of the rules that allow it.
    pub allowed_by: Vec<String>,
    /// Ids of the rules that deny it.
    pub denied_by: Vec<String>,
}

/// A switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SettingShown {
    /// Where it stands.
    pub table: Word<SettingTable>,
    /// Its name.
    pub key: String,
    /// Its value, as a grant writes it.
    pub value: String,
    /// Whether it would be the same if the grant said nothing.
    pub is_default: bool,
}

/// What a session is handed over of its caller's environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EnvironmentShown {
    /// What programs need is kept.
    pub default: bool,
    /// Patterns of names that are kept besides.
    pub keep: Vec<String>,
    /// What is set, by name.
    pub set: BTreeMap<String, String>,
    /// The session has a filesystem of its own for temporary files, in `TMPDIR`.
    #[serde(default)]
    pub private_tmp: bool,
    /// Names of this command's own environment that would be kept.
    pub kept_here: Vec<PathText>,
    /// Those that would not.
    pub dropped_here: Vec<PathText>,
}

/// What a switch or capability opens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Opening {
    /// As a grant writes it: `bpf = true`.
    pub setting: String,
    /// What it opens, as a sentence.
    pub opens: String,
}
