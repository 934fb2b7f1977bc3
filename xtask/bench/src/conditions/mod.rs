//! Under what a subject is measured. Each condition starts it in a process of its own, with the same
//! memory, environment and cgroup in every one.

mod apparmor;
mod bailiff;
mod floor;
mod landlock;

use anyhow::{Context, Result};
use bailiff_bench::Condition;
use std::fs;
use std::process::Command;

pub(crate) use bailiff::{count_runs, runs};
pub(crate) use landlock::restrict;

use crate::cgroup::Cgroup;

/// This program, where limited processes may execute it.
const SELF: &str = "/b/bailiff-bench";

/// The cgroup of whoever is measured: what the kernel allocates is accounted to it.
pub(crate) const CGROUP: &str = "bench";

/// What is measured.
pub(crate) struct Subject<F> {
    /// What this program is told to be the process that is limited.
    pub(crate) word: &'static str,
    /// What that process must be allowed.
    pub(crate) reach: Reach,
    /// Sizes of the grant, ruleset or profile.
    pub(crate) patterns: &'static [u32],
    /// Lets the process of this command do what is measured.
    pub(crate) measure: fn(Command) -> Result<Vec<F>>,
}

/// What grant, ruleset and profile allow, beside the directories that fill them up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The tree.
    Tree,
    /// And the programs that are installed, with what they read.
    Programs,
}

impl Reach {
    /// Directories to read and execute from.
    fn readable(self) -> &'static [&'static str] {
        match self {
            Self::Tree => &[],
            Self::Programs => &["/usr", "/etc", "/proc"],
        }
    }

    /// Directories to write to as well.
    fn writable(self) -> &'static [&'static str] {
        match self {
            Self::Tree => &[],
            Self::Programs => &["/dev"],
        }
    }

    /// How many patterns they are, with the tree.
    fn patterns(self) -> u32 {
        1 + (self.readable().len() + self.writable().len()) as u32
    }
}

/// One figure, and under what it was measured.
pub(crate) struct Found<F> {
    pub(crate) condition: Condition,
    pub(crate) patterns: Option<u32>,
    pub(crate) figure: F,
}

/// Measures under every condition; `attached` is called while Bailiff's programs are.
///
/// Everything is loaded from first to last, attached or not: a new process takes counters from the
/// kernel's per-CPU allocator, which searches the longer the more others have taken there, and programs
/// and maps do (`pcpu_alloc_area()` in mm/percpu.c; some 500 instructions of an `execve`).
pub(crate) fn measure<F, T>(
    subject: &Subject<F>,
    attached: impl FnOnce() -> Result<T>,
) -> Result<(Vec<Found<F>>, T)> {
    fs::copy("/proc/self/exe", SELF).context("copy the benchmark into its tree")?;
    let hooks = bailiff::load()?;
    let floor = floor::load(&hooks)?;
    let mut all = Vec::new();
    // Once for nothing: the kernel's allocators have more to do the first time.
    subject.plain()?;
    subject.record(&mut all, Condition::Untagged, None, Subject::plain)?;
    subject.record_each(&mut all, Condition::Tagged, bailiff::measure)?;
    let attached = attached()?;
    bailiff::detach(hooks.len())?;
    subject.record(&mut all, Condition::Bare, None, Subject::plain)?;
    subject.record_each(&mut all, Condition::Landlock, landlock::measure)?;
    subject.record_each(&mut all, Condition::AppArmor, apparmor::measure)?;
    let links = floor.attach()?;
    subject.record(&mut all, Condition::Floor, None, Subject::plain)?;
    drop(links);
    Ok((all, attached))
}

impl<F> Subject<F> {
    /// Without a limit of its own.
    fn plain(&self) -> Result<Vec<F>> {
        (self.measure)(self.worker()?)
    }

    /// This program as the process that is limited.
    fn worker(&self) -> Result<Command> {
        worker(&[self.word])
    }

    /// With each number of patterns.
    fn record_each(
        &self,
        all: &mut Vec<Found<F>>,
        condition: Condition,
        measure: fn(&Self, u32) -> Result<Vec<F>>,
    ) -> Result<()> {
        for patterns in self.patterns {
            self.record(all, condition, Some(*patterns), |subject| {
                measure(subject, *patterns)
            })?;
        }
        Ok(())
    }

    fn record(
        &self,
        all: &mut Vec<Found<F>>,
        condition: Condition,
        patterns: Option<u32>,
        measure: impl FnOnce(&Self) -> Result<Vec<F>>,
    ) -> Result<()> {
        let figures = measure(self)?;
        eprintln!(
            "measured {condition}{}",
            patterns.map_or_else(String::new, |count| format!(", {count} patterns"))
        );
        all.extend(figures.into_iter().map(|figure| Found {
            condition,
            patterns,
            figure,
        }));
        Ok(())
    }
}

/// This program in the cgroup of whoever is measured.
pub(crate) fn worker(arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(SELF);
    command.args(arguments).env_clear();
    Cgroup::new(CGROUP)?.enter(&mut command);
    Ok(command)
}
