//! `bailiff stop` and `bailiff freeze`

use std::process::ExitCode;

use clap::Args;

use super::{
    JsonArg,
    output::{block_on, print, print_json},
};
use crate::{
    api::{
        Session,
        routes::{self, Named, Post, Route},
    },
    client::Client,
    render::escape,
};

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
    act(client, &routes::STOP, &args.session, "stopped", args.json)
}

pub(super) fn freeze(args: &FreezeArgs, client: &Client) -> anyhow::Result<ExitCode> {
    let (route, done) = if args.thaw {
        (&routes::THAW, "goes on")
    } else {
        (&routes::FREEZE, "is frozen")
    };
    act(client, route, &args.session, done, args.json)
}

fn act(
    client: &Client,
    route: &Route<Post<()>, Named, Session>,
    session: &str,
    done: &str,
    json: JsonArg,
) -> anyhow::Result<ExitCode> {
    let session = block_on(client.post(&route.of(session), &()))??;
    if json.json {
        print_json(&session)?;
    } else {
        print(&format!("{} {done}", escape(&session.name)))?;
    }
    Ok(ExitCode::SUCCESS)
}
