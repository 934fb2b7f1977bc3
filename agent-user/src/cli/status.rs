//! `bailiff status`

use std::{path::Path, process::ExitCode};

use clap::Args;
use jiff::{Timestamp, tz::TimeZone};

use super::{
    JsonArg,
    output::{block_on, print, print_json},
    ps::{is_launched, what_runs},
};
use crate::{
    api::{
        EnforcementState, EnvironmentState, FailureCode, Session, Status, StoreStatus,
        routes::{self, OWN_SESSION},
    },
    client::{Client, ClientError},
    clock::short_duration,
    render::{
        escape, local_time,
        style::{BAD, GOOD, STRONG, WARN, paint},
    },
};

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Name or number; without it, the daemon (or, inside a session, that session).
    session: Option<String>,
    #[command(flatten)]
    json: JsonArg,
}

pub(super) fn status(args: &StatusArgs, client: &Client) -> anyhow::Result<ExitCode> {
    if let Some(session) = &args.session {
        let session = block_on(client.get(&routes::SESSION.of(session)))??;
        return show_session(&session, args.json);
    }
    match block_on(client.get(&routes::STATUS.place()))? {
        Ok(status) if args.json.json => print_json(&status)?,
        Ok(status) => print(&daemon_lines(&status))?,
        Err(ClientError::Refused(failure)) if failure.code == FailureCode::Labelled => {
            let session = block_on(client.get(&routes::SESSION.of(OWN_SESSION)))??;
            return show_session(&session, args.json);
        }
        Err(error) => return Err(error.into()),
    }
    Ok(ExitCode::SUCCESS)
}

