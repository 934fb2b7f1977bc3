//! How many checks passed, failed and were skipped, as test programs print it.

use std::fmt;
use std::ops::AddAssign;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    pub(crate) skipped: u32,
    /// Names of what failed, as far as they are known: repeated at the end, since a log is long.
    pub(crate) failures: Vec<String>,
}

impl Tally {
    pub(crate) const PASSED: Tally = Tally {
        passed: 1,
        failed: 0,
        skipped: 0,
        failures: Vec::new(),
    };

    /// One check of this name that failed.
    pub(crate) fn failed(name: impl Into<String>) -> Tally {
        Tally {
            failed: 1,
            failures: vec![name.into()],
            ..Tally::default()
        }
    }

    /// Reads `N passed, N failed, N skipped` or libtest's `N passed; N failed; N ignored; …`.
    pub(crate) fn read(line: &str) -> Option<Tally> {
        let line = line.rsplit(". ").next().unwrap_or(line);
        let mut tally = Tally::default();
        let mut seen = 0;
        for part in line.split([',', ';']) {
            let Some((number, what)) = part.trim().split_once(' ') else {
                continue;
            };
            let Ok(number) = number.parse() else { continue };
            match what.trim() {
                "passed" => tally.passed = number,
                "failed" => tally.failed = number,
                "skipped" | "ignored" => tally.skipped = number,
                _ => continue,
            }
            seen += 1;
        }
        (seen == 3).then_some(tally)
    }

    /// Counts the lines of scenarios that ended, where their program could not say the totals.
    pub(crate) fn count(printed: &str) -> Tally {
        let count = |word: &str| {
            let lines = printed.lines().filter(|line| line.starts_with(word));
            u32::try_from(lines.count()).unwrap_or(u32::MAX)
        };
        Tally {
            passed: count("ok "),
            failed: count("FAIL "),
            skipped: count("skip "),
            ..Tally::default()
        }
    }
}

/// The names in the lines of scenarios that failed, `FAIL name: what it saw`.
pub(crate) fn failed_scenarios(printed: &str) -> Vec<String> {
    let failed = printed
        .lines()
        .filter_map(|line| line.strip_prefix("FAIL "));
    failed.map(|name| name.trim().to_owned()).collect()
}

/// The name in libtest's heading of what a failed test printed, `---- name stdout ----`.
pub(crate) fn failed_test(line: &str) -> Option<&str> {
    line.strip_prefix("---- ")?.strip_suffix(" stdout ----")
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.failures.extend(other.failures);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            to,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let expected = Tally {
            passed: 12,
            failed: 1,
            skipped: 3,
            failures: vec![],
        };
        assert_eq!(
            Tally::read("12 passed, 1 failed, 3 skipped").as_ref(),
            Some(&expected)
        );
        let libtest = "test result: FAILED. 12 passed; 1 failed; 3 ignored; 0 measured; \
                       7 filtered out; finished in 0.01s";
        assert_eq!(Tally::read(libtest).as_ref(), Some(&expected));
        assert_eq!(Tally::read(&expected.to_string()), Some(expected));
        assert_eq!(
            Tally::count("ok   a\nFAIL b: ok \nskip c\n12 okay"),
            Tally {
                passed: 1,
                failed: 1,
                skipped: 1,
                failures: vec![],
            }
        );
        assert_eq!(Tally::read("12 passed"), None);
        assert_eq!(Tally::read("all is well, they said, and left"), None);
    }

    #[test]
    fn failures_have_names() {
        let printed = "ok   a\nFAIL b: reads c: it could\nmore of it\nskip d: why";
        assert_eq!(failed_scenarios(printed), ["b: reads c: it could"]);
        assert_eq!(
            failed_test("---- module::name stdout ----"),
            Some("module::name")
        );
        assert_eq!(failed_test("---- said by a test"), None);
        let mut tally = Tally::failed("one");
        tally += Tally::PASSED;
        tally += Tally::failed("two");
        assert_eq!((tally.passed, tally.failed), (1, 2));
        assert_eq!(tally.failures, ["one", "two"]);
    }
}
