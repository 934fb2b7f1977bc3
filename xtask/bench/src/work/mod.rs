//! Whole commands, as users run them.

mod tasks;
mod tree;
mod worker;

use anyhow::{Context, Result};
use bailiff_bench::{Results, Task, WORK_PATTERNS, WorkCell};
use std::fs;
use std::process::Command;

pub(crate) use worker::serve;

use crate::conditions::{self, Reach, Subject};
use crate::ground;
use worker::Worker;

/// What the guest's half is told to do tasks.
pub(crate) const WORD: &str = "work-on-orders";

/// After as many to warm up.
const WARM_UP: usize = 1;
const TIMES: usize = 6;

/// Measures every task under every condition.
pub(crate) fn measure() -> Result<Results> {
    // Whether there is one to be had depends on what memory went through before.
    fs::write("/sys/kernel/mm/transparent_hugepage/enabled", "never")
        .context("do without huge pages")?;
    ground::prepare()?;
    tree::prepare()?;
    let subject = Subject {
        word: WORD,
        reach: Reach::Programs,
        patterns: &[WORK_PATTERNS],
        measure: tasks_of,
    };
    let (found, ()) = conditions::measure(&subject, || Ok(()))?;
    let cells = found.into_iter().map(|found| WorkCell {
        task: found.figure.0,
        condition: found.condition,
        instructions: found.figure.1,
    });
    Ok(Results {
        work: cells.collect(),
        ..crate::nothing()?
    })
}

/// The least of a few: timer ticks and refilled caches only ever add.
fn tasks_of(mut command: Command) -> Result<Vec<(Task, u64)>> {
    let mut worker = Worker::start(&mut command)?;
    let mut measure = |task| {
        let mut found = u64::MAX;
        for time in 0..WARM_UP + TIMES {
            let cost = worker.cost(task)?;
            if time >= WARM_UP {
                found = found.min(cost);
            }
        }
        Ok((task, found))
    };
    Task::ALL.into_iter().map(&mut measure).collect()
}
