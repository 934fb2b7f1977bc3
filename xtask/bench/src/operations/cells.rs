//! The operations' figures, and how they come from the process that measures itself.

use anyhow::{Context, Result};
use bailiff_bench::{Cell, HookCalls, Operation, PATTERNS, Results};
use serde::{Deserialize, Serialize};

use super::{measure, prepare};
use crate::conditions::{self, Reach, Subject, count_runs, runs, worker};
use crate::ground;
use crate::read::read;

/// What this program is told to measure in its own process.
pub(crate) const WORD: &str = "cells";
pub(crate) const HOOK_CALLS: &str = "hook-calls";

/// What the process that measures prints.
#[derive(Serialize, Deserialize)]
pub(crate) struct Measured {
    operation: Operation,
    instructions: u64,
}

/// Measures every operation under every condition.
pub(crate) fn measure_all() -> Result<Results> {
    ground::prepare()?;
    let subject = Subject {
        word: WORD,
        reach: Reach::Tree,
        patterns: &PATTERNS,
        measure: |mut worker| read::<Vec<Measured>>(&mut worker),
    };
    let count = || read(&mut worker(&[HOOK_CALLS])?);
    let (found, hook_calls) = conditions::measure(&subject, count)?;
    let cells = found.into_iter().map(|found| Cell {
        operation: found.figure.operation,
        condition: found.condition,
        patterns: found.patterns,
        instructions: found.figure.instructions,
    });
    let mut cells: Vec<Cell> = cells.collect();
    cells.sort_by_key(|cell| (cell.condition, cell.patterns, cell.operation));
    Ok(Results {
        cells,
        hook_calls,
        ..crate::nothing()?
    })
}

/// Measures every operation in this process.
pub(crate) fn cells() -> Result<Vec<Measured>> {
    Operation::all()
        .map(|operation| {
            Ok(Measured {
                operation,
                instructions: measure(operation).with_context(|| operation.to_string())?,
            })
        })
        .collect()
}

/// Counts the calls of LSM programs that each operation makes.
pub(crate) fn hook_calls() -> Result<Vec<HookCalls>> {
    /// The fewest that average out nothing.
    const TIMES: u64 = 10;
    let _stats = count_runs()?;
    Operation::all()
        .map(|operation| {
            let mut act = prepare(operation)?;
            act();
            let own = runs_during(|| {})?;
            let all = runs_during(|| (0..TIMES).for_each(|_| _ = act()))?;
            Ok(HookCalls {
                operation,
                calls: all.saturating_sub(own) / TIMES,
            })
        })
        .collect()
}

fn runs_during(act: impl FnOnce()) -> Result<u64> {
    let before = runs()?;
    act();
    Ok(runs()? - before)
}
