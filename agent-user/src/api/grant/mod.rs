//! What `bailiff grant` prints with `--json`.

mod check;
mod diff;
mod explain;
mod graph;
mod list;
mod moves;
mod show;
mod test;
mod words;

pub use check::{GrantCheck, Mistake, Remark};
pub use diff::{Answer, Difference, GrantDiff};
pub use explain::{GrantExplanation, MoveExplanation, RightExplanation, RuleMatch};
pub use graph::GrantGraph;
pub use list::{GrantList, ListedGrant};
pub use moves::{Bar, MoveJudgement, Need};
pub use show::{
    EnvironmentShown, GrantShown, Opening, PatternShown, RightShown, RuleShown, SettingShown,
};
pub use test::{GrantTests, TestResult};
pub use words::{DifferenceKind, MoveKind, RuleKind};
