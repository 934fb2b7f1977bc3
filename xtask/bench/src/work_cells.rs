//! What limits cost whole commands.

use serde::{Deserialize, Serialize};
use std::fmt;

use crate::{Condition, Results};

/// Patterns of the grant, rules of the others: as many as a grant for coding has.
pub const WORK_PATTERNS: u32 = 50;

/// Files of the tree that tasks work on.
pub const WORK_FILES: u32 = 800;

/// A command, and all that it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// `git status` in the tree.
    GitStatus,
    /// `grep -r` through it.
    Grep,
    /// `find` by size, so that each file is looked at.
    Find,
    /// `tar cf` of it.
    Tar,
    /// `cp -a` of it, and `rm -rf` of the copy.
    Copy,
    /// A file of C with a few headers, to an object.
    Compile,
    /// Python, with a handful of imports.
    Python,
    /// A program fifty times, from a shell.
    Execs,
}

impl Task {
    pub const ALL: [Self; 8] = [
        Self::GitStatus,
        Self::Grep,
        Self::Find,
        Self::Tar,
        Self::Copy,
        Self::Compile,
        Self::Python,
        Self::Execs,
    ];

    /// One of so many of a command's instructions is what figures differ by from run to run.
    pub const NOISE: i64 = 500;

    /// As in tables, and as an argument.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::GitStatus => "git status",
            Self::Grep => "grep -r",
            Self::Find => "find",
            Self::Tar => "tar cf",
            Self::Copy => "cp -a, rm -rf",
            Self::Compile => "gcc -c",
            Self::Python => "python3, imports",
            Self::Execs => "50 execs by sh",
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One figure, with [`WORK_PATTERNS`] where the condition has patterns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkCell {
    pub task: Task,
    pub condition: Condition,
    /// Of the whole command, user and kernel.
    pub instructions: u64,
}

impl Results {
    /// Instructions of a task.
    #[must_use]
    pub fn task(&self, task: Task, condition: Condition) -> Option<u64> {
        let mut cells = self.work.iter();
        let cell = cells.find(|cell| cell.task == task && cell.condition == condition)?;
        Some(cell.instructions)
    }

    /// Instructions of a task above those on the bare kernel.
    #[must_use]
    pub fn added_to(&self, task: Task, condition: Condition) -> Option<i64> {
        let bare = self.task(task, Condition::Bare)?;
        let with = self.task(task, condition)?;
        Some(with.cast_signed() - bare.cast_signed())
    }
}
