//! The daemon of a run.

use std::{
    fs,
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::{Check, Doing, process};

pub(crate) const BAILIFF: &str = "/usr/bin/bailiff";
const LOG: &str = "/run/scenarios/daemon.log";

/// A running `bailiff daemon`; ended with this value.
pub(crate) struct Daemon {
    child: Child,
}

impl Daemon {
    /// Starts it and waits until it answers.
    pub(crate) fn start() -> Check<Self> {
        Self::start_with(&[])
    }

    /// The same, with more arguments.
    pub(crate) fn start_with(arguments: &[&str]) -> Check<Self> {
        fs::create_dir_all("/run/scenarios").doing("make /run/scenarios")?;
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(LOG)
            .doing("open the daemon's log")?;
        let copy = log.try_clone().doing("open the daemon's log")?;
        let mut command = Command::new(BAILIFF);
        command
            .arg("daemon")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(copy)
            .process_group(0);
        let child = command.spawn().doing("start bailiff daemon")?;
        let mut daemon = Self { child };
        let until = Instant::now() + Duration::from_secs(300);
        loop {
            if process::run(&[BAILIFF, "status", "--json"])?.code == 0 {
                return Ok(daemon);
            }
            if let Some(status) = daemon.child.try_wait().doing("wait")? {
                return Err(format!("the daemon ended with {status}: {}", Self::log()));
            }
            if Instant::now() > until {
                return Err(format!("the daemon does not answer: {}", Self::log()));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Whether it ended by itself, or was told to.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// SIGKILL, at once.
    pub(crate) fn kill(&mut self) -> Check {
        self.child.kill().doing("kill the daemon")?;
        self.child.wait().doing("wait for the daemon").map(drop)
    }

    /// The end of what it logged.
    pub(crate) fn log() -> String {
        let text = fs::read_to_string(LOG).unwrap_or_default();
        let lines = text.lines().collect::<Vec<_>>();
        lines[lines.len().saturating_sub(12)..].join(" | ")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
