//! Printing, and running what needs the daemon.

use std::{future::Future, io::Write as _};

use serde::Serialize;

use crate::render::escape::{settle, settle_json};

/// Runs `work` to its end on this thread.
pub(super) fn block_on<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(work))
}

/// One JSON document, for `--json`.
pub(super) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    send(&settle_json(&serde_json::to_string_pretty(value)?))
}

/// One JSON document on one line, for streams.
pub(super) fn print_json_line(value: &impl Serialize) -> anyhow::Result<()> {
    send(&settle_json(&serde_json::to_string(value)?))
}

/// A line, with its styles where standard output is a terminal. A reader that went away
/// (`| head`) ends the program quietly.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    send(&settle(text))
}

fn send(text: &str) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    let result = writeln!(out, "{}", text.trim_end_matches('\n')).and_then(|()| out.flush());
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => Ok(other?),
    }
}
