use crate::kernel;
use crate::test::Tally;
use crate::test::kernel::{Plan, Programs, Verdict, run};
use crate::vm::Root;
use anyhow::Result;
use clap::Args;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Let everything loose in a session: random system calls, and every class of stress-ng.
///
/// As root, on every kernel of the matrix, one after the other. Fails when anything outside the
/// session changed, when work outside was held up, or when the kernel complained. Takes about
/// 20 minutes for each kernel; `cargo xtask test` has 20 seconds of the random calls.
#[derive(Args)]
pub(crate) struct Storm {
    /// Only on this kernel, such as 6.12 or `newest`; may be given several times.
    #[arg(long)]
    kernel: Vec<String>,
    /// For so long at random.
    #[arg(long, default_value_t = 300)]
    seconds: u64,
    /// Repeat the random calls of a run that printed this seed.
    #[arg(long)]
    seed: Option<u64>,
    /// The random calls alone.
    #[arg(long)]
    random: bool,
}

impl Storm {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let programs = Programs::build()?;
        let kernels = if self.kernel.is_empty() {
            kernel::MATRIX.iter().map(ToString::to_string).collect()
        } else {
            self.kernel.clone()
        };
        let mut total = Tally::default();
        for name in kernels {
            for family in ["storm:", "stress-ng:"] {
                if family == "stress-ng:" && self.random {
                    continue;
                }
                let begun = Instant::now();
                let kernel = kernel::get(&name)?;
                let prefix = format!("[{}] ", kernel.version);
                let Verdict { mut tally, error } =
                    run(kernel, &programs, &self.plan(family), &prefix)?;
                if let Some(error) = error {
                    println!("FAILED on kernel {name}: {error}");
                    tally += Tally::failed(error.lines().next().unwrap_or_default());
                }
                println!("{prefix}{family} {:.0} s", begun.elapsed().as_secs_f64());
                total += tally;
            }
        }
        println!("{total}");
        Ok(if total.failed == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    fn plan(&self, family: &str) -> Plan {
        let mut env = vec![("STORM_SECONDS", self.seconds.to_string())];
        env.extend(self.seed.map(|seed| ("STORM_SEED", seed.to_string())));
        Plan {
            words: vec![family.into()],
            timeout: Duration::from_secs(3600 + self.seconds * 4),
            append: Vec::new(),
            root: Root::Debian,
            env,
        }
    }
}
