//! Allow or deny.

use agent_abi::words;

words! {
    /// What a rule does where it matches.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum Effect {
        Allow => "allow",
        Deny => "deny",
    }
}
