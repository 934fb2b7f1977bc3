use crate::build::{self, Warnings};
use crate::kernel;
use crate::test::kernel::{Plan, Programs, Verdict};
use crate::test::{self, Tally};
use anyhow::Result;
use clap::Args;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Check the sources, run the unit tests, and run the scenarios on every kernel of the matrix.
///
/// Ends with a line for each kernel, and last the totals alone: `N passed, N failed, N skipped`.
#[derive(Args)]
pub(crate) struct Test {
    /// Only on this kernel, such as 6.12 or `newest`; may be given several times.
    #[arg(long)]
    kernel: Vec<String>,
    /// Only what needs no VM.
    #[arg(long, conflicts_with = "kernel")]
    host_only: bool,
    /// Only the scenarios, not format, lints and unit tests.
    #[arg(long, conflicts_with = "host_only")]
    vm_only: bool,
    /// End a VM after so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 1500)]
    timeout: u64,
    /// Add to the kernel's command line, such as "lsm=landlock,bpf".
    #[arg(long, value_name = "WORDS")]
    append: Vec<String>,
    /// Only scenarios whose names hold all these words.
    #[arg(value_name = "WORD")]
    words: Vec<OsString>,
}

impl Test {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let mut total = Tally::default();
        let mut lines = Vec::new();
        if !self.vm_only {
            let started = Instant::now();
            let tally = test::host::check(&build::ebpf_object(Warnings::Show)?)?;
            lines.push(line("host", &tally.to_string(), started));
            total += tally;
        }
        if !self.host_only {
            let programs = Programs::build()?;
            for wanted in self.kernels() {
                let started = Instant::now();
                println!("== kernel {wanted}");
                let (name, verdict) = self.on_kernel(wanted, &programs);
                let mut tally = verdict.tally;
                let mut text = tally.to_string();
                if let Some(error) = verdict.error {
                    println!("FAILED on kernel {name}: {error}");
                    tally += Tally::FAILED;
                    text += &format!(", and: {}", error.lines().next().unwrap_or_default());
                }
                lines.push(line(&name, &text, started));
                total += tally;
            }
        }
        println!();
        for line in lines {
            println!("{line}");
        }
        println!("{total}");
        Ok(if total.failed == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    fn kernels(&self) -> Vec<&str> {
        if self.kernel.is_empty() {
            return kernel::MATRIX.to_vec();
        }
        self.kernel.iter().map(String::as_str).collect()
    }

    /// A kernel that cannot be had or run counts as a failure of that kernel and no other.
    fn on_kernel(&self, wanted: &str, programs: &Programs) -> (String, Verdict) {
        let plan = Plan {
            words: self.words.clone(),
            timeout: Duration::from_secs(self.timeout),
            append: self.append.clone(),
        };
        let failed = |error| Verdict {
            tally: Tally::default(),
            error: Some(format!("{error:#}")),
        };
        match kernel::get(wanted) {
            Ok(kernel) => {
                let name = kernel.version.clone();
                (
                    name,
                    test::kernel::run(kernel, programs, &plan).unwrap_or_else(failed),
                )
            }
            Err(error) => (wanted.to_owned(), failed(error)),
        }
    }
}

fn line(name: &str, text: &str, started: Instant) -> String {
    format!(
        "{name:<10} {text}  ({:.0} s)",
        started.elapsed().as_secs_f64()
    )
}
