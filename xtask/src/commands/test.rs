use anyhow::Result;
use clap::Args;
use std::process::ExitCode;

/// Check the sources, run the unit tests, and run the scenarios on every kernel of the matrix.
#[derive(Args)]
pub(crate) struct Test {}

impl Test {
    pub(crate) fn run(self) -> Result<ExitCode> {
        anyhow::bail!("not there yet")
    }
}
