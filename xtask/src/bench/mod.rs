//! `cargo xtask bench`: what limits cost, in guest instructions. The guest's half is the crate
//! `bailiff-bench`.

mod baseline;
mod growth;
mod tables;
mod targets;

pub(crate) use baseline::Baseline;
pub(crate) use tables::table;
pub(crate) use targets::targets;

use crate::build::{self, Profile, Static};
use crate::kernel;
use crate::vm::{Output, Root, Vm};
use anyhow::{Context, Result, bail};
use bailiff_bench::{Part, Results};
use std::time::Duration;

const PROGRAM: &str = "/usr/bin/bailiff-bench";

/// Every module that is measured; a kernel takes those that it has.
const MODULES: &str = "lsm=landlock,lockdown,yama,integrity,apparmor,bpf";

/// Boots a kernel for each part, counts, and reads what was counted.
pub(crate) fn measure(name: &str, parts: &[Part]) -> Result<Results> {
    let mut results = Results::default();
    for part in parts {
        let found = measure_part(name, *part)?;
        results.release.clone_from(&found.release);
        results.take(*part, found);
    }
    Ok(results)
}

fn measure_part(name: &str, part: Part) -> Result<Results> {
    let guest = Static {
        package: "bailiff-bench",
        binary: "bailiff-bench",
        profile: Profile::Release,
    };
    let outcome = Vm::new(kernel::get(name)?)
        .root(Root::Debian)
        .install(build::static_binary_for_vm(&build::bailiff(
            Profile::Release,
        ))?)
        .copy(build::static_binary_for_vm(&guest)?, PROGRAM)
        .append(MODULES)
        // The same addresses, and so the same page tables, in every process.
        .append("norandmaps")
        .processors(1)
        // One virtual nanosecond, and so one step of the time-stamp counter, for an instruction.
        .qemu_arguments(["-icount", "shift=0,sleep=off"])
        .timeout(Some(Duration::from_secs(2400)))
        .output(Output::Kept)
        .run(&[PROGRAM, part.word()])?;
    if let Some(error) = outcome.machine_error() {
        bail!(error);
    }
    serde_json::from_slice(&outcome.stdout)
        .context("the benchmark did not finish; its messages are above")
}
