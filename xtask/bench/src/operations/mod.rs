//! What is measured. Everything that is not the operation itself stays outside the count.

mod cells;
mod files;
mod network;
mod processes;

use anyhow::Result;
use bailiff_bench::{Action, Operation};

pub(crate) use cells::{HOOK_CALLS, WORD, cells, hook_calls, measure_all};
pub(crate) use network::PORT;

use crate::clock::least;

/// Prepares an operation: each call of the result does it once and says what it took.
fn prepare(operation: Operation) -> Result<Box<dyn FnMut() -> u64>> {
    let depth = operation.depth.unwrap_or_default();
    Ok(match operation.action {
        Action::Open => Box::new(files::open(depth)?),
        Action::Create => Box::new(files::create(depth)?),
        Action::Rename => Box::new(files::rename(depth)?),
        Action::Execve => Box::new(processes::execve(depth)?),
        Action::Connect => Box::new(network::connect()?),
        Action::Fork => Box::new(processes::fork()),
    })
}

/// Instructions that one operation takes.
fn measure(operation: Operation) -> Result<u64> {
    let act = prepare(operation)?;
    Ok(match operation.action {
        Action::Execve | Action::Fork => processes::least_among_sleepers(act)?,
        _ => least(401, act),
    })
}

/// Ends the program when a call of an operation fails: a figure of something else is worthless.
fn must<T: PartialOrd + From<i8> + Copy>(result: T, what: &str) -> T {
    if result < T::from(0) {
        let error = std::io::Error::last_os_error();
        eprintln!("bailiff-bench: {what}: {error}");
        std::process::exit(1);
    }
    result
}
