use crate::mutants::{self, faults};
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Change the code in small ways, and see whether the tests notice each.
///
/// Without a kernel: `cargo-mutants` (installed where it is missing, which takes minutes) over the
/// language, the decision and the logic of the daemon. Fails when a change goes unseen that
/// `xtask/mutants/survivors.toml` does not give a reason for, and when that list is out of date. All of it
/// takes many hours, a file a few minutes.
///
/// With one: the faults of `tests/faults`, one after the other, each in a copy of the checkout, and the
/// scenario in a VM that must fail by it. A fault takes a few minutes.
#[derive(Args)]
pub(crate) struct Mutants {
    /// Only what changes this file, or files in this directory; may be given several times.
    #[arg(long = "in", value_name = "PATH")]
    places: Vec<PathBuf>,
    /// The K-th of N parts, from 0.
    #[arg(long, value_name = "K/N", conflicts_with = "kernel")]
    shard: Option<String>,
    /// The faults of the kernel side, on this kernel, such as 6.12.
    #[arg(long)]
    kernel: Option<String>,
}

impl Mutants {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let are_noticed = match &self.kernel {
            Some(kernel) => faults::try_all(kernel, &self.places)?,
            None => mutants::try_all(&self.places, self.shard.as_deref())?,
        };
        Ok(if are_noticed {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}
