//! `bailiff tag` and `bailiff untag`

use std::process::ExitCode;

use clap::Args;

use super::{
    JsonArg,
    failure::{note, or_inside},
    grant_args::GrantArgs,
    output::{block_on, print, print_json},
};
use crate::{
    api::{StartSession, Target, Untag, routes},
    client::Client,
    render::escape,
};

#[derive(Debug, Args)]
pub(super) struct TagArgs {
    /// The cgroup: a path below /sys/fs/cgroup, or as /proc/PID/cgroup writes it.
    cgroup: String,
    #[command(flatten)]
    grant: GrantArgs,
    #[command(flatten)]
    json: JsonArg,
}

#[derive(Debug, Args)]
pub(super) struct UntagArgs {
    /// Name or number, as `bailiff ps` shows it, or the cgroup that was tagged.
    session: String,
    #[command(flatten)]
    json: JsonArg,
}

pub(super) fn tag(args: &TagArgs, client: &Client) -> anyhow::Result<ExitCode> {
    let start = StartSession {
        target: Target::Cgroup(args.cgroup.clone()),
        grant: args
            .grant
            .load()
            .map_err(|error| or_inside(client, error))?
            .0,
        inputs: args.grant.inputs(),
        command: Vec::new(),
    };
    let session = block_on(client.post(&routes::START.place(), &start))??;
    if args.json.json {
        print_json(&session)?;
    } else {
        print(&format!(
            "{}: {} processes of {} are under the grant {}",
            escape(&session.name),
            session.processes,
            escape(&session.cgroup),
            escape(&session.grant)
        ))?;
        session.remarks.iter().for_each(|remark| note(remark));
        note("its environment is as it was: `[environment]` holds for what `bailiff run` starts");
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn untag(args: &UntagArgs, client: &Client) -> anyhow::Result<ExitCode> {
    let body = Untag {
        session: args.session.clone(),
    };
    let session = block_on(client.post(&routes::UNTAG.place(), &body))??;
    if args.json.json {
        print_json(&session)?;
    } else {
        print(&format!(
            "{} has ended; its processes are free",
            escape(&session.name)
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
