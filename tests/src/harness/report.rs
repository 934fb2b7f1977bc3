//! One line for each scenario, as it ends, and the totals.

use std::io::Write;

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

#[derive(Default)]
pub(crate) struct Report {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Report {
    pub(crate) fn add(&mut self, name: &str, verdict: Verdict) {
        match verdict {
            Verdict::Passed => {
                self.passed += 1;
                println!("ok   {name}");
            }
            Verdict::Failed(why) => {
                self.failed += 1;
                println!("FAIL {name}: {}", why.trim_end());
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
        println!(
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        );
        self.failed == 0 && self.passed > 0
    }
}
