//! One line for each scenario, as it ends, and the totals.

use std::{
    collections::BTreeMap,
    io::Write,
    time::{Duration, Instant},
};

use super::Check;

/// How a scenario ended.
pub(crate) enum Verdict {
    Passed,
    Failed(String),
    Skipped(String),
}

impl From<Check> for Verdict {
    fn from(check: Check) -> Self {
        match check {
            Ok(()) => Self::Passed,
            // A scenario that cannot be tried here says so in its error.
            Err(text) => match text.strip_prefix(SKIP) {
                Some(why) => Self::Skipped(why.into()),
                None => Self::Failed(text),
            },
        }
    }
}

const SKIP: &str = "\u{0}skip\u{0}";

/// Ends a scenario that cannot be tried on this kernel.
pub(crate) fn skip<T>(why: &str) -> Check<T> {
    Err(format!("{SKIP}{why}"))
}

pub(crate) struct Report {
    passed: usize,
    failed: usize,
    skipped: usize,
    /// When the one before ended.
    since: Instant,
    /// What each family took.
    spent: BTreeMap<String, Duration>,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            passed: 0,
            failed: 0,
            skipped: 0,
            since: Instant::now(),
            spent: BTreeMap::new(),
        }
    }
}

/// A scenario that takes longer says so.
const LONG: Duration = Duration::from_secs(5);
/// A family that takes longer is named at the end.
const DEAR: Duration = Duration::from_secs(15);

impl Report {
    pub(crate) fn add(&mut self, name: &str, verdict: Verdict) {
        let took = self.since.elapsed();
        self.since = Instant::now();
        let family = name.split_once(':').map_or(name, |(family, _)| family);
        *self.spent.entry(family.to_owned()).or_default() += took;
        match verdict {
            Verdict::Passed if took >= LONG => {
                self.passed += 1;
                println!("ok   {name} ({} s)", took.as_secs());
            }
            Verdict::Passed => {
                self.passed += 1;
                println!("ok   {name}");
            }
            Verdict::Failed(why) => {
                self.failed += 1;
                // In one line, which is all that the summary of a run has.
                let why = why.trim_end().replace('\n', " | ");
                println!("FAIL {name}: {why}");
            }
            Verdict::Skipped(why) => {
                self.skipped += 1;
                println!("skip {name}: {why}");
            }
        }
        let _ = std::io::stdout().flush();
    }

    /// The last line. Whether everything passed, and anything was tried.
    pub(crate) fn finish(&self) -> bool {
        let mut dear = self
            .spent
            .iter()
            .filter(|(_, took)| **took >= DEAR)
            .collect::<Vec<_>>();
        dear.sort_by_key(|(_, took)| std::cmp::Reverse(**took));
        if !dear.is_empty() {
            let named = dear
                .iter()
                .map(|(family, took)| format!("{family} {} s", took.as_secs()));
            println!("long: {}", named.collect::<Vec<_>>().join(", "));
        }
        println!(
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        );
        self.failed == 0 && self.passed > 0
    }
}
