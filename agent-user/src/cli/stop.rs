//! `bailiff stop` and `bailiff freeze`

use std::process::ExitCode;

use clap::Args;

use super::{
    JsonArg,
    output::{block_on, print, print_json},
};
use crate::{api::Session, client::Client, render::escape};

#[derive(Debug, Args)]
pub(super) struct StopArgs {
    /// Name or number, as `bailiff ps` shows it.
    session: String,
    #[command(flatten)]
    json: JsonArg,
}

#[derive(Debug, Args)]
pub(super) struct FreezeArgs {
    /// Name or number, as `bailiff ps` shows it.
    session: String,
    /// Let it go on.
    #[arg(long)]
    thaw: bool,
    #[command(flatten)]
    json: JsonArg,
}

pub(super) fn stop(args: &StopArgs, client: &Client) -> anyhow::Result<ExitCode> {
    act(client, &args.session, "stop", "stopped", args.json)
}

pub(super) fn freeze(args: &FreezeArgs, client: &Client) -> anyhow::Result<ExitCode> {
    let (verb, done) = if args.thaw {
        ("thaw", "goes on")
    } else {
        ("freeze", "is frozen")
    };
    act(client, &args.session, verb, done, args.json)
}

fn act(
    client: &Client,
    session: &str,
    verb: &str,
    done: &str,
    json: JsonArg,
) -> anyhow::Result<ExitCode> {
    let session: Session = block_on(client.post(&format!("/v1/sessions/{session}/{verb}"), &()))??;
    if json.json {
        print_json(&session)?;
    } else {
        print(&format!("{} {done}", escape(&session.name)))?;
    }
    Ok(ExitCode::SUCCESS)
}
