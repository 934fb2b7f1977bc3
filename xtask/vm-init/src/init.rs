//! Another process 1: systemd, as on the machines that people have.

use anyhow::{Context, Result, ensure};
use nix::unistd::{ForkResult, fork};
use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Where `systemctl` of root talks to process 1, without a bus.
const READY: &str = "/run/systemd/private";
const PATIENCE: Duration = Duration::from_secs(120);

/// Process 1 becomes `init`, and what returns is a child of it. Returns once all its units have been
/// started, whether or not each of them succeeded.
pub(crate) fn hand_over(init: &OsStr) -> Result<()> {
    // SAFETY: this process has one thread.
    match unsafe { fork() }.context("fork")? {
        ForkResult::Child => wait_until_started(),
        ForkResult::Parent { .. } => {
            let mut command = Command::new(init);
            // The console is for the kernel, which shows what systemd writes to its log, too.
            command.args(["--system", "--unit=basic.target", "--log-target=kmsg"]);
            command.args(["--show-status=no", "--crash-action=poweroff"]);
            let error = command.exec();
            Err(error).with_context(|| format!("execute {}", init.display()))
        }
    }
}

fn wait_until_started() -> Result<()> {
    let until = Instant::now() + PATIENCE;
    while !Path::new(READY).exists() {
        ensure!(Instant::now() < until, "process 1 does not answer");
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut wait = Command::new("systemctl");
    wait.args(["is-system-running", "--wait"]);
    wait.stdin(Stdio::null()).stdout(Stdio::null());
    wait.status().context("ask systemd")?;
    Ok(())
}
