//! What limits cost, in instructions of the emulated processor. Runs in the VM of
//! `cargo xtask bench`, where nothing else runs.

mod cgroup;
mod clock;
mod conditions;
mod daemon;
mod ground;
mod operations;
mod read;
mod sessions;
mod work;

use anyhow::{Result, bail};
use bailiff_bench::Results;
use serde::Serialize;

use conditions::{Reach, restrict};

const USAGE: &str = "usage: bailiff-bench operations | sessions | work";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["operations"] => print(&operations::measure_all()?),
        ["sessions"] => print(&sessions::measure()?),
        ["work"] => print(&work::measure()?),
        // What these start, with the limits of a condition.
        [operations::WORD] => print(&operations::cells()?),
        [operations::WORD, "--landlock", rules] => {
            restrict(rules.parse()?, Reach::Tree)?;
            print(&operations::cells()?)
        }
        [operations::HOOK_CALLS] => print(&operations::hook_calls()?),
        [work::WORD] => work::serve(),
        [work::WORD, "--landlock", rules] => {
            restrict(rules.parse()?, Reach::Programs)?;
            work::serve()
        }
        _ => bail!(USAGE),
    }
}

/// Nothing measured yet.
fn nothing() -> Result<Results> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(Results {
        release: release.trim().to_owned(),
        ..Results::default()
    })
}

fn print(value: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string(value)?);
    Ok(())
}
