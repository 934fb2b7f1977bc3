use anyhow::Result;
use clap::Args;
use std::process::ExitCode;

/// Show Bailiff refusing an agent's overreach.
#[derive(Args)]
pub(crate) struct Demo {}

impl Demo {
    pub(crate) fn run(self) -> Result<ExitCode> {
        anyhow::bail!("not there yet")
    }
}
