//! What `cargo-mutants` reports.

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

/// Changes by their names without line and column, which other changes move: how often each was tried, and
/// how often it went unseen.
#[derive(Default)]
pub(super) struct Outcomes {
    pub(super) mutants: BTreeMap<String, Count>,
    /// Those that do not compile.
    unviable: u32,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Count {
    pub(super) tried: u32,
    pub(super) unseen: u32,
}

#[derive(Deserialize)]
struct Report {
    outcomes: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    /// `"Baseline"`, or `{"Mutant": {…}}`.
    scenario: Value,
    summary: String,
}

impl Outcomes {
    pub(super) fn read(report: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(report).with_context(|| format!("read {}", report.display()))?;
        Self::parse(&text).with_context(|| format!("understand {}", report.display()))
    }

    pub(super) fn parse(text: &str) -> Result<Self> {
        let report: Report = serde_json::from_str(text)?;
        let mut outcomes = Self::default();
        for Row { scenario, summary } in report.outcomes {
            let Some(mutant) = scenario.get("Mutant") else {
                continue;
            };
            if summary == "Unviable" {
                outcomes.unviable += 1;
                continue;
            }
            let name = mutant.get("name").and_then(Value::as_str);
            let name = without_place(name.context("a mutant without a name")?);
            let count = outcomes.mutants.entry(name).or_default();
            count.tried += 1;
            // Caught, or stopped since it ran for ever.
            count.unseen += u32::from(!matches!(&*summary, "CaughtMutant" | "Timeout"));
        }
        Ok(outcomes)
    }

    pub(super) fn add(&mut self, other: Self) {
        self.unviable += other.unviable;
        for (name, count) in other.mutants {
            let sum = self.mutants.entry(name).or_default();
            sum.tried += count.tried;
            sum.unseen += count.unseen;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.mutants.is_empty() && self.unviable == 0
    }

    /// Whether anything in this file was tried.
    pub(super) fn has_file(&self, file: &str) -> bool {
        self.mutants.keys().any(|name| file_of(name) == file)
    }
}

impl fmt::Display for Outcomes {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = |number: fn(&Count) -> u32| self.mutants.values().map(number).sum::<u32>();
        let (tried, unseen) = (sum(|count| count.tried), sum(|count| count.unseen));
        write!(
            to,
            "{tried} changes tried, {} noticed, {unseen} unseen, {} more do not compile",
            tried - unseen,
            self.unviable
        )
    }
}

/// `FILE:LINE:COLUMN: WHAT` as `FILE: WHAT`.
fn without_place(name: &str) -> String {
    let Some((place, what)) = name.split_once(": ") else {
        return name.to_owned();
    };
    format!("{}: {what}", file_of(place))
}

pub(super) fn file_of(name: &str) -> &str {
    name.split(':').next().unwrap_or(name)
}
