//! `bailiff exec`: becomes a command in a session of its own, where it stands.
//!
//! The daemon arms this process, and the label takes force when it executes the command. So it keeps its
//! pid, its cgroup and its parent, and with them what a service manager or a scheduler limits and watches it
//! by.

use std::{convert::Infallible, ffi::OsString, process::ExitCode};

use clap::Args;

use super::{
    failure::{RUN_FAILED, note, or_inside, report, say},
    grant_args::GrantArgs,
    output::block_on,
    run::{
        child::{Descriptors, execute},
        environment::Handed,
        program, shown, why_not_started,
    },
};
use crate::{
    api::{Session, StartSession, Target, routes},
    client::Client,
    render::escape,
};

#[derive(Debug, Args)]
pub(super) struct ExecArgs {
    #[command(flatten)]
    grant: GrantArgs,
    /// Say nothing of what the grant does not give on this host.
    #[arg(short, long)]
    quiet: bool,
    /// The command and its arguments.
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD")]
    command: Vec<OsString>,
}

pub(super) fn exec(args: &ExecArgs, client: &Client) -> ExitCode {
    let program = match program::find(&args.command[0]) {
        Ok(program) => program,
        Err(error) => {
            say(&error.to_string());
            return ExitCode::from(error.code());
        }
    };
    let (session, environment) = match start(args, client) {
        Ok(started) => started,
        Err(error) => {
            report(&error);
            return ExitCode::from(RUN_FAILED);
        }
    };
    let (arguments, name) = (&args.command, &session.name);
    let environment = environment.in_session(name);
    let result = execute(&program, arguments, &environment, Descriptors::Service);
    let failure = match result {
        Ok(never) => {
            let never: Infallible = never;
            match never {}
        }
        Err(failure) => failure,
    };
    let command = args.command[0].to_string_lossy();
    say(&failure.explain(&command, &session.grant, None));
    if failure.may_be_refusal() {
        note(&format!(
            "if its grant refused it, `bailiff why --session {}` says which rule",
            escape(name)
        ));
    }
    ExitCode::from(failure.code())
}

/// Has this process armed.
fn start(args: &ExecArgs, client: &Client) -> anyhow::Result<(Session, Handed)> {
    let gathered = args.grant.gather();
    let grant = gathered.map_err(|error| or_inside(client, error))?;
    let start = StartSession {
        target: Target::Caller,
        grant,
        inputs: args.grant.inputs(),
        command: shown(&args.command),
        sought: None,
    };
    let session: Session = block_on(client.post(&routes::START.place(), &start))?
        .map_err(|error| why_not_started(|| args.grant.load(), error))?;
    if !args.quiet {
        session.remarks.iter().for_each(|remark| note(remark));
    }
    let environment = match &session.hands_over {
        Some(told) => Handed::by(&told.into()),
        None => Handed::default(),
    };
    Ok((session, environment))
}