fn show_session(session: &Session, json: JsonArg) -> anyhow::Result<ExitCode> {
    if json.json {
        print_json(session)?;
    } else {
        print(&session_lines(session))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `name  value` lines.
pub(super) fn fields(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter()
        .map(|(name, value)| {
            format!(
                "{STRONG}{name}{STRONG:#}{:1$}{value}\n",
                "",
                width - name.len() + 2
            )
        })
        .collect()
}

/// What becomes of system calls that no hook sees.
fn system_calls(session: &Session) -> &'static str {
    if is_launched(session) {
        "those without a hook are filtered by seccomp (personality, keyctl)"
    } else {
        "not filtered: tagged processes may use personality(2) and pass keyrings to their parent"
    }
}

fn session_lines(session: &Session) -> String {
    let now = Timestamp::now();
    let time = |at| local_time(at, now, &TimeZone::system());
    let state = match (session.ended, &session.end_cause) {
        (Some(at), Some(cause)) => format!("ended {} ({})", time(at), escape(cause.as_str())),
        _ => escape(session.state.as_str()).into_owned(),
    };
    let variables = session
        .variables
        .iter()
        .map(|(name, value)| format!("{}={}", escape(name), escape(value)))
        .collect::<Vec<_>>();
    let age = short_duration(session.started, session.ended.unwrap_or(now));
    let mut text = fields(&[
        ("session", escape(&session.name).into_owned()),
        ("state", state),
        (
            "grant",
            format!(
                "{} ({})",
                escape(&session.grant),
                escape(session.mode.as_str())
            ),
        ),
        ("variables", variables.join(" ")),
        ("runs", what_runs(session)),
        (
            "cgroup",
            format!("{} (id {})", escape(&session.cgroup), session.cgroup_id),
        ),
        (
            "started",
            format!("{} by uid {}, {age}", time(session.started), session.uid),
        ),
        (
            "environment",
            match session.environment.known() {
                Some(EnvironmentState::Granted) => "what its grant keeps".into(),
                Some(EnvironmentState::AsItWas) => {
                    "as it was: processes that ran before have theirs whole".into()
                }
                None => escape(session.environment.as_str()).into_owned(),
            },
        ),
        ("system calls", system_calls(session).into()),
        ("processes", session.processes.to_string()),
        ("allowed", session.allowed.to_string()),
        ("refused", session.refused.to_string()),
    ]);
    for remark in &session.remarks {
        text += &format!("{} {}\n", paint("note:", WARN), remark);
    }
    text
}

fn daemon_lines(status: &Status) -> String {
    let lost = match status.store.lost + status.store.dropped {
        0 => paint("none", GOOD),
        n => paint(&format!("{n} (`bailiff events` says whose, and why)"), BAD),
    };
    let mut store = format!(
        "{}, {} events",
        escape(&status.store.path),
        status.store.recorded
    );
    if status.store.queued > 0 {
        store += &paint(&format!(", {} waiting", status.store.queued), WARN);
    }
    if let Some(error) = &status.store.error {
        let kept = status.waiting_in_kernel.div_ceil(1024);
        store += &paint(
            &format!(
                ", not recording: {}; {kept} KiB of events wait in the kernel",
                escape(error)
            ),
            BAD,
        );
    }
    let mut hooks = format!(
        "{} of {} attached",
        status.hooks_attached, status.hooks_known
    );
    if !status.missing_hooks.is_empty() {
        hooks += &paint(
            &format!(", missing: {}", escape(&status.missing_hooks.join(", "))),
            WARN,
        );
    }
    let enforcement = &status.enforcement;
    let why = escape(enforcement.because.as_deref().unwrap_or(""));
    let enforcement = match enforcement.state.known() {
        Some(EnforcementState::InForce) => paint("in force", GOOD),
        Some(EnforcementState::NotLasting) => paint(&format!("NOT LASTING: {why}"), BAD),
        Some(EnforcementState::Off) => paint(&format!("NOT ENFORCED: {why}"), BAD),
        None => paint(
            &format!("{}: {why}", escape(enforcement.state.as_str())),
            WARN,
        ),
    };
    fields(&[
        (
            "daemon",
            format!("bailiff {}, pid {}", escape(&status.version), status.pid),
        ),
        (
            "running for",
            short_duration(status.started, Timestamp::now()),
        ),
        ("kernel", escape(&status.kernel).into_owned()),
        ("enforcement", enforcement),
        ("hooks", hooks),
        ("sessions", status.sessions.to_string()),
        ("store", store),
        ("events lost", lost),
    ]) + &store_warning(&status.store, status.waiting_in_kernel)
}

/// Bytes that a disk has left when it is time to say so.
const LITTLE_ROOM: u64 = 64 << 20;

/// What to do about a store that cannot be written, or soon will not be.
fn store_warning(store: &StoreStatus, waiting: u64) -> String {
    let directory = Path::new(&store.path).parent().unwrap_or(Path::new("/"));
    let directory = escape(&directory.to_string_lossy()).into_owned();
    let room = store.room.filter(|room| *room < LITTLE_ROOM);
    let left = room.map_or_else(String::new, |room| {
        format!(" ({} KiB are left there)", room / 1024)
    });
    let text = match (&store.error, room) {
        (Some(error), _) => format!(
            "NOT RECORDING: {}\n\
             Sessions that run stay limited. Their events wait in the kernel ({} KiB now); what finds no \
             room there is counted, and told as lost. No session starts meanwhile.\n\
             {}\n",
            escape(error),
            waiting.div_ceil(1024),
            if error.contains("free some space") {
                format!(
                    "Free some space on the filesystem of {directory}{left}, or move what fills it: \
                     recording goes on by itself. `bailiff daemon --keep-days` and `--keep-megabytes` say \
                     how much is kept."
                )
            } else {
                "Where that passes without a restart, recording goes on by itself.".into()
            }
        ),
        (None, Some(_)) => format!(
            "THE DISK IS NEARLY FULL: {directory}{left}\n\
             When it is full, events are not recorded and no session starts. Free some space.\n"
        ),
        (None, None) => return String::new(),
    };
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    format!("\n{}\n{rest}", paint(first, BAD))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_without_room_is_told_with_what_to_do() {
        let told = |error: Option<&str>, room| {
            let store = StoreStatus {
                path: "/var/lib/bailiff/bailiff.db".into(),
                error: error.map(str::to_owned),
                room,
                ..StoreStatus::default()
            };
            anstream::adapter::strip_str(&store_warning(&store, 2048)).to_string()
        };
        assert_eq!(told(None, Some(LITTLE_ROOM)), "");
        assert_eq!(told(None, None), "");
        let nearly = told(None, Some(4096));
        assert!(
            nearly.contains("NEARLY FULL: /var/lib/bailiff (4 KiB"),
            "{nearly}"
        );
        let full = told(
            Some("database or disk is full (the disk is full: free some space)"),
            Some(0),
        );
        for words in [
            "NOT RECORDING: database",
            "2 KiB now",
            "Free some space",
            "(0 KiB",
        ] {
            assert!(full.contains(words), "{words}: {full}");
        }
        assert!(told(Some("disk I/O error"), None).contains("NOT RECORDING: disk"));
    }
}
