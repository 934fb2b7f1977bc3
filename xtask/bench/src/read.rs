use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use std::process::{Command, Stdio};

/// Runs a command that prints JSON.
pub(crate) fn read<T: DeserializeOwned>(command: &mut Command) -> Result<T> {
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
