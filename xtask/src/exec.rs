//! Runs other programs, with errors that name the whole command.

use anyhow::{Context, Result, bail};
use std::process::{Command, Output, Stdio};

/// Runs the command with its output shown; an error unless it succeeds.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("start {}", shown(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs the command and gives its standard output; its standard error only when it fails.
pub(crate) fn read(command: &mut Command) -> Result<Vec<u8>> {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("start {}", shown(command)))?;
    if !status.success() {
        let stderr = String::from_utf8_lossy(&stderr);
        bail!(
            "{} ended with {status}\n{}",
            shown(command),
            stderr.trim_end()
        );
    }
    Ok(stdout)
}

/// Like [`read`], for text.
pub(crate) fn read_text(command: &mut Command) -> Result<String> {
    Ok(String::from_utf8_lossy(&read(command)?).into_owned())
}

fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args().take(12) {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}
