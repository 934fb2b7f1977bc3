//! What limits cost, in instructions of the emulated processor. Runs in the VM of
//! `cargo xtask bench`, where nothing else runs.

mod clock;
mod conditions;
mod ground;
mod operations;

use anyhow::{Result, bail};
use serde::Serialize;

const USAGE: &str = "usage: bailiff-bench all | cells [--landlock RULES] | hook-calls";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["all"] => print(&conditions::measure_all()?),
        ["cells"] => print(&conditions::cells()?),
        ["cells", "--landlock", rules] => {
            conditions::restrict(rules.parse()?)?;
            print(&conditions::cells()?)
        }
        ["hook-calls"] => print(&conditions::hook_calls()?),
        _ => bail!(USAGE),
    }
}

fn print(value: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string(value)?);
    Ok(())
}
