use crate::build::{self, Profile};
use crate::vm::{End, Root, Vm};
use crate::{exec, kernel, paths};
use anyhow::Result;
use clap::Args;
use std::process::{Command, ExitCode};
use std::time::Duration;

const SCRIPT: &str = "xtask/demo/demo.sh";

/// Show Bailiff refusing an agent's overreach, in a VM.
#[derive(Args)]
pub(crate) struct Demo {
    /// A series such as 6.1, a version such as 6.12.117, or `newest`.
    #[arg(long, default_value = "6.12")]
    kernel: String,
    /// On this machine's own kernel, with the `bailiff` that is installed and running here.
    #[arg(long, conflicts_with = "kernel")]
    host: bool,
}

impl Demo {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let script = paths::workspace().join(SCRIPT);
        if self.host {
            exec::run(Command::new("bash").arg(script))?;
            return Ok(ExitCode::SUCCESS);
        }
        let bailiff = build::static_binary_for_vm(&build::bailiff(Profile::Vm))?;
        let outcome = Vm::new(kernel::get(&self.kernel)?)
            .root(Root::Debian)
            .install(bailiff)
            .copy(script, "/root/demo.sh")
            .timeout(Some(Duration::from_secs(900)))
            .run(&["bash", "/root/demo.sh"])?;
        if let Some(error) = outcome.machine_error() {
            anyhow::bail!(error);
        }
        let is_success = outcome.end == End::Exited(0);
        Ok(if is_success {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}
