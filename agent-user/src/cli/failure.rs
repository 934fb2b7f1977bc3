//! How a command ends that could not do its work.

use std::{error::Error, io::Write as _, process::ExitCode};

use super::output::block_on;
use crate::{
    api::{FailureCode, routes},
    client::{Client, ClientError},
    grants::GrantError,
    render::{diagnostic::Colours, escape::settle, style},
};

/// The command was used wrongly, or what it was given is wrong.
pub(super) const USAGE: u8 = 2;
/// The daemon could not be reached, or would not.
pub(super) const FAILED: u8 = 1;
/// As a shell: found, but not to be executed.
pub(super) const NOT_EXECUTABLE: u8 = 126;
/// As a shell: not found.
pub(super) const NOT_FOUND: u8 = 127;
/// `run` failed by itself, before or after its command.
pub(super) const RUN_FAILED: u8 = 125;

/// Prints the error and what caused it, in one message.
pub(super) fn report(error: &anyhow::Error) -> ExitCode {
    say(&message(error));
    let wrong_grant = error.downcast_ref::<GrantError>().is_some()
        || matches!(
            error.downcast_ref::<ClientError>(),
            Some(ClientError::Refused(failure)) if failure.code == FailureCode::BadGrant
        );
    ExitCode::from(if wrong_grant { USAGE } else { FAILED })
}

/// An error and its causes; messages that tell their cause already are not told it again.
fn message(error: &anyhow::Error) -> String {
    let mut chain = error.chain().map(shown);
    let mut text = chain.next().unwrap_or_default();
    for cause in chain {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// One error of a chain; mistakes in a grant in colours.
fn shown(error: &(dyn Error + 'static)) -> String {
    error
        .downcast_ref::<GrantError>()
        .map_or_else(|| error.to_string(), |error| error.shown(Colours::Styled))
}

/// Whether the daemon would answer anybody but a process of a session, which this one is.
pub(super) fn is_from_inside(error: &ClientError) -> bool {
    matches!(error, ClientError::Refused(failure) if failure.code == FailureCode::Labelled)
}

/// What keeps a command from its work that could not even read its grant: where it runs in a session, that
/// comes first.
pub(super) fn or_inside(client: &Client, error: anyhow::Error) -> anyhow::Error {
    match block_on(client.get(&routes::STATUS.place())) {
        Ok(Err(refused)) if is_from_inside(&refused) => refused.into(),
        _ => error,
    }
}

/// Prints a message of this program's own to standard error.
pub(super) fn say(message: &str) {
    tell(&format!(
        "{} {message}",
        style::paint("bailiff:", style::BAD)
    ));
}

/// Prints a remark.
pub(super) fn note(message: &str) {
    tell(&format!(
        "{} {message}",
        style::paint("bailiff:", style::WARN)
    ));
}

/// Prints a line to standard error. Where that takes nothing (a full disk, a pipe that nobody reads) there
/// is nobody left to tell, and the exit code says the rest.
pub(super) fn tell(line: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{}", settle(line));
}
