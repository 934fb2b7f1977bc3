use crate::agents;
use crate::vm;
use anyhow::Result;
use clap::Args;
use std::process::ExitCode;

/// Run other people's programs in sessions: Claude Code, codex, Gemini CLI, Chromium and others.
///
/// Their packages come from Debian and npm's registry; nothing else is fetched, and no model is asked: a server on the
/// loopback stands in for it. Each does its work within the grant, and tries what the grant has not; a table says what
/// came of it. Takes half an hour, and longer where the packages are fetched.
#[derive(Args)]
pub(crate) struct Agents {
    /// A series such as 6.1, a version such as 6.12.117, or `newest`.
    #[arg(long, default_value = "6.12")]
    kernel: String,
    /// Fetch the newest versions of the programs first.
    #[arg(long)]
    renew: bool,
    /// Only the programs whose names hold this.
    word: Option<String>,
}

impl Agents {
    pub(crate) fn run(self) -> Result<ExitCode> {
        if self.renew {
            vm::forget_agents()?;
        }
        agents::run(&self.kernel, self.word.as_deref().unwrap_or_default())
    }
}
