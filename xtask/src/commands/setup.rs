use crate::{build, tools, vm};
use anyhow::Result;
use clap::Args;
use std::process::ExitCode;

/// Install what building and the VM need, where it is missing.
///
/// The other subcommands do this by themselves for what they need.
#[derive(Args)]
pub(crate) struct Setup {
    /// Build the Debian root image too.
    #[arg(long)]
    root: bool,
}

impl Setup {
    pub(crate) fn run(self) -> Result<ExitCode> {
        tools::need(tools::KERNEL)?;
        tools::need(tools::VM)?;
        vm::update_emulator()?;
        tools::need(tools::DEBIAN_ROOT)?;
        build::set_up()?;
        if self.root {
            vm::debian_image(vm::Contents::Plain)?;
        }
        eprintln!("everything is there");
        Ok(ExitCode::SUCCESS)
    }
}
