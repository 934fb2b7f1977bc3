//! How much figures have grown above others.

use bailiff_bench::{Cell, Condition, Results, SessionCell, Task, WorkCell};
use std::fmt;

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
    /// What has grown by more than 5 %; a figure that there was not before has not.
    pub(super) fn between(before: &Results, now: &Results) -> Self {
        let cells = now.cells.iter();
        let operations = cells.filter_map(|cell| Grown::operation(cell, before, now));
        let sessions = now.sessions.iter();
        let sessions = sessions.filter_map(|cell| Grown::session(cell, before));
        let work = now.work.iter();
        let work = work.filter_map(|cell| Grown::work(cell, before, now));
        Self::Known {
            grown: operations.chain(sessions).chain(work).collect(),
            other_release: (before.release != now.release).then(|| before.release.clone()),
        }
    }

    pub(crate) fn is_worse(&self) -> bool {
        matches!(self, Self::Known { grown, .. } if !grown.is_empty())
    }
}

/// A figure of Bailiff's that has grown.
pub(crate) struct Grown {
    what: String,
    before: i64,
    now: i64,
}

impl Grown {
    fn operation(cell: &Cell, before: &Results, now: &Results) -> Option<Self> {
        if !is_ours(cell.condition) {
            return None;
        }
        let added =
            |results: &Results| results.added(cell.operation, cell.condition, cell.patterns);
        let patterns = cell.patterns;
        let patterns = patterns.map_or_else(String::new, |count| format!(", {count} patterns"));
        Self::of(
            format!("{}, {}{patterns}", cell.operation, cell.condition),
            (added(before)?, added(now)?),
            cell.operation.action.noise(),
        )
    }

    fn session(cell: &SessionCell, before: &Results) -> Option<Self> {
        let before = before.session(cell.figure)?.cast_signed();
        Self::of(
            format!("{}, {}", cell.figure, cell.figure.unit()),
            (before, cell.value.cast_signed()),
            cell.figure.noise().cast_signed(),
        )
    }

    fn work(cell: &WorkCell, before: &Results, now: &Results) -> Option<Self> {
        let WorkCell {
            task, condition, ..
        } = *cell;
        if !is_ours(condition) {
            return None;
        }
        let bare = now.task(task, Condition::Bare)?.cast_signed();
        let added = |results: &Results| results.added_to(task, condition);
        Self::of(
            format!("{task}, {condition}"),
            (added(before)?, added(now)?),
            bare / Task::NOISE,
        )
    }

    /// If it has grown by more than that, and than figures differ by anyway.
    fn of(what: String, (before, now): (i64, i64), noise: i64) -> Option<Self> {
        (now > before + before.abs() / 20 + noise).then_some(Self { what, before, now })
    }
}

/// Whether it is Bailiff that costs.
fn is_ours(condition: Condition) -> bool {
    matches!(condition, Condition::Untagged | Condition::Tagged)
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
                grown.iter().try_for_each(|Grown { what, before, now }| {
                    writeln!(f, "          {what}: {before:+} -> {now:+}")
                })
            }
        }
    }
}
