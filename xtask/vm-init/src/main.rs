//! Process 1 of the test VM.
//!
//! Loads the modules that the initramfs carries, waits on the virtio port for its job, prepares
//! the root that the job asks for, runs the command with its streams carried over the port, and
//! powers the machine off. If the job names another process 1, a child does that beside it. Whatever it cannot do it reports over the port instead of going on.

mod command;
mod devices;
mod init;
mod modules;
mod network;
mod payload;
mod port;
mod root;

use anyhow::{Context, Result};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, sethostname};
use vm_init::frame::{self, Kind};
use vm_init::job::Job;

fn main() {
    if let Err(error) = run() {
        // The port may be what failed, so the kernel's log gets the reason too.
        let text = format!("{error:#}");
        let _ = std::fs::write("/dev/kmsg", format!("vm-init: {text}\n"));
        if let Ok(mut port) = port::open() {
            let _ = frame::send(&mut port, Kind::Failed, text.as_bytes());
        }
    }
    power_off();
}

fn run() -> Result<()> {
    root::mount_early()?;
    modules::load_carried()?;
    let mut port = port::open()?;
    match serve(&mut port) {
        Ok(code) => frame::send(&mut port, Kind::Exit, &code.to_le_bytes()).context("send status"),
        Err(error) => frame::send(&mut port, Kind::Failed, format!("{error:#}").as_bytes())
            .context("send failure"),
    }
}

fn serve(port: &mut std::fs::File) -> Result<i32> {
    frame::send(port, Kind::Ready, &[])?;
    let first = frame::receive(port)?.context("the host hung up before it sent a job")?;
    anyhow::ensure!(
        first.kind == Kind::Job,
        "expected a job, got {:?}",
        first.kind
    );
    let job = Job::decode(&first.payload)?;
    let payload = payload::open()?;
    if let Some(disk) = &job.root {
        root::switch_to(disk)?;
    }
    root::mount_all(job.modules.as_deref())?;
    payload::install(&payload)?;
    network::loopback_up()?;
    sethostname("vm")?;
    if let Some(init) = &job.init {
        init::hand_over(init)?;
    }
    frame::send(port, Kind::Started, &[])?;
    command::run(port, &job)
}

fn power_off() -> ! {
    let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
    // SAFETY: sync(2) takes no arguments and cannot fail.
    unsafe { nix::libc::sync() };
    let _ = reboot(RebootMode::RB_POWER_OFF);
    // Process 1 must not return; the host's time limit ends a machine that cannot power off.
    loop {
        std::thread::park();
    }
}
