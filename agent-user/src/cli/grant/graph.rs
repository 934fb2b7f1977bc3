//! `bailiff grant graph`

use std::process::ExitCode;

use clap::Args;

use crate::{
    api::{SCHEMA, grant::GrantGraph},
    cli::{
        JsonArg,
        grant_args::SetArgs,
        output::{print, print_json},
    },
    grants::{self, Compiled},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct GraphArgs {
    /// A file, or the name of a grant.
    grant: String,
    #[command(flatten)]
    set: SetArgs,
    #[command(flatten)]
    json: JsonArg,
}

/// Draws the patterns as written, so that the picture is the same on every host.
pub(in crate::cli) fn graph(args: &GraphArgs) -> anyhow::Result<ExitCode> {
    let (_, grant) = grants::load(&args.grant, &args.set.inputs())?;
    let compiled = Compiled::as_written(&grant)?;
    let dot = agent_grant::graph(compiled.inner());
    if args.json.json {
        print_json(&GrantGraph {
            schema: SCHEMA,
            states: compiled.inner().dfa.states(),
            classes: compiled.inner().dfa.columns,
            dot,
        })?;
    } else {
        print(&dot)?;
    }
    Ok(ExitCode::SUCCESS)
}
