//! The scenarios on one kernel.

use super::Tally;
use crate::build::{self, Profile};
use crate::kernel::Kernel;
use crate::vm::{End, Output, Root, Vm};
use anyhow::Result;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

const SCENARIOS: &str = "/usr/bin/bailiff-scenarios";

/// The programs that a VM needs.
pub(crate) struct Programs {
    bailiff: PathBuf,
    scenarios: PathBuf,
}

impl Programs {
    pub(crate) fn build() -> Result<Programs> {
        Ok(Programs {
            bailiff: build::static_binary_for_vm(&build::bailiff(Profile::Dev))?,
            scenarios: build::static_binary_for_vm(&build::scenarios(Profile::Dev))?,
        })
    }
}

/// Which scenarios to run, and for how long at most.
pub(crate) struct Plan {
    /// Words that the scenarios' names must hold.
    pub(crate) words: Vec<OsString>,
    pub(crate) timeout: Duration,
    /// For the kernel's command line.
    pub(crate) append: Vec<String>,
}

/// What came of the scenarios on one kernel.
pub(crate) struct Verdict {
    pub(crate) tally: Tally,
    /// What went wrong with the machine or the kernel itself.
    pub(crate) error: Option<String>,
}

pub(crate) fn run(kernel: Kernel, programs: &Programs, plan: &Plan) -> Result<Verdict> {
    let mut vm = Vm::new(kernel)
        .root(Root::Debian)
        .install(&programs.bailiff)
        .copy(&programs.scenarios, SCENARIOS)
        .timeout(Some(plan.timeout))
        .output(Output::StreamAndCapture);
    for words in &plan.append {
        vm = vm.append(words);
    }
    let mut argv = vec![OsString::from(SCENARIOS)];
    argv.extend(plan.words.iter().cloned());
    let outcome = vm.run(&argv)?;
    let printed = String::from_utf8_lossy(&outcome.stdout);
    let last = printed.lines().rfind(|line| !line.trim().is_empty());
    let mut error = outcome.machine_error();
    let tally = last.and_then(Tally::read).unwrap_or_default();
    if let (End::Exited(code), None) = (outcome.end, &error) {
        let is_told = tally.failed > 0;
        if code != 0 && !is_told {
            error = Some(format!("the scenarios ended with exit code {code}"));
        } else if tally == Tally::default() && plan.words.is_empty() {
            error = Some("the scenarios did not say how many passed".into());
        }
    }
    Ok(Verdict { tally, error })
}
