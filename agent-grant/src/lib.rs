//! The grant language: text to model to automaton to the image that the kernel decides by.
//!
//! Pure: no I/O, no privileges, no kernel. [`load`] reads a grant, [`Grant::resolve_prefixes`]
//! takes the real paths of its patterns.

pub mod algebra;
pub mod attachments;
pub mod automaton;
pub mod compile;
pub mod diagnostic;
pub mod effect;
pub mod environment;
pub mod explain;
pub mod glob;
mod graph;
pub mod interpret;
pub mod lint;
pub mod model;
pub mod moves;
pub mod naive;
pub mod net;
pub mod opens;
mod policies;
pub mod syntax;
pub mod testing;
pub mod unix;

pub use algebra::{
    Comparison, Difference, Relation, Witness, compare, differences, intersect, unreachable_rules,
};
pub use compile::{
    CompileOptions, Compiled, ImageError, ImageParams, Protected, RuleInfo, VisibleFilesystem,
    VisibleMount, compile,
};
pub use diagnostic::{Diagnostic, Errors, Location, Severity, Source};
pub use explain::{
    Explanation, MoveExplanation, NetExplanation, denying_rule, explain, explain_move, explain_net,
};
pub use graph::graph;
pub use interpret::Interpreter;
pub use lint::{Lint, LintKind, lint};
pub use model::{
    Effect, Grant, IncludeError, Inputs, Mode, Rule, examine, gather, load, load_for_tests,
};
pub use moves::{Authority, Manner, Move, MoveError};
pub use policies::{shipped, shipped_includes, shipped_names};
pub use testing::{TestAnswer, TestOutcome, run_tests};
