//! `bailiff run`: a command in a session of its own.
//!
//! A child is forked before anything else happens. It enrols itself, and executes the command
//! only when the daemon says that the label is on it. The parent, which is never labelled, stays
//! to pass signals and the exit code, and to say what was refused.

pub(super) mod child;
pub(super) mod environment;
mod filter;
mod grant;
mod monitor;
pub(super) mod program;
mod signals;
mod summary;
mod terminal;

use std::{
    ffi::OsString,
    io::{Read, Write},
    os::fd::OwnedFd,
    process::ExitCode,
};

use agent_grant::Grant;
use clap::Args;
use nix::unistd::{ForkResult, Pid, fork, pipe2};

use super::{
    failure::{RUN_FAILED, is_from_inside, note, or_inside, say},
    output::{block_on, print},
};
use crate::{
    api::{GrantSource, Session, StartSession, Summary, Target, routes},
    client::{Client, ClientError},
    render::escape,
};

use child::{ChildFailure, Launch};
use environment::Handed;
use grant::{Chosen, RunGrantArgs};
use terminal::Terminal;

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    grant: RunGrantArgs,
    /// Say nothing of what was refused.
    #[arg(short, long)]
    quiet: bool,
    /// Say what the command is not handed over: names of the environment.
    #[arg(short, long)]
    verbose: bool,
    /// Hand the terminal itself to the command, instead of a pseudo-terminal of its own.
    #[arg(long)]
    no_pty: bool,
    /// The command and its arguments; from here on nothing is an option of Bailiff's.
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD")]
    command: Vec<OsString>,
}

pub(super) fn run(args: &RunArgs, client: &Client) -> anyhow::Result<ExitCode> {
    let chosen = match args.grant.choose(&args.command[0]) {
        Ok(chosen) => chosen,
        Err(error) => return Ok(failed(&or_inside(client, error))),
    };
    let gathered = args
        .grant
        .gather(&chosen)
        .and_then(|grant| Ok((grant, args.grant.inputs(&chosen)?)));
    let (grant, inputs) = match gathered {
        Ok(gathered) => gathered,
        Err(error) => return Ok(failed(&or_inside(client, error))),
    };
    if args.grant.print_grant {
        if let Err(error) = args.grant.load(&chosen) {
            return Ok(failed(&error));
        }
        print(&format!(
            "{}{}",
            args.grant.heading(&chosen)?,
            grant.main.text
        ))?;
        return Ok(ExitCode::SUCCESS);
    }
    let program = match program::find(&args.command[0]) {
        Ok(program) => program,
        Err(error) => {
            say(&error.to_string());
            return Ok(ExitCode::from(error.code()));
        }
    };
    let start = StartSession {
        target: Target::New,
        grant,
        inputs,
        command: shown(&args.command),
        sought: chosen.sought(),
    };
    let terminal = if args.no_pty {
        None
    } else {
        Terminal::for_command()?
    };
    let (go_read, go_write) = pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    let (report_read, report_write) = pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    // SAFETY: this process has one thread, so the child may do whatever it likes.
    match unsafe { fork() }? {
        ForkResult::Child => {
            drop((go_write, report_read));
            let own_terminal = terminal.is_some();
            if let Some(terminal) = terminal
                && let Err(error) = monitor::split(terminal, &[&go_read, &report_write])
            {
                child::fail(&error, report_write);
            }
            let launch = Launch {
                client,
                program: &program,
                arguments: &args.command,
                own_terminal,
            };
            child::main(&launch, go_read, report_write)
        }
        ForkResult::Parent { child } => {
            drop((go_read, report_write));
            if !args.quiet {
                chosen.told.iter().for_each(|told| note(told));
            }
            let run = Run {
                args,
                chosen: &chosen,
                start: &start,
                client,
            };
            match run.supervise(child, terminal, go_write, report_read) {
                Ok(outcome) => Ok(conclude(args, &outcome, client)),
                Err(error) => Ok(failed(&error)),
            }
        }
    }
}

/// A command's words as `bailiff ps` shows them.
pub(super) fn shown(command: &[OsString]) -> Vec<String> {
    command
        .iter()
        .map(|word| word.to_string_lossy().into())
        .collect()
}

fn failed(error: &anyhow::Error) -> ExitCode {
    super::failure::report(error);
    ExitCode::from(RUN_FAILED)
}

/// How it went.
struct Outcome {
    session: Session,
    /// Exit code of the command, or what stands for it.
    code: u8,
    /// The command was never executed.
    failure: Option<ChildFailure>,
}

/// What is to be run.
struct Run<'a> {
    args: &'a RunArgs,
    chosen: &'a Chosen,
    start: &'a StartSession,
    client: &'a Client,
}

impl Run<'_> {
    /// Starts the session, lets the child go, and waits for its end.
    fn supervise(
        &self,
        child: Pid,
        terminal: Option<Terminal>,
        go: OwnedFd,
        report: OwnedFd,
    ) -> anyhow::Result<Outcome> {
        let started = block_on(self.client.post(&routes::START.place(), self.start))?;
        let load = || self.args.grant.load(self.chosen);
        let session = match started {
            Ok(session) => session,
            Err(error) => {
                // The child reads the end of its pipe and ends.
                drop(go);
                let _ = nix::sys::wait::waitpid(child, None);
                return Err(why_not_started(load, error));
            }
        };
        let environment = match &session.hands_over {
            Some(told) => Handed::by(&told.into()),
            // The daemon is of an earlier version.
            None => Handed::by(&load()?.1.environment),
        };
        if self.args.verbose {
            note(&environment.line());
        }
        if !self.args.quiet {
            session.remarks.iter().for_each(|remark| note(remark));
        }
        let signals = signals::Blocked::new()?;
        std::fs::File::from(go).write_all(&environment.message(&session.name))?;
        let mut text = String::new();
        std::fs::File::from(report).read_to_string(&mut text)?;
        let failure = (!text.is_empty()).then(|| ChildFailure::read(&text));
        let code = match terminal {
            Some(terminal) => terminal.relay(child, &signals)?,
            None => signals.wait_for(child)?,
        };
        Ok(Outcome {
            session,
            code,
            failure,
        })
    }
}

/// What the grant itself has wrong is told best by who has its texts at hand.
pub(super) fn why_not_started(
    load: impl FnOnce() -> anyhow::Result<(GrantSource, Grant)>,
    error: ClientError,
) -> anyhow::Error {
    if is_from_inside(&error) {
        return error.into();
    }
    load().err().unwrap_or_else(|| error.into())
}

/// Says what is to be said, and finds the exit code.
fn conclude(args: &RunArgs, outcome: &Outcome, client: &Client) -> ExitCode {
    let name = &outcome.session.name;
    let summary: Option<Summary> = match block_on(client.get(&routes::SUMMARY.of(name))) {
        Ok(Ok(summary)) => Some(summary),
        Ok(Err(error)) => unknown(&error.into()),
        Err(error) => unknown(&error),
    };
    if let Some(failure) = &outcome.failure {
        say(&failure.explain(
            &args.command[0].to_string_lossy(),
            &outcome.session.grant,
            summary.as_ref(),
        ));
    }
    if let Some(summary) = summary.as_ref().filter(|_| !args.quiet) {
        for line in summary::lines(summary) {
            note(&line);
        }
    }
    ExitCode::from(
        outcome
            .failure
            .as_ref()
            .map_or(outcome.code, ChildFailure::code),
    )
}

fn unknown(error: &anyhow::Error) -> Option<Summary> {
    note(&format!(
        "what was refused is not known: {}",
        escape(&format!("{error:#}"))
    ));
    None
}
