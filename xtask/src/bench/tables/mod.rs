//! The figures as tables.

mod operations;
mod sessions;
mod work;

use bailiff_bench::{Part, Results};

/// A line for each thing that was measured.
pub(crate) fn table(part: Part, results: &Results) -> String {
    match part {
        Part::Operations => operations::table(results),
        Part::Sessions => sessions::table(results),
        Part::Work => work::table(results),
    }
}

fn unknown() -> String {
    "?".into()
}
