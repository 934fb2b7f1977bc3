use crate::build::{self, Profile, Warnings};
use anyhow::Result;
use clap::Args;
use std::process::ExitCode;

/// Compile the kernel side and the static `bailiff` that holds it.
///
/// Prints the path of the binary. Refuses a BPF object that can reach a panic.
#[derive(Args)]
pub(crate) struct Build {
    /// Optimise the user side too; the kernel side always is.
    #[arg(long)]
    release: bool,
    /// Compile only the kernel side, and print the path of the object.
    #[arg(long)]
    ebpf: bool,
}

impl Build {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let path = if self.ebpf {
            build::ebpf_object(Warnings::Show)?
        } else {
            let bailiff = build::bailiff(Profile::release(self.release));
            build::static_binary(&bailiff, Warnings::Show)?
        };
        println!("{}", path.display());
        Ok(ExitCode::SUCCESS)
    }
}
