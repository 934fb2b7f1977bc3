//! The committed figures of one kernel.

use super::growth::Growth;
use crate::paths;
use anyhow::{Context, Result};
use bailiff_bench::{Part, Results};
use serde::Serialize;
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

    /// Makes the figures of these parts the committed ones; those of others stay.
    pub(crate) fn bless(&self, parts: &[Part], results: &Results) -> Result<()> {
        let mut all = self.read()?.unwrap_or_default();
        all.release.clone_from(&results.release);
        for part in parts {
            all.take(*part, results.clone());
        }
        fs::write(&self.path, text(&all)?).with_context(|| format!("write {}", self.path.display()))
    }

    /// What has grown.
    pub(crate) fn compare(&self, now: &Results) -> Result<Growth> {
        Ok(match self.read()? {
            Some(before) => Growth::between(&before, now),
            None => Growth::Unknown(
                "no committed figures for this kernel; `--bless` makes these the ones".into(),
            ),
        })
    }

    fn read(&self) -> Result<Option<Results>> {
        let Ok(text) = fs::read_to_string(&self.path) else {
            return Ok(None);
        };
        let results = serde_json::from_str(&text);
        results
            .map(Some)
            .with_context(|| format!("read {}", self.path.display()))
    }
}

/// A line for each figure, so that a change can be read.
fn text(results: &Results) -> Result<String> {
    Ok(format!(
        "{{\n  \"release\": {},\n{},\n{},\n{},\n{}\n}}\n",
        serde_json::to_string(&results.release)?,
        list("cells", &results.cells)?,
        list("hook_calls", &results.hook_calls)?,
        list("sessions", &results.sessions)?,
        list("work", &results.work)?,
    ))
}

fn list(name: &str, values: &[impl Serialize]) -> Result<String> {
    let lines = values.iter().map(serde_json::to_string);
    let lines = lines.collect::<Result<Vec<_>, _>>()?.join(",\n    ");
    Ok(format!("  \"{name}\": [\n    {lines}\n  ]"))
}
