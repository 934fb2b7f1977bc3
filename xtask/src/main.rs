//! Set-up, build, virtual machines, tests and demo. Start with `cargo xtask --help`.

mod agents;
mod apt;
mod bench;
mod build;
mod cache;
mod commands;
mod exec;
mod fuzz;
mod kernel;
mod mutants;
mod paths;
mod room;
mod test;
mod tools;
mod vm;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Builds Bailiff and runs it on real kernels in virtual machines.
#[derive(Parser)]
#[command(bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Setup(commands::setup::Setup),
    Build(commands::build::Build),
    Kernels(commands::kernels::Kernels),
    Vm(commands::vm::Run),
    Test(commands::test::Test),
    Fuzz(commands::fuzz::Fuzz),
    Mutants(commands::mutants::Mutants),
    Storm(commands::storm::Storm),
    Agents(commands::agents::Agents),
    Deny(commands::deny::Deny),
    Demo(commands::demo::Demo),
    Bench(commands::bench::Bench),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Setup(command) => command.run(),
        Command::Build(command) => command.run(),
        Command::Kernels(command) => command.run(),
        Command::Vm(command) => command.run(),
        Command::Test(command) => command.run(),
        Command::Fuzz(command) => command.run(),
        Command::Mutants(command) => command.run(),
        Command::Storm(command) => command.run(),
        Command::Agents(command) => command.run(),
        Command::Deny(command) => command.run(),
        Command::Demo(command) => command.run(),
        Command::Bench(command) => command.run(),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
