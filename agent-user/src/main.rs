//! `bailiff`: enforces what an agent was granted, and shows what it tried beyond that.

use std::process::ExitCode;

fn main() -> ExitCode {
    agent_user::cli::main()
}
