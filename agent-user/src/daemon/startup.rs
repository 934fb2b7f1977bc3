//! From nothing to a daemon that answers, with a clear word where that cannot be.

use std::{
    fs, io,
    os::unix::{
        fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use nix::fcntl::{AT_FDCWD, Flock, FlockArg, OFlag, OpenHow, openat2};
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

use super::{
    assembly::{Parts, Streams},
    heap, log,
    requests::{door, router::router, shares::provide_descriptors},
    state::Daemon,
};
use crate::{
    api::doctor::HostCheck,
    attachments,
    cgroup::Hierarchy,
    clock::boot_id,
    grants::OwnFiles,
    kernel::{Kernel, Labels, claim, diagnose},
    store::{Retention, Store},
};

/// What the command line says.
#[derive(Clone, Debug)]
pub struct Settings {
    pub socket: PathBuf,
    pub state: PathBuf,
    pub retention: Retention,
}

/// What holds while nothing can be written down.
const UNRECORDED: &str = "Sessions that are in force stay limited, and their events wait in the \
    kernel; no session starts until there is room, and then all goes on by itself";

/// Runs the daemon until it is told to end.
pub fn main(settings: &Settings) -> anyhow::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!(
            "the daemon loads programs into the kernel and must run as root: use `sudo`, or the \
               systemd unit (`systemctl start bailiff`)"
        );
    }
    log::start();
    provide_descriptors();
    let _lock = lock(&settings.socket)?;
    // Loading takes seconds, in which a session that may signal any process could end each that starts.
    claim();
    let hierarchy = Hierarchy::find()?;
    refuse(&diagnose())?;
    tell_filtered();
    let store = Store::open(&settings.state)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()?;
    let result = runtime.block_on(serve(settings, hierarchy, store));
    runtime.shutdown_background();
    result
}

/// One daemon on a host: the lock goes when its process does.
fn lock(socket: &Path) -> anyhow::Result<Flock<fs::File>> {
    let directory = socket.parent().unwrap_or(Path::new("/"));
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(directory)
        .with_context(|| format!("cannot make the directory {}", directory.display()))?;
    let path = directory.join("bailiff.lock");
    let file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .read(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    // Whoever can open it can lock it, and so keep the next daemon from starting.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => {
            lock.set_len(0)?;
            io::Write::write_all(&mut &*lock, format!("{}\n", std::process::id()).as_bytes())?;
            Ok(lock)
        }
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
            let pid = fs::read_to_string(&path).unwrap_or_default();
            bail!(
                "another daemon runs already (pid {}): there is one for the host; \
                 `bailiff status` shows it",
                pid.trim()
            )
        }
        Err((_, error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// Refuses to start where the kernel cannot do what enforcement needs.
fn refuse(checks: &[HostCheck]) -> anyhow::Result<()> {
    let bad = checks.iter().filter(|check| !check.ok);
    let lines = bad
        .map(|check| {
            let remedy = check.remedy.as_deref().unwrap_or("see `bailiff doctor`");
            format!("  {}: {}\n    -> {remedy}", check.name, check.found)
        })
        .collect::<Vec<_>>();
    if lines.is_empty() {
        return Ok(());
    }
    bail!("this host cannot enforce grants:\n{}", lines.join("\n"))
}

/// Tells where a system call that is on every kernel of the range was kept from the daemon. What it does without
/// is stricter, and nobody would see why.
fn tell_filtered() {
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC);
    if let Err(error) = openat2(AT_FDCWD, "/", how) {
        tracing::warn!(
            "openat2() is kept from the daemon ({error}): links on overlays, as in images of containers, are not \
             followed. A unit with RestrictSUIDSGID= does that: compare yours with the one of this version"
        );
    }
}

async fn serve(settings: &Settings, hierarchy: Hierarchy, store: Store) -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let events = kernel
        .take_events()
        .context("the stream of events was taken already")?;
    let notices = kernel
        .take_notices()
        .context("the stream of notices was taken already")?;
    let (daemon, drains) = Daemon::assemble(Parts {
        kernel: Box::new(kernel),
        labels: Box::new(Labels::open()?),
        hierarchy,
        store,
        retention: settings.retention,
        own: OwnFiles {
            socket: settings.socket.clone(),
            state: settings.state.clone(),
        },
        boot_id: boot_id(),
        attach_directory: attachments::DIRECTORY.into(),
    })?;
    if let Some(error) = daemon.writer.status().error {
        tracing::error!("NOT RECORDING: {error}. {UNRECORDED}");
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let streams = Streams {
        events: Box::new(events),
        notices: Box::new(notices),
    };
    daemon.take_over(streams, drains).await?;
    daemon.self_test().await?;
    // Before anybody is told that the daemon is there: units that are ordered after it come under their grants.
    if let Err(error) = daemon.load_attachments().await {
        tracing::error!("attachments hold as they did before: {error}");
    }
    heap::give_back();
    let listener = listen(&settings.socket)?;
    door::open(Arc::clone(&daemon), listener, router(Arc::clone(&daemon)))?;
    tracing::info!("listening on {}", settings.socket.display());
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    let _ = fs::remove_file(&settings.socket);
    daemon.leave_arrivals().await;
    daemon.flush_events().await;
    tracing::info!("ending; what is in force stays in force");
    Ok(())
}

/// The socket. Everybody may connect: who is answered what depends on who asks.
fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot replace {}", path.display()));
        }
        _ => {}
    }
    let listener =
        UnixListener::bind(path).with_context(|| format!("cannot listen on {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_is_told_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("run/bailiff.sock");
        let first = lock(&socket).unwrap();
        let error = lock(&socket).unwrap_err().to_string();
        assert!(
            error.contains(&format!("pid {}", std::process::id())),
            "{error}"
        );
        drop(first);
        assert!(lock(&socket).is_ok());
    }

    #[test]
    fn what_is_missing_is_said_with_its_remedy() {
        let check = |ok| HostCheck {
            name: "LSM list".into(),
            ok,
            found: "bpf is not in it".into(),
            remedy: Some("boot with lsm=…,bpf".into()),
        };
        assert!(refuse(&[check(true)]).is_ok());
        let error = refuse(&[check(true), check(false)])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("bpf is not in it") && error.contains("-> boot with"),
            "{error}"
        );
    }
}
