//! The process that becomes the command.

use std::{
    convert::Infallible,
    ffi::{CString, OsStr, OsString},
    fs::File,
    io::{Read, Write},
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::Path,
};

use nix::{
    errno::Errno,
    sys::{
        prctl,
        signal::{SigHandler, Signal, signal},
    },
    unistd::execve,
};

use super::environment::Handed;
use super::filter;
use crate::{
    api::{Enrol, Summary, routes},
    cli::{
        failure::{NOT_EXECUTABLE, NOT_FOUND, RUN_FAILED},
        output::block_on,
    },
    client::Client,
    render::escape,
};

/// What the child is to become.
pub(super) struct Launch<'a> {
    pub(super) client: &'a Client,
    pub(super) program: &'a Path,
    pub(super) arguments: &'a [OsString],
    /// A terminal was made for it.
    pub(super) own_terminal: bool,
}

/// Waits for the session, enrols, executes. Never returns: what fails is told to the parent.
pub(super) fn main(launch: &Launch<'_>, go: OwnedFd, report: OwnedFd) -> ! {
    let mut message = Vec::new();
    let read = File::from(go).read_to_end(&mut message);
    if let Some((session, environment)) = read.ok().and_then(|_| Handed::read(&message)) {
        let failure = match become_command(launch, &session, &environment) {
            Ok(never) => match never {},
            Err(failure) => failure,
        };
        let _ = File::from(report).write_all(failure.write().as_bytes());
    }
    std::process::exit(RUN_FAILED.into())
}

/// Tells the parent that the command could not be started. Never returns.
pub(super) fn fail(error: &dyn std::fmt::Display, report: OwnedFd) -> ! {
    let failure = ChildFailure::Start(format!("cannot give it a terminal: {error}"));
    let _ = File::from(report).write_all(failure.write().as_bytes());
    std::process::exit(RUN_FAILED.into())
}

fn become_command(
    launch: &Launch<'_>,
    session: &str,
    environment: &[CString],
) -> Result<Infallible, ChildFailure> {
    let failed = |error: &dyn std::fmt::Display| ChildFailure::Start(error.to_string());
    let said = Enrol {
        own_terminal: launch.own_terminal,
    };
    block_on(launch.client.post(&routes::ENROL.of(session), &said))
        .map_err(|error| failed(&error))?
        .map_err(|error| failed(&error))?;
    execute(
        launch.program,
        launch.arguments,
        environment,
        Descriptors::Standard,
    )
}

/// What a command is handed over of this process's descriptors.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Descriptors {
    /// The standard ones.
    Standard,
    /// Those, and what a service manager hands over by `LISTEN_FDS`.
    Service,
}

/// Executes a command in a session.
pub(in crate::cli) fn execute(
    program: &Path,
    arguments: &[OsString],
    environment: &[CString],
    descriptors: Descriptors,
) -> Result<Infallible, ChildFailure> {
    let failed = |error: &dyn std::fmt::Display| ChildFailure::Start(error.to_string());
    let bytes = |text: &OsStr| CString::new(text.as_bytes()).map_err(|error| failed(&error));
    let program = bytes(program.as_os_str())?;
    let mut arguments = arguments
        .iter()
        .map(|argument| bytes(argument))
        .collect::<Result<Vec<_>, _>>()?;
    confine(descriptors).map_err(|error| failed(&error))?;
    filter::install().map_err(|error| failed(&error))?;
    let Err(error) = execve(&program, &arguments, environment);
    if error == Errno::ENOEXEC {
        // A script without `#!`, as a shell runs it.
        arguments[0] = program;
        arguments.insert(0, c"sh".into());
        let Err(error) = execve(c"/bin/sh", &arguments, environment);
        return Err(ChildFailure::Exec(error as i32));
    }
    Err(ChildFailure::Exec(error as i32))
}

/// What the command must not inherit.
fn confine(descriptors: Descriptors) -> Result<(), Errno> {
    prctl::set_no_new_privs()?;
    // Rust's runtime ignores it; a command expects the default.
    // SAFETY: no handler is installed.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }?;
    // Closed by the exec, so that its failure can still be told.
    // SAFETY: changes flags of descriptors only.
    let result = unsafe {
        libc::close_range(
            first_closed(descriptors),
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC as i32,
        )
    };
    Errno::result(result).map(drop)
}

/// The first descriptor that the command does not get.
fn first_closed(descriptors: Descriptors) -> libc::c_uint {
    const STANDARD: libc::c_uint = 3;
    let number = |name| std::env::var(name).ok()?.parse::<u32>().ok();
    let is_meant = number("LISTEN_PID") == Some(std::process::id());
    match descriptors {
        Descriptors::Service if is_meant => {
            STANDARD.saturating_add(number("LISTEN_FDS").unwrap_or(0))
        }
        Descriptors::Service | Descriptors::Standard => STANDARD,
    }
}

/// Why the command was never executed.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) enum ChildFailure {
    /// The error number of `execve`.
    Exec(i32),
    /// Something before that.
    Start(String),
}

impl ChildFailure {
    fn write(&self) -> String {
        match self {
            Self::Exec(number) => format!("exec {number}"),
            Self::Start(message) => format!("start {message}"),
        }
    }

    pub(super) fn read(text: &str) -> Self {
        let number = text
            .strip_prefix("exec ")
            .and_then(|number| number.parse().ok());
        number.map_or_else(
            || Self::Start(text.strip_prefix("start ").unwrap_or(text).into()),
            Self::Exec,
        )
    }

    pub(in crate::cli) fn code(&self) -> u8 {
        match self {
            Self::Exec(libc::ENOENT) => NOT_FOUND,
            Self::Exec(_) => NOT_EXECUTABLE,
            Self::Start(_) => RUN_FAILED,
        }
    }

    /// Whether it is what a refusal looks like.
    pub(in crate::cli) fn may_be_refusal(&self) -> bool {
        matches!(self, Self::Exec(libc::EACCES | libc::EPERM))
    }

    /// What went wrong, with the refusal that did it where one did.
    pub(in crate::cli) fn explain(
        &self,
        command: &str,
        grant: &str,
        summary: Option<&Summary>,
    ) -> String {
        let number = match self {
            Self::Exec(number) => *number,
            Self::Start(message) => return message.clone(),
        };
        let error = Errno::from_raw(number);
        let refusal = summary.and_then(|summary| summary.refusals.first());
        match (error, refusal) {
            (Errno::EACCES | Errno::EPERM, Some(refusal)) => format!(
                "cannot run `{}`: the grant `{}` does not allow {} on {}",
                escape(command),
                escape(grant),
                escape(refusal.right.as_str()),
                escape(&refusal.object)
            ),
            (Errno::ENOENT, _) => format!(
                "cannot run `{}`: it, or the interpreter that it names, is not there",
                escape(command)
            ),
            _ => format!("cannot run `{}`: {}", escape(command), error.desc()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_survives_the_pipe() {
        for failure in [
            ChildFailure::Exec(13),
            ChildFailure::Start("no daemon".into()),
        ] {
            assert_eq!(ChildFailure::read(&failure.write()), failure);
        }
        assert_eq!(ChildFailure::Exec(libc::EACCES).code(), 126);
        assert_eq!(ChildFailure::Exec(libc::ENOENT).code(), 127);
    }
}
