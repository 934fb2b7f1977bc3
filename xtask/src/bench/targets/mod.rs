//! What Bailiff promises of its cost, held against the figures.

mod operations;
mod sessions;
mod work;

use bailiff_bench::{Part, Results};
use std::fmt;

/// A promise, and where it is not kept.
pub(crate) struct Target {
    promise: &'static str,
    misses: Vec<String>,
}

/// Every promise.
pub(crate) struct Targets(Vec<Target>);

/// Those of what was measured.
pub(crate) fn targets(parts: &[Part], results: &Results) -> Targets {
    let of = |part: &Part| match part {
        Part::Operations => operations::targets(results),
        Part::Sessions => sessions::targets(results),
        Part::Work => work::targets(results),
    };
    Targets(parts.iter().flat_map(of).collect())
}

impl fmt::Display for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for target in &self.0 {
            let word = if target.misses.is_empty() {
                "kept  "
            } else {
                "MISSED"
            };
            writeln!(f, "{word}  {}", target.promise)?;
            for miss in &target.misses {
                writeln!(f, "          {miss}")?;
            }
        }
        Ok(())
    }
}
