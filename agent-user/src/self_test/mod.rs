//! Whether refusals fire: a scratch session under a grant of its own tries, for each family of hooks,
//! what it must not do and what it may.
//!
//! The daemon does this before it answers anybody, on slot 0; `bailiff doctor --self-test` does it in
//! a session like any other, where the refusals have to be recorded, too.

mod acts;
mod place;

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::fd::AsFd,
    path::Path,
    process::{Child, ChildStdout, Command, ExitCode, Stdio},
};

use nix::poll::{PollFd, PollFlags, poll};

pub use acts::{ACTS, Act, SYSTEM_CALLS};
pub use place::{Others, Place};

use crate::api::doctor::{ActResult, TriedAct};

/// The word that makes this program do the acts.
pub const COMMAND: &str = "self-test-acts";

/// How long an act may take, in milliseconds: whoever waits here must not wait for ever.
const PATIENCE: u16 = 30_000;

/// The process that does the acts.
pub struct Scratch {
    child: Child,
    out: BufReader<ChildStdout>,
    /// Its session, where `bailiff run` made one.
    pub session: Option<String>,
}

impl Scratch {
    fn start(command: &mut Command) -> io::Result<Self> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let out = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut scratch = Scratch {
            child,
            out: BufReader::new(out),
            session: None,
        };
        let line = scratch.line()?;
        let mut words = line.split_whitespace();
        if words.next() != Some("ready") {
            let mut said = String::new();
            if let Some(mut errors) = scratch.child.stderr.take() {
                errors.read_to_string(&mut said)?;
            }
            return Err(io::Error::other(format!(
                "the scratch session did not start: {}",
                said.trim()
            )));
        }
        scratch.session = words.next().map(Into::into);
        Ok(scratch)
    }

    /// What it says next; nothing where it has ended.
    fn line(&mut self) -> io::Result<String> {
        if self.out.buffer().is_empty() {
            let out = self.out.get_ref().as_fd();
            let mut waiting = [PollFd::new(out, PollFlags::POLLIN)];
            if poll(&mut waiting, PATIENCE)? == 0 {
                return Err(io::Error::other("the scratch process does not go on"));
            }
        }
        let mut line = String::new();
        self.out.read_line(&mut line)?;
        Ok(line)
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it do them, now that it is in its session.
    ///
    /// # Errors
    /// It ended before it had done all.
    pub fn go(&mut self) -> io::Result<Vec<TriedAct>> {
        let mut input = self.child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        input.write_all(b"\n")?;
        drop(input);
        let mut outcomes = Vec::new();
        for act in ACTS {
            let line = self.line()?;
            let numbers = line
                .split_whitespace()
                .filter_map(|word| word.parse::<i32>().ok())
                .collect::<Vec<_>>();
            let [_, refused, twin] = numbers[..] else {
                return Err(io::Error::other(format!(
                    "the scratch process ended before it had tried `{}`",
                    act.what
                )));
            };
            outcomes.push(TriedAct::of(act, refused, twin));
        }
        // It has nothing more to do.
        self.child.wait()?;
        Ok(outcomes)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const LET_THROUGH: &str = "it was not refused";

/// Instead of an error's number.
const NEEDS_ROOT: i32 = -2;

impl TriedAct {
    fn of(act: &Act, refused: i32, twin: i32) -> Self {
        let name = |number| io::Error::from_raw_os_error(number).to_string();
        let (result, note) = match (refused, twin) {
            (NEEDS_ROOT, _) => (ActResult::Untried, Some("not tried: it needs root".into())),
            (0, _) => (ActResult::Bad, Some(LET_THROUGH.into())),
            (_, libc::EACCES | libc::EPERM) => {
                let note = format!("its twin, which is granted, was refused: {}", name(twin));
                (ActResult::Bad, Some(note))
            }
            (libc::EACCES | libc::EPERM, _) => (ActResult::Good, None),
            (other, _) => (
                ActResult::Untried,
                Some(format!("not tried: {}", name(other))),
            ),
        };
        Self {
            family: act.family.into(),
            what: act.what.into(),
            right: act.right.map(Into::into),
            result: result.into(),
            note,
        }
    }

    /// Whether an act that must be refused was not.
    #[must_use]
    pub fn is_hole(&self) -> bool {
        self.result == ActResult::Bad && self.note.as_deref() == Some(LET_THROUGH)
    }
}

/// The hidden command.
///
/// # Errors
/// Nobody listens.
pub fn main(place: &Path, program: &Path, others: &Others) -> io::Result<ExitCode> {
    acts::main(place, program, others)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_of_hooks_is_tried() {
        for family in crate::kernel::hook_families() {
            assert!(
                ACTS.iter().any(|act| act.family == family),
                "nothing in self_test/acts.rs tries the hooks of `{family}`"
            );
        }
    }

    #[test]
    fn outcomes_are_told_apart() {
        let verdict = |refused, twin| TriedAct::of(&ACTS[0], refused, twin).result;
        assert_eq!(verdict(libc::EACCES, 0), ActResult::Good);
        assert_eq!(verdict(libc::EPERM, libc::ENOSYS), ActResult::Good);
        assert_eq!(verdict(0, 0), ActResult::Bad);
        assert_eq!(verdict(libc::EACCES, libc::EACCES), ActResult::Bad);
        assert_eq!(verdict(libc::EAFNOSUPPORT, 0), ActResult::Untried);
        assert_eq!(verdict(NEEDS_ROOT, NEEDS_ROOT), ActResult::Untried);
        assert!(TriedAct::of(&ACTS[0], 0, 0).is_hole());
    }

    #[test]
    fn its_grant_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::make(dir.path()).unwrap();
        let (source, inputs) = place.grant();
        crate::grants::read(&source, &inputs).unwrap();
    }
}
