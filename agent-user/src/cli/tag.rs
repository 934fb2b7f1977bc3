//! `bailiff tag` and `bailiff untag`

use std::process::ExitCode;

use clap::Args;

use super::{
    JsonArg,
    failure::{note, or_inside},
    grant_args::GrantArgs,
    output::{block_on, print, print_json},
    run::why_not_started,
};
use crate::{
    api::{Inputs, Session, StartSession, Target, Untag, routes},
    client::Client,
    render::escape,
};

#[derive(Debug, Args)]
pub(super) struct TagArgs {
    /// The cgroup: a path below /sys/fs/cgroup, or as /proc/PID/cgroup writes it.
    cgroup: String,
    #[command(flatten)]
    grant: GrantArgs,
    /// Limit each process from the next program on that it executes, and not before: for a cgroup whose
    /// processes are set up by a launcher (a container's runtime, a service manager).
    #[arg(long)]
    at_exec: bool,
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
        target: if args.at_exec {
            Target::CgroupAtExec(args.cgroup.clone())
        } else {
            Target::Cgroup(args.cgroup.clone())
        },
        grant: args
            .grant
            .gather()
            .map_err(|error| or_inside(client, error))?,
        // The rest is what is so for the processes, which the daemon finds out.
        inputs: Inputs {
            set: args.grant.set(),
            ..Inputs::default()
        },
        command: Vec::new(),
        sought: None,
    };
    let session: Session = block_on(client.post(&routes::START.place(), &start))?
        .map_err(|error| why_not_started(|| args.grant.load(), error))?;
    if args.json.json {
        print_json(&session)?;
    } else {
        print(&format!(
            "{}: {} processes of {} are under the grant {}{}",
            escape(&session.name),
            session.processes,
            escape(&session.cgroup),
            escape(&session.grant),
            if args.at_exec {
                ", each from the next program on that it executes"
            } else {
                ""
            }
        ))?;
        if !session.variables.is_empty() {
            note(&filled_in(&session));
        }
        session.remarks.iter().for_each(|remark| note(remark));
        note(
            "its environment is as it was: `[environment]` holds for what `bailiff run` and `exec` start",
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn filled_in(session: &Session) -> String {
    let variables = session.variables.iter();
    let variables = variables
        .map(|(name, value)| format!("{}={}", escape(name), escape(value)))
        .collect::<Vec<_>>();
    format!(
        "its variables are those of its first process, and of `--set`: {}",
        variables.join(" ")
    )
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
