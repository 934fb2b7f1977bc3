//! The faults of the kernel side, kept as patches, each with the scenario that notices it.

mod copy;
mod fault;

use crate::kernel;
use crate::test::Tally;
use crate::test::kernel::{Plan, Programs, Verdict, run};
use crate::vm::Root;
use crate::{mutants, paths, tools};
use anyhow::{Context, Result, bail, ensure};
use copy::Copy;
use fault::Fault;
use std::collections::BTreeSet;
use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A scenario that a fault holds up has noticed nothing yet; it is told from one that fails.
const TIMEOUT: Duration = Duration::from_secs(1200);

/// What came of one fault.
enum Outcome {
    Noticed,
    Unnoticed,
    /// The daemon did not start by it, the kernel fell over, or something else failed.
    Unclear(String),
}

/// Tries the faults; whether every one is noticed.
pub(crate) fn try_all(name: &str, places: &[PathBuf]) -> Result<bool> {
    tools::need(tools::FAULTS)?;
    let (faults, others) = chosen(places)?
        .into_iter()
        .partition::<Vec<_>, _>(|fault| fault.is_shown_by(name));
    for fault in others {
        println!("not tried: {}, which another kernel shows", fault.name);
    }
    let copy = Copy::new()?;
    // Before the first machine starts: nobody waits for an hour to hear of it.
    for fault in &faults {
        copy.renew()?;
        fault.apply(copy.folder())?;
    }
    pass_without(&faults, name)?;
    let mut are_all_noticed = true;
    for fault in &faults {
        let begun = Instant::now();
        copy.renew()?;
        fault.apply(copy.folder())?;
        let outcome = try_one(fault, name, &copy)?;
        are_all_noticed &= matches!(outcome, Outcome::Noticed);
        let (word, more) = match outcome {
            Outcome::Noticed => ("noticed", String::new()),
            Outcome::Unnoticed => ("UNNOTICED", String::new()),
            Outcome::Unclear(why) => ("UNCLEAR", format!(": {why}")),
        };
        let seconds = begun.elapsed().as_secs();
        println!("{word} {}{more} ({seconds} s)", fault.name);
    }
    Ok(are_all_noticed)
}

fn chosen(places: &[PathBuf]) -> Result<Vec<Fault>> {
    let mut faults = fault::all(&paths::workspace().join("tests/faults"))?;
    if !places.is_empty() {
        let places = places.iter().map(|place| mutants::in_checkout(place));
        let places = places.collect::<Result<Vec<_>>>()?;
        faults.retain(|fault| places.iter().any(|place| fault.changes(place)));
    }
    ensure!(!faults.is_empty(), "no fault of tests/faults is there");
    Ok(faults)
}

/// A scenario that fails anyway notices nothing.
fn pass_without(faults: &[Fault], name: &str) -> Result<()> {
    let scenarios: BTreeSet<&str> = faults.iter().map(|fault| &*fault.scenario).collect();
    let words = scenarios.into_iter().collect::<Vec<_>>().join("|");
    let plan = Plan {
        words: vec![words.into()],
        timeout: TIMEOUT,
        append: Vec::new(),
        root: Root::Debian,
        env: Vec::new(),
    };
    let Verdict { tally, error } = run(kernel::get(name)?, &Programs::build()?, &plan, "[whole] ")?;
    if let Some(error) = error {
        bail!("without a fault: {error}");
    }
    if let Some(failure) = tally.failures.first() {
        bail!("without a fault fails {failure}");
    }
    Ok(())
}

/// Runs this program in the copy, so that nothing of the checkout is built with the fault in it.
fn try_one(fault: &Fault, kernel: &str, copy: &Copy) -> Result<Outcome> {
    let mut again = Command::new(env::current_exe().context("find this program")?);
    again.args(["test", "--vm-only", "--kernel", kernel, "--timeout"]);
    again
        .arg(TIMEOUT.as_secs().to_string())
        .arg(&fault.scenario);
    again.current_dir(copy.folder());
    again.env("CARGO_TARGET_DIR", copy.target());
    let output = again
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("try {}", fault.name))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    print!("{printed}");
    Ok(judge(&fault.scenario, &printed))
}

/// What the end of a run says: a line for each failure, then the totals.
fn judge(scenario: &str, printed: &str) -> Outcome {
    let Some(tally) = printed.lines().next_back().and_then(Tally::read) else {
        return Outcome::Unclear("it was not run".into());
    };
    let mut failures = printed
        .lines()
        .filter_map(|line| line.strip_prefix("FAILED "));
    if tally.passed + tally.failed == 0 {
        return Outcome::Unclear("no scenario of that name runs there".into());
    }
    match failures.clone().find(|line| !line.contains(scenario)) {
        Some(other) => Outcome::Unclear(other.to_owned()),
        None if failures.next().is_some() => Outcome::Noticed,
        None => Outcome::Unnoticed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_scenario_notices() {
        let is_noticed = |printed: &str| match judge("who: a thread", printed) {
            Outcome::Noticed => Some(true),
            Outcome::Unnoticed => Some(false),
            Outcome::Unclear(_) => None,
        };
        let failed = "[6.12] FAIL who: a thread: it was free\n\n\
                      FAILED [6.12] who: a thread: it was free\n0 passed, 1 failed, 0 skipped";
        assert_eq!(is_noticed(failed), Some(true));
        assert_eq!(is_noticed("\n1 passed, 0 failed, 0 skipped"), Some(false));
        for unclear in [
            "FAILED [6.12] the daemon starts: no\n0 passed, 1 failed, 0 skipped",
            "FAILED on kernel 6.12: panic\nFAILED [6.12] panic\n0 passed, 1 failed, 0 skipped",
            "\n0 passed, 0 failed, 0 skipped",
            "",
        ] {
            assert_eq!(is_noticed(unclear), None, "{unclear}");
        }
    }

    #[test]
    fn every_fault_can_be_put_into_the_checkout() {
        let faults = fault::all(&paths::workspace().join("tests/faults")).unwrap();
        assert!(!faults.is_empty());
        for fault in faults {
            fault.check(paths::workspace()).unwrap();
        }
    }
}
