//! The committed figures of one kernel, and how much others have grown above them.

use crate::paths;
use anyhow::{Context, Result};
use bailiff_bench::{Cell, Condition, Operation, Results};
use std::fmt;
use std::fs;
use std::path::PathBuf;

/// Where the committed figures of a kernel are.
pub(crate) struct Baseline {
    path: PathBuf,
}

impl Baseline {
    /// Of a kernel by the name that it is asked for by, such as 6.12.
    pub(crate) fn of(kernel: &str) -> Self {
        let folder = paths::workspace().join("xtask/bench/baseline");
        Self {
            path: folder.join(format!("{kernel}.json")),
        }
    }

    /// Replaces them; a line for each figure, so that a change can be read.
    pub(crate) fn write(&self, results: &Results) -> Result<()> {
        let lines = |values: Vec<String>| values.join(",\n    ");
        let cells = results.cells.iter().map(serde_json::to_string);
        let calls = results.hook_calls.iter().map(serde_json::to_string);
        let text = format!(
            "{{\n  \"release\": {},\n  \"cells\": [\n    {}\n  ],\n  \"hook_calls\": [\n    {}\n  ]\n}}\n",
            serde_json::to_string(&results.release)?,
            lines(cells.collect::<Result<_, _>>()?),
            lines(calls.collect::<Result<_, _>>()?),
        );
        fs::write(&self.path, text).with_context(|| format!("write {}", self.path.display()))
    }

    /// What has grown by more than 5 %.
    pub(crate) fn compare(&self, now: &Results) -> Result<Growth> {
        let Ok(text) = fs::read_to_string(&self.path) else {
            return Ok(Growth::Unknown(
                "no committed figures for this kernel; `--bless` makes these the ones".into(),
            ));
        };
        let before: Results =
            serde_json::from_str(&text).with_context(|| format!("read {}", self.path.display()))?;
        let grown = now
            .cells
            .iter()
            .filter_map(|cell| Grown::of(cell, &before, now));
        Ok(Growth::Known {
            grown: grown.collect(),
            other_release: (before.release != now.release).then_some(before.release.clone()),
        })
    }
}

/// What a comparison found.
pub(crate) enum Growth {
    Known {
        grown: Vec<Grown>,
        /// What the committed figures were counted on, where that was another kernel.
        other_release: Option<String>,
    },
    /// There is nothing to compare with.
    Unknown(String),
}

impl Growth {
    pub(crate) fn is_worse(&self) -> bool {
        matches!(self, Self::Known { grown, .. } if !grown.is_empty())
    }
}

/// A figure of Bailiff's that has grown.
pub(crate) struct Grown {
    operation: Operation,
    condition: Condition,
    patterns: Option<u32>,
    before: i64,
    now: i64,
}

impl Grown {
    fn of(cell: &Cell, before: &Results, now: &Results) -> Option<Self> {
        if !matches!(cell.condition, Condition::Untagged | Condition::Tagged) {
            return None;
        }
        let added =
            |results: &Results| results.added(cell.operation, cell.condition, cell.patterns);
        let (before, now) = (added(before)?, added(now)?);
        (now > before + before.abs() / 20 + cell.operation.action.noise()).then_some(Self {
            operation: cell.operation,
            condition: cell.condition,
            patterns: cell.patterns,
            before,
            now,
        })
    }
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(why) => writeln!(f, "note: {why}"),
            Self::Known {
                grown,
                other_release,
            } => {
                if let Some(release) = other_release {
                    writeln!(
                        f,
                        "note: the committed figures are of {release}; `--bless` renews them"
                    )?;
                }
                if grown.is_empty() {
                    return writeln!(
                        f,
                        "kept    no figure above the committed ones by more than 5 %"
                    );
                }
                writeln!(f, "GROWN   by more than 5 % above the committed figures:")?;
                grown.iter().try_for_each(|grown| {
                    writeln!(
                        f,
                        "          {}, {}{}: {:+} -> {:+}",
                        grown.operation,
                        grown.condition,
                        grown
                            .patterns
                            .map_or_else(String::new, |count| format!(", {count} patterns")),
                        grown.before,
                        grown.now
                    )
                })
            }
        }
    }
}
