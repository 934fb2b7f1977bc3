//! `bailiff grant list`

use serde::{Deserialize, Serialize};

/// `bailiff grant list`: the grants that are known by a name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GrantList {
    /// Version of the document.
    pub schema: u32,
    /// In the order of their names.
    pub grants: Vec<ListedGrant>,
}

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ListedGrant {
    /// By which it is named.
    pub name: String,
    /// Where it was read; `None`: it could not be.
    pub origin: Option<String>,
    /// What it is for, as it says itself.
    pub purpose: Option<String>,
    /// Why it cannot be used.
    pub error: Option<String>,
}
