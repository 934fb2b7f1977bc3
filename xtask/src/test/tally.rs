//! How many checks passed, failed and were skipped, as test programs print it.

use std::fmt;
use std::ops::AddAssign;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    pub(crate) skipped: u32,
}

impl Tally {
    pub(crate) const PASSED: Tally = Tally {
        passed: 1,
        failed: 0,
        skipped: 0,
    };
    pub(crate) const FAILED: Tally = Tally {
        passed: 0,
        failed: 1,
        skipped: 0,
    };

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
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
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
        };
        assert_eq!(
            Tally::read("12 passed, 1 failed, 3 skipped"),
            Some(expected)
        );
        let libtest = "test result: FAILED. 12 passed; 1 failed; 3 ignored; 0 measured; \
                       7 filtered out; finished in 0.01s";
        assert_eq!(Tally::read(libtest), Some(expected));
        assert_eq!(Tally::read(&expected.to_string()), Some(expected));
        assert_eq!(
            Tally::count("ok   a\nFAIL b: ok \nskip c\n12 okay"),
            Tally {
                passed: 1,
                failed: 1,
                skipped: 1
            }
        );
        assert_eq!(Tally::read("12 passed"), None);
        assert_eq!(Tally::read("all is well, they said, and left"), None);
    }
}
