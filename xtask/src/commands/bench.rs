use crate::bench::{self, Baseline};
use crate::kernel;
use anyhow::{Context, Result};
use bailiff_bench::Part;
use clap::Args;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

/// Count the guest instructions that limits add, and compare them with the committed figures.
///
/// Opens, creates, renames, executes, connects and forks: on the bare kernel, with empty LSM
/// programs, with Bailiff loaded, in a session, under Landlock and under AppArmor. Whole
/// commands under the same. Starts of the daemon and of sessions, and their memory. Fails when a
/// figure of Bailiff's has grown by more than 5 %.
#[derive(Args)]
pub(crate) struct Bench {
    /// Only on this kernel, such as 6.12 or `newest`; may be given several times.
    #[arg(long)]
    kernel: Vec<String>,
    /// Only single operations; without this and the next ones everything.
    #[arg(long)]
    operations: bool,
    /// Only starts of daemon and sessions.
    #[arg(long)]
    sessions: bool,
    /// Only whole commands, such as `git status` and a compiler's.
    #[arg(long)]
    work: bool,
    /// Write all figures to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Make these figures the committed ones.
    #[arg(long)]
    bless: bool,
}

impl Bench {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let kernels = if self.kernel.is_empty() {
            kernel::MATRIX.iter().map(ToString::to_string).collect()
        } else {
            self.kernel.clone()
        };
        let parts = self.parts();
        let mut all = Vec::new();
        let mut is_worse = false;
        for name in kernels {
            let results = bench::measure(&name, &parts)?;
            for part in &parts {
                println!("{}", bench::table(*part, &results));
            }
            print!("{}", bench::targets(&parts, &results));
            let baseline = Baseline::of(&name);
            if self.bless {
                baseline.bless(&parts, &results)?;
            } else {
                let grown = baseline.compare(&results)?;
                is_worse |= grown.is_worse();
                print!("{grown}");
            }
            all.push(results);
        }
        if let Some(file) = self.json {
            fs::write(&file, serde_json::to_string_pretty(&all)?)
                .with_context(|| format!("write {}", file.display()))?;
        }
        Ok(if is_worse {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }

    fn parts(&self) -> Vec<Part> {
        let asked = |part| match part {
            Part::Operations => self.operations,
            Part::Sessions => self.sessions,
            Part::Work => self.work,
        };
        let is_any = Part::ALL.into_iter().any(asked);
        let parts = Part::ALL.into_iter();
        parts.filter(|part| !is_any || asked(*part)).collect()
    }
}
