//! What a benchmark run tells: both halves, guest and `cargo xtask bench`, read it here.

mod session_cells;
mod work_cells;

pub use session_cells::{SessionCell, SessionFigure};
pub use work_cells::{Task, WORK_FILES, WORK_PATTERNS, WorkCell};

use serde::{Deserialize, Serialize};
use std::fmt;

/// Path depths that are measured: components of the file's path.
pub const DEPTHS: [u32; 3] = [2, 6, 12];

/// Sizes of the grant, ruleset or profile that are measured.
pub const PATTERNS: [u32; 3] = [5, 50, 500];

/// What is done once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// `open` for reading and `close`.
    Open,
    /// `open` with `O_CREAT`, `close` and `unlink`.
    Create,
    /// `rename` within one directory.
    Rename,
    /// `execve` of a static program, up to its first instruction.
    Execve,
    /// `socket` and `connect` to a TCP listener on the loopback interface.
    Connect,
    /// `fork`, and the child's end.
    Fork,
}

impl Action {
    pub const ALL: [Self; 6] = [
        Self::Open,
        Self::Create,
        Self::Rename,
        Self::Execve,
        Self::Connect,
        Self::Fork,
    ];

    /// As in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open+close",
            Self::Create => "creat+unlink",
            Self::Rename => "rename",
            Self::Execve => "execve",
            Self::Connect => "connect",
            Self::Fork => "fork+exit",
        }
    }

    /// Instructions by which figures differ from run to run: how dear it is to give an object back to
    /// its slab does, and a new process is made of many.
    #[must_use]
    pub fn noise(self) -> i64 {
        match self {
            Self::Execve | Self::Fork => 600,
            _ => 30,
        }
    }

    /// Whether it has a path, and so is measured at every depth.
    #[must_use]
    pub fn has_path(self) -> bool {
        !matches!(self, Self::Connect | Self::Fork)
    }
}

/// An action, and how deep its path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Operation {
    pub action: Action,
    /// One of [`DEPTHS`]; none for actions without a path.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub depth: Option<u32>,
}

impl Operation {
    /// Every operation that is measured.
    pub fn all() -> impl Iterator<Item = Self> {
        Action::ALL.into_iter().flat_map(|action| {
            let depths: &[Option<u32>] = if action.has_path() {
                &[Some(DEPTHS[0]), Some(DEPTHS[1]), Some(DEPTHS[2])]
            } else {
                &[None]
            };
            depths.iter().map(move |depth| Self {
                action,
                depth: *depth,
            })
        })
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.action.name();
        match self.depth {
            Some(depth) => f.pad(&format!("{name}, depth {depth}")),
            None => f.pad(name),
        }
    }
}

/// Under what an operation is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// Nothing loaded, nothing limited.
    Bare,
    /// An LSM program that returns 0 on every hook that Bailiff uses.
    Floor,
    /// Bailiff loaded, the process in no session.
    Untagged,
    /// In a session.
    Tagged,
    Landlock,
    #[serde(rename = "apparmor")]
    AppArmor,
}

impl Condition {
    /// Whether it has patterns, and so is measured with each of [`PATTERNS`].
    #[must_use]
    pub fn has_patterns(self) -> bool {
        matches!(self, Self::Tagged | Self::Landlock | Self::AppArmor)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Bare => "bare",
            Self::Floor => "floor",
            Self::Untagged => "untagged",
            Self::Tagged => "tagged",
            Self::Landlock => "Landlock",
            Self::AppArmor => "AppArmor",
        })
    }
}

/// One figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    #[serde(flatten)]
    pub operation: Operation,
    pub condition: Condition,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub patterns: Option<u32>,
    /// Guest instructions that the operation took at least, kernel and all.
    pub instructions: u64,
}

/// How often an operation passes a hook of Bailiff.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookCalls {
    #[serde(flatten)]
    pub operation: Operation,
    pub calls: u64,
}

/// What is measured in a boot of its own, so that none leaves anything behind for the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// [`Results::cells`] and [`Results::hook_calls`]
    Operations,
    /// [`Results::sessions`]
    Sessions,
    /// [`Results::work`]
    Work,
}

impl Part {
    pub const ALL: [Self; 3] = [Self::Operations, Self::Sessions, Self::Work];

    /// As an argument of the guest's half.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Operations => "operations",
            Self::Sessions => "sessions",
            Self::Work => "work",
        }
    }
}

/// Everything that one kernel told. A part that was not measured is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Results {
    /// `uname -r`
    pub release: String,
    #[serde(default)]
    pub cells: Vec<Cell>,
    #[serde(default)]
    pub hook_calls: Vec<HookCalls>,
    #[serde(default)]
    pub sessions: Vec<SessionCell>,
    #[serde(default)]
    pub work: Vec<WorkCell>,
}

impl Results {
    /// With what another has of one part.
    pub fn take(&mut self, part: Part, other: Self) {
        match part {
            Part::Operations => {
                self.cells = other.cells;
                self.hook_calls = other.hook_calls;
            }
            Part::Sessions => self.sessions = other.sessions,
            Part::Work => self.work = other.work,
        }
    }

    /// What a session figure is.
    #[must_use]
    pub fn session(&self, figure: SessionFigure) -> Option<u64> {
        let cell = self.sessions.iter().find(|cell| cell.figure == figure)?;
        Some(cell.value)
    }

    /// Instructions of one cell.
    #[must_use]
    pub fn instructions(
        &self,
        operation: Operation,
        condition: Condition,
        patterns: Option<u32>,
    ) -> Option<u64> {
        self.cells
            .iter()
            .find(|cell| {
                cell.operation == operation
                    && cell.condition == condition
                    && cell.patterns == patterns
            })
            .map(|cell| cell.instructions)
    }

    /// Instructions of one cell above those of the bare kernel.
    #[must_use]
    pub fn added(
        &self,
        operation: Operation,
        condition: Condition,
        patterns: Option<u32>,
    ) -> Option<i64> {
        let bare = self.instructions(operation, Condition::Bare, None)?;
        let with = self.instructions(operation, condition, patterns)?;
        Some(with.cast_signed() - bare.cast_signed())
    }

    /// How often an operation passes a hook.
    #[must_use]
    pub fn calls(&self, operation: Operation) -> Option<u64> {
        self.hook_calls
            .iter()
            .find(|count| count.operation == operation)
            .map(|count| count.calls)
    }
}
