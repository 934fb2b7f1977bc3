//! `bailiff daemon`, and what it says of itself.

use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub(crate) const BAILIFF: &str = "/usr/bin/bailiff";

/// The daemon, running; killed with this value. Its programs stay, and its sessions.
pub(crate) struct Daemon {
    child: Child,
}

impl Daemon {
    /// Started, and ready to answer.
    pub(crate) fn start() -> Result<Self> {
        Self::start_by(Command::new(BAILIFF))
    }

    /// The same by a command that says where it runs.
    pub(crate) fn start_by(mut command: Command) -> Result<Self> {
        let path = PathBuf::from("/run/bench-ready");
        let _ = fs::remove_file(&path);
        let ready = UnixDatagram::bind(&path).context("listen for the daemon")?;
        ready.set_read_timeout(Some(Duration::from_secs(1)))?;
        let child = command
            .arg("daemon")
            .env("BAILIFF_LOG", "warn")
            .env("NOTIFY_SOCKET", &path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("start bailiff daemon")?;
        let mut daemon = Self { child };
        while !is_ready(&ready)? {
            if let Some(status) = daemon.child.try_wait()? {
                bail!("bailiff daemon ended with {status}");
            }
        }
        Ok(daemon)
    }

    /// Ends it as a service is ended.
    pub(crate) fn stop(mut self) -> Result<()> {
        terminate(&self.child);
        self.child.wait()?;
        Ok(())
    }

    /// Memory that is resident, in KiB, to the page.
    pub(crate) fn resident(&self) -> Result<u64> {
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        text.lines()
            .find_map(|line| line.strip_prefix("Rss:")?.trim().strip_suffix(" kB"))
            .and_then(|number| number.parse().ok())
            .with_context(|| format!("no memory in {path}"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks a child to end.
pub(crate) fn terminate(child: &Child) {
    // SAFETY: signals a child that nobody has waited for.
    unsafe { libc::kill(child.id().cast_signed(), libc::SIGTERM) };
}

fn is_ready(socket: &UnixDatagram) -> Result<bool> {
    let mut text = [0; 256];
    match socket.recv(&mut text) {
        Ok(length) => Ok(text[..length].starts_with(b"READY=1")),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error).context("hear from the daemon"),
    }
}

/// Runs a command of `bailiff` that says nothing of interest.
pub(crate) fn bailiff(arguments: &[&str]) -> Result<()> {
    let status = Command::new(BAILIFF)
        .args(arguments)
        .stdout(Stdio::null())
        .status()?;
    ensure!(
        status.success(),
        "bailiff {arguments:?} ended with {status}"
    );
    Ok(())
}
