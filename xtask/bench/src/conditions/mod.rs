//! Under what operations are measured. Each condition starts the cells in a process of its own, with
//! the same memory, environment and cgroup in every one.

mod apparmor;
mod bailiff;
mod floor;
mod landlock;

use anyhow::{Context, Result, bail};
use bailiff_bench::{Cell, Condition, HookCalls, Operation, PATTERNS, Results};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::{fs, io};

pub(crate) use landlock::restrict;

use crate::{ground, operations};

/// This program, where limited processes may execute it.
const SELF: &str = "/b/bailiff-bench";

/// The cgroup of whoever measures: what the kernel allocates is accounted to it.
const CGROUP: &str = "/sys/fs/cgroup/bench";

/// What the process that measures prints.
#[derive(Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) operation: Operation,
    pub(crate) instructions: u64,
}

/// Measures every operation under every condition.
///
/// Everything is loaded from first to last, attached or not: a new process takes counters from the
/// kernel's per-CPU allocator, which searches the longer the more others have taken there, and programs
/// and maps do (`pcpu_alloc_area()` in mm/percpu.c; some 500 instructions of an `execve`).
pub(crate) fn measure_all() -> Result<Results> {
    ground::prepare()?;
    fs::create_dir_all(CGROUP)?;
    fs::copy("/proc/self/exe", SELF).context("copy the benchmark into its tree")?;
    let hooks = bailiff::load()?;
    let floor = floor::load(&hooks)?;
    let mut cells = Vec::new();
    // Once for nothing: the kernel's allocators have more to do the first time.
    plain()?;
    record(&mut cells, Condition::Untagged, None, plain()?);
    record_each(&mut cells, Condition::Tagged, bailiff::measure)?;
    let hook_calls = read(&mut worker(&["hook-calls"]))?;
    bailiff::detach(hooks.len())?;
    record(&mut cells, Condition::Bare, None, plain()?);
    record_each(&mut cells, Condition::Landlock, landlock::measure)?;
    record_each(&mut cells, Condition::AppArmor, apparmor::measure)?;
    let links = floor.attach()?;
    record(&mut cells, Condition::Floor, None, plain()?);
    drop(links);
    cells.sort_by_key(|cell| (cell.condition, cell.patterns, cell.operation));
    Ok(Results {
        release: fs::read_to_string("/proc/sys/kernel/osrelease")?
            .trim()
            .to_owned(),
        cells,
        hook_calls,
    })
}

/// With each number of patterns.
fn record_each(
    cells: &mut Vec<Cell>,
    condition: Condition,
    measure: fn(u32) -> Result<Vec<Measured>>,
) -> Result<()> {
    for patterns in PATTERNS {
        record(cells, condition, Some(patterns), measure(patterns)?);
    }
    Ok(())
}

fn record(
    cells: &mut Vec<Cell>,
    condition: Condition,
    patterns: Option<u32>,
    measured: Vec<Measured>,
) {
    eprintln!(
        "measured {condition}{}",
        patterns.map_or_else(String::new, |count| format!(", {count} patterns"))
    );
    cells.extend(measured.into_iter().map(|measured| Cell {
        operation: measured.operation,
        condition,
        patterns,
        instructions: measured.instructions,
    }));
}

/// Without a limit of its own.
fn plain() -> Result<Vec<Measured>> {
    read(&mut worker(&["cells"]))
}

/// This program as a process that measures.
fn worker(arguments: &[&str]) -> Command {
    let mut command = Command::new(SELF);
    command.args(arguments).env_clear();
    // SAFETY: one write between `fork` and `execve`, without memory of its own.
    unsafe { command.pre_exec(enter_cgroup) };
    command
}

fn enter_cgroup() -> io::Result<()> {
    fs::write("/sys/fs/cgroup/bench/cgroup.procs", "0")
}

/// Runs a command that prints JSON.
fn read<T: DeserializeOwned>(command: &mut Command) -> Result<T> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} ended with {}", output.status);
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("read what {command:?} printed"))
}

/// Measures every operation in this process.
pub(crate) fn cells() -> Result<Vec<Measured>> {
    Operation::all()
        .map(|operation| {
            Ok(Measured {
                operation,
                instructions: operations::measure(operation)
                    .with_context(|| operation.to_string())?,
            })
        })
        .collect()
}

/// Counts the calls of LSM programs that each operation makes.
pub(crate) fn hook_calls() -> Result<Vec<HookCalls>> {
    /// The fewest that average out nothing.
    const TIMES: u64 = 10;
    let _stats = bailiff::count_runs()?;
    Operation::all()
        .map(|operation| {
            let mut act = operations::prepare(operation)?;
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
    let before = bailiff::runs()?;
    act();
    Ok(bailiff::runs()? - before)
}
