use crate::fuzz::{self, Outcome, Target};
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Look for texts that break the grant parser or the pattern compiler.
///
/// Begins with the inputs in `fuzz/corpus`. What it finds is printed with the command that repeats
/// it; a minimised copy belongs into the corpus once the defect is mended.
#[derive(Args)]
pub(crate) struct Fuzz {
    /// Only this target.
    target: Option<Target>,
    /// For so long on each target.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Run this one input instead.
    #[arg(long, value_name = "FILE", requires = "target")]
    input: Option<PathBuf>,
}

impl Fuzz {
    pub(crate) fn run(self) -> Result<ExitCode> {
        fuzz::build()?;
        if let (Some(target), Some(input)) = (self.target, &self.input) {
            let holds = fuzz::repeat(target, input)?;
            return Ok(exit_code(holds));
        }
        let targets = self
            .target
            .map_or(Target::ALL.to_vec(), |target| vec![target]);
        let mut all_hold = true;
        for (target, outcome) in fuzz::run_all(&targets, self.seconds) {
            match outcome? {
                Outcome::Nothing(inputs) => {
                    println!("{}: {inputs} inputs, no finding", target.name());
                }
                Outcome::Found(finding) => {
                    all_hold = false;
                    println!("FAILED fuzz target {}\n{}", target.name(), finding.tell());
                }
            }
        }
        Ok(exit_code(all_hold))
    }
}

fn exit_code(holds: bool) -> ExitCode {
    if holds {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
