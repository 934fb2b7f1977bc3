use crate::kernel;
use anyhow::Result;
use clap::Args;
use std::process::ExitCode;

/// List the kernels of the test matrix, or all that Debian's package index holds.
#[derive(Args)]
pub(crate) struct Kernels {
    /// Every cloud kernel in the index, oldest first.
    #[arg(long)]
    all: bool,
    /// Download those of the matrix now.
    #[arg(long)]
    fetch: bool,
}

impl Kernels {
    pub(crate) fn run(self) -> Result<ExitCode> {
        if self.all {
            for kernel in kernel::available()? {
                println!("{:<10} {}", kernel.version_text(), kernel.release);
            }
            return Ok(ExitCode::SUCCESS);
        }
        let mut outcome = ExitCode::SUCCESS;
        for wanted in kernel::MATRIX {
            let found = kernel::resolve(wanted).and_then(|kernel| {
                if self.fetch {
                    kernel::get(wanted)?;
                }
                Ok(kernel)
            });
            match found {
                Ok(kernel) => {
                    println!(
                        "{wanted:<8} {:<10} {}",
                        kernel.version_text(),
                        kernel.release
                    );
                }
                Err(error) => {
                    println!("{wanted:<8} {error:#}");
                    outcome = ExitCode::FAILURE;
                }
            }
        }
        Ok(outcome)
    }
}
