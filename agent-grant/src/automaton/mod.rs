//! File rules as an automaton: NFA, labelled DFA, minimal DFA.

mod classes;
mod determinize;
mod dfa;
mod minimize;
mod nfa;
mod prune;
mod rows;

pub use dfa::{Dfa, Label};
pub use rows::{Other, Row, Rows};

pub(crate) use determinize::{Attribution, determinize, heaviest};
pub(crate) use minimize::{minimize, partition};
pub(crate) use nfa::{Entry, Nfa, RuleRights};
