//! The list of changes that go unseen, each with the reason why.

use super::outcomes::{Count, Outcomes, file_of};
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

/// The list, by the names of the changes.
pub(super) struct Survivors {
    listed: BTreeMap<String, u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(default)]
    survivor: Vec<Survivor>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Survivor {
    /// `FILE: WHAT`, as `cargo-mutants` calls it, without line and column.
    mutant: String,
    /// How many of this name.
    #[serde(default = "once")]
    times: u32,
    /// Why no test can notice it, or none does.
    why: String,
}

fn once() -> u32 {
    1
}

impl Survivors {
    pub(super) fn read(list: &Path) -> Result<Self> {
        let text = fs::read_to_string(list).with_context(|| format!("read {}", list.display()))?;
        Self::parse(&text).with_context(|| format!("understand {}", list.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let list: List = toml::from_str(text)?;
        let mut listed = BTreeMap::new();
        for Survivor { mutant, times, why } in list.survivor {
            ensure!(!why.trim().is_empty(), "no reason for `{mutant}`");
            let before = listed.insert(mutant.clone(), times);
            ensure!(before.is_none(), "`{mutant}` is listed twice");
        }
        Ok(Self { listed })
    }

    /// How many of those that went unseen are listed.
    pub(super) fn covering(&self, outcomes: &Outcomes) -> u32 {
        let unseen = outcomes.mutants.iter();
        unseen
            .map(|(name, count)| count.unseen.min(self.times(name)))
            .sum()
    }

    /// `is_whole`: the files were tried as a whole, so what was not tried in them is not there.
    pub(super) fn compare(&self, outcomes: &Outcomes, is_whole: bool) -> Difference {
        let mut difference = Difference::default();
        for (name, count) in &outcomes.mutants {
            if count.unseen > self.times(name) {
                difference.unseen.push(name.clone());
            }
        }
        for (name, times) in &self.listed {
            let count = match outcomes.mutants.get(name) {
                Some(count) => *count,
                None if is_whole && outcomes.has_file(file_of(name)) => Count::default(),
                None => continue,
            };
            // Of a part, only some may have been tried.
            if count.unseen < *times && (is_whole || count.tried >= *times) {
                difference.gone.push(name.clone());
            }
        }
        difference
    }

    fn times(&self, name: &str) -> u32 {
        self.listed.get(name).copied().unwrap_or_default()
    }
}

/// What is wrong with the tests, or with the list.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// Unseen, and not listed, or more often than listed.
    unseen: Vec<String>,
    /// Listed, and noticed or no longer there.
    gone: Vec<String>,
}

impl Difference {
    pub(super) fn is_empty(&self) -> bool {
        self.unseen.is_empty() && self.gone.is_empty()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        for name in &self.unseen {
            writeln!(to, "UNSEEN {name}")?;
        }
        for name in &self.gone {
            writeln!(to, "LISTED, but noticed or not there: {name}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths;

    fn outcomes(rows: &[(&str, &str)]) -> Outcomes {
        let rows = rows.iter().map(|(name, summary)| {
            format!(r#"{{"scenario": {{"Mutant": {{"name": "{name}"}}}}, "summary": "{summary}"}}"#)
        });
        let rows = rows.collect::<Vec<_>>().join(",");
        let baseline = r#"{"scenario": "Baseline", "summary": "Success"}"#;
        Outcomes::parse(&format!(r#"{{"outcomes": [{baseline},{rows}]}}"#)).unwrap()
    }

    fn listed(names: &[(&str, u32)]) -> Survivors {
        Survivors {
            listed: names
                .iter()
                .map(|(name, times)| ((*name).to_owned(), *times))
                .collect(),
        }
    }

    fn difference(unseen: &[&str], gone: &[&str]) -> Difference {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Difference {
            unseen: owned(unseen),
            gone: owned(gone),
        }
    }

    #[test]
    fn what_goes_unseen_must_be_listed_wherever_it_stands_now() {
        let found = outcomes(&[
            ("a.rs:3:1: replace f", "MissedMutant"),
            ("a.rs:4:1: replace g", "CaughtMutant"),
            ("a.rs:5:1: replace h", "Timeout"),
            ("a.rs:6:1: replace i", "Unviable"),
        ]);
        let expected = difference(&["a.rs: replace f"], &[]);
        assert_eq!(listed(&[]).compare(&found, true), expected);
        let list = listed(&[("a.rs: replace f", 1)]);
        assert!(list.compare(&found, true).is_empty());
        assert_eq!(list.covering(&found), 1);
        assert_eq!(
            found.to_string(),
            "3 changes tried, 2 noticed, 1 unseen, 1 more do not compile"
        );
    }

    #[test]
    fn one_more_of_a_listed_name_is_new() {
        let found = outcomes(&[
            ("a.rs:3:1: replace < with <=", "MissedMutant"),
            ("a.rs:9:1: replace < with <=", "MissedMutant"),
        ]);
        let name = "a.rs: replace < with <=";
        let once = listed(&[(name, 1)]).compare(&found, true);
        assert_eq!(once, difference(&[name], &[]));
        assert!(listed(&[(name, 2)]).compare(&found, true).is_empty());
    }

    #[test]
    fn what_is_listed_must_still_go_unseen() {
        let found = outcomes(&[("a.rs:3:1: replace f", "CaughtMutant")]);
        let list = listed(&[
            ("a.rs: replace f", 1),
            ("a.rs: replace gone", 1),
            ("b.rs: replace f", 1),
        ]);
        let whole = difference(&[], &["a.rs: replace f", "a.rs: replace gone"]);
        assert_eq!(list.compare(&found, true), whole);
        // Of a part nothing is known of what was not tried.
        let part = difference(&[], &["a.rs: replace f"]);
        assert_eq!(list.compare(&found, false), part);
    }

    #[test]
    fn every_listed_change_has_a_reason_and_a_file() {
        let reasonless = "[[survivor]]\nmutant = \"a.rs: x\"\nwhy = \" \"";
        assert!(Survivors::parse(reasonless).is_err());
        let root = paths::workspace();
        let list = Survivors::read(&root.join("xtask/mutants/survivors.toml")).unwrap();
        for name in list.listed.keys() {
            assert!(root.join(file_of(name)).is_file(), "{name}");
        }
    }
}
