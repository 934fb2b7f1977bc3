//! `bailiff grant graph`

use serde::{Deserialize, Serialize};

/// `bailiff grant graph`: the automaton of a grant's file rules.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GrantGraph {
    /// Version of the document.
    pub schema: u32,
    /// States of the automaton in the kernel, which also tells rules apart.
    pub states: usize,
    /// Bytes that the automaton tells apart.
    pub classes: usize,
    /// The picture, for Graphviz.
    pub dot: String,
}
