//! The scenarios on one kernel.

use super::{Tally, tally};
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
            bailiff: build::static_binary_for_vm(&build::bailiff(Profile::Vm))?,
            scenarios: build::static_binary_for_vm(&build::scenarios(Profile::Vm))?,
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
    pub(crate) root: Root,
    /// Variables that scenarios read, such as how long they last.
    pub(crate) env: Vec<(&'static str, String)>,
}

/// What came of the scenarios on one kernel.
pub(crate) struct Verdict {
    pub(crate) tally: Tally,
    /// What went wrong with the machine or the kernel itself.
    pub(crate) error: Option<String>,
}

/// 6.1 waits for a grace period at each change of a map of maps, which takes up to a second on emulated
/// processors: with this a session starts in 3 s there instead of 8.
const SHORT_GRACE_PERIODS: &str = "rcupdate.rcu_expedited=1";

/// Runs the scenarios, their output shown line by line after `prefix`.
pub(crate) fn run(
    kernel: Kernel,
    programs: &Programs,
    plan: &Plan,
    prefix: &str,
) -> Result<Verdict> {
    let mut vm = Vm::new(kernel)
        .root(plan.root)
        .install(&programs.bailiff)
        .copy(&programs.scenarios, SCENARIOS)
        .append(SHORT_GRACE_PERIODS)
        .timeout(Some(plan.timeout))
        .output(Output::Lines(prefix.to_owned()));
    for words in &plan.append {
        vm = vm.append(words);
    }
    for (name, value) in &plan.env {
        vm = vm.env(name, value);
    }
    let mut argv = vec![OsString::from(SCENARIOS)];
    argv.extend(plan.words.iter().cloned());
    let mut outcome = vm.run(&argv)?;
    // Emulated processors fall over now and then while the kernel patches itself, before anything of ours runs.
    if matches!(outcome.end, End::Panicked) && outcome.stdout.is_empty() {
        eprintln!(
            "{prefix}the kernel panicked before the first scenario, once more: {}",
            outcome.machine_error().unwrap_or_default()
        );
        outcome = vm.run(&argv)?;
    }
    let printed = String::from_utf8_lossy(&outcome.stdout);
    let mut error = outcome.machine_error();
    let told = printed.lines().rev().find_map(Tally::read);
    if error.is_none() {
        error = match (outcome.end, &told) {
            (_, None) => Some("the scenarios did not say how many passed".into()),
            (End::Exited(code), Some(Tally { failed: 0, .. })) if code != 0 => Some(format!(
                "no scenario failed, but they ended with exit code {code}"
            )),
            _ => None,
        };
    }
    let mut tally = told.unwrap_or_else(|| Tally::count(&printed));
    tally.failures = tally::failed_scenarios(&printed);
    Ok(Verdict { tally, error })
}
