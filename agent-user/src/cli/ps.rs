//! `bailiff ps`

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;

use super::{
    JsonArg, failure,
    output::{block_on, print, print_json},
};
use crate::{
    api::{Extent, Session, SessionState, SessionsQuery, Word, routes},
    client::Client,
    clock::short_duration,
    render::{
        Table, escape,
        style::{FAINT, GOOD, NAME, PLAIN, WARN},
        table::Cell,
    },
};

#[derive(Debug, Args)]
pub(super) struct PsArgs {
    /// Sessions that have ended too.
    #[arg(short, long)]
    all: bool,
    /// Every process and thread that belongs to a session, and whether its cgroup says the same.
    #[arg(long, conflicts_with = "all")]
    tasks: bool,
    #[command(flatten)]
    json: JsonArg,
}

pub(super) fn ps(args: &PsArgs, client: &Client) -> anyhow::Result<ExitCode> {
    if args.tasks {
        return tasks(args, client);
    }
    let place = routes::SESSIONS.with(&SessionsQuery { all: args.all })?;
    let page = block_on(client.get(&place))??;
    if args.json.json {
        print_json(&page)?;
    } else if page.items.is_empty() {
        let hint = if args.all {
            "no session yet"
        } else {
            "no session runs; `bailiff ps --all` shows the past"
        };
        failure::tell(hint);
    } else {
        print(&table(&page.items, Timestamp::now()).render())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn tasks(args: &PsArgs, client: &Client) -> anyhow::Result<ExitCode> {
    let page = block_on(client.get(&routes::TASKS.place()))??;
    if args.json.json {
        print_json(&page)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&["SESSION", "PID", "TID", "COMMAND", "CGROUP OF", "STANDING"]);
    for member in &page.items {
        let standing = escape(member.standing.as_str());
        let standing = match member.standing.known() {
            Some(fault) if fault.is_fault() => Cell::styled(standing.to_uppercase(), WARN),
            _ => Cell::styled(standing, PLAIN),
        };
        let name = |session: &Option<String>| {
            session
                .as_deref()
                .map_or_else(|| "-".into(), |name| escape(name).into_owned())
        };
        table.row([
            Cell::styled(name(&member.session), NAME),
            member.pid.to_string().into(),
            member.tid.to_string().into(),
            escape(&member.command).into(),
            name(&member.place).into(),
            standing,
        ]);
    }
    print(&table.render())?;
    Ok(ExitCode::SUCCESS)
}

fn table(sessions: &[Session], now: Timestamp) -> Table {
    let mut table = Table::new(&[
        "SESSION", "STATE", "GRANT", "MODE", "AGE", "PROCS", "ALLOWED", "REFUSED", "COMMAND",
    ]);
    for session in sessions {
        let refused = if session.refused > 0 { WARN } else { PLAIN };
        table.row([
            Cell::styled(escape(&session.name), NAME),
            Cell::styled(escape(session.state.as_str()), state_style(&session.state)),
            escape(&session.grant).into(),
            escape(session.mode.as_str()).into(),
            short_duration(session.started, session.ended.unwrap_or(now)).into(),
            session.processes.to_string().into(),
            session.allowed.to_string().into(),
            Cell::styled(session.refused.to_string(), refused),
            what_runs(session).into(),
        ]);
    }
    table
}

fn state_style(state: &Word<SessionState>) -> anstyle::Style {
    match state.known() {
        Some(SessionState::Running) => GOOD,
        Some(SessionState::Starting | SessionState::Waiting | SessionState::Frozen) | None => WARN,
        Some(SessionState::Ended) => FAINT,
    }
}

/// Whether Bailiff started its first process.
pub(super) fn is_launched(session: &Session) -> bool {
    session.extent.known().is_some_and(Extent::is_launched)
}

/// The command of a session, the container that it is of, or the cgroup that it was tagged on.
pub(super) fn what_runs(session: &Session) -> String {
    if is_launched(session) || !session.command.is_empty() {
        session
            .command
            .iter()
            .map(|word| escape(word))
            .collect::<Vec<_>>()
            .join(" ")
    } else {
        escape(&session.cgroup).into_owned()
    }
}
