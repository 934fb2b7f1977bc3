//! Programs that set up what they execute next, and leave an armed label armed: systemd's executor, which
//! systemd puts into a service's cgroup from its first instruction on (255 and later), and runtimes of containers
//! that execute themselves.

use std::{
    fs::{self, File},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

use agent_abi::launcher::Runtime;
use nix::sys::stat::fstat;

use super::state::Daemon;
use crate::{attachments::runtimes, mounts::parse};

const EXECUTOR: &str = "systemd-executor";

const DIRECTORIES: [&str; 2] = ["/usr/lib/systemd", "/lib/systemd"];

/// The files of these, each kept open: a mark lasts as long as the file is in memory, and a number is no other
/// file's.
pub(super) type Launchers = Vec<OwnedFd>;

impl Daemon {
    /// Marks the launchers of this host; again after an upgrade of systemd, which has another file then.
    pub(super) fn mark_launchers(&self) {
        let found = found();
        for launcher in &found {
            let marked = self.kernel().mark_launcher(launcher);
            if let Err(error) = marked {
                tracing::warn!(
                    "services that are limited from their program on may not start: what launches them is \
                     not known to the kernel side: {error}"
                );
            }
        }
        let runtimes = runtimes::places()
            .filter_map(|path| open(&path))
            .collect::<Vec<_>>();
        let known = runtimes.iter().filter_map(runtime_of).collect::<Vec<_>>();
        let marked = self.kernel().set_runtimes(&known);
        if let Err(error) = marked {
            tracing::warn!("containers of runc that are limited may not start: {error}");
        }
        let found = found.into_iter().chain(runtimes).collect();
        // Those of before go only now.
        *self
            .launchers
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = found;
    }
}

fn found() -> Vec<OwnedFd> {
    let installed = DIRECTORIES
        .iter()
        .filter_map(|directory| open(&Path::new(directory).join(EXECUTOR)));
    held_by_init().chain(installed).collect()
}

/// The executor that systemd has open, which an upgrade does not change before systemd is started anew.
///
/// A service can have systemd keep any descriptor (`FDSTORE=1`). So it must be where the executor is, by its
/// path and by its mount: a path alone may be one of another mount namespace.
fn held_by_init() -> impl Iterator<Item = OwnedFd> {
    let descriptors = fs::read_dir("/proc/1/fd").into_iter().flatten().flatten();
    let places = DIRECTORIES
        .map(|directory| mount_of(&look_at(&Path::new("/proc/1/root").join(&directory[1..]))?));
    descriptors
        .filter(|entry| fs::read_link(entry.path()).is_ok_and(|path| is_executor(&path)))
        .filter_map(|entry| open(&entry.path()))
        // By what was opened: systemd may have closed its own meanwhile.
        .filter(|opened| path_of(opened).is_some_and(|path| is_executor(&path)))
        .filter(move |opened| mount_of(opened).is_some_and(|id| places.contains(&Some(id))))
}

/// How the kernel side knows a runtime. The device is its mount's, since a file of btrfs tells another.
fn runtime_of(opened: &OwnedFd) -> Option<Runtime> {
    let mount = mount_of(opened)?;
    let mounts = parse(&fs::read("/proc/self/mountinfo").ok()?).ok()?;
    let mount = mounts.iter().find(|known| u64::from(known.id) == mount)?;
    let host = fs::metadata("/proc/1/ns/mnt").or_else(|_| fs::metadata("/proc/self/ns/mnt"));
    Some(Runtime {
        inode: fstat(opened).ok()?.st_ino,
        device: mount.dev,
        namespace: u32::try_from(host.ok()?.ino()).ok()?,
    })
}

fn is_executor(path: &Path) -> bool {
    let path = path.to_string_lossy();
    let path = path.trim_end_matches(" (deleted)");
    DIRECTORIES
        .iter()
        .any(|directory| Path::new(directory).join(EXECUTOR) == Path::new(path))
}

fn path_of(opened: &OwnedFd) -> Option<PathBuf> {
    fs::read_link(format!("/proc/self/fd/{}", opened.as_raw_fd())).ok()
}

fn mount_of(opened: &OwnedFd) -> Option<u64> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", opened.as_raw_fd())).ok()?;
    let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?;
    id.trim().parse().ok()
}

/// Opens a program that nobody but root can have written.
fn open(path: &Path) -> Option<OwnedFd> {
    let file = File::from(look_at(path)?);
    let found = file.metadata().ok()?;
    let is_roots = found.is_file() && found.uid() == 0 && found.mode() & 0o022 == 0;
    is_roots.then(|| file.into())
}

/// Without opening it for anything: a pipe would let the daemon wait for its other end.
fn look_at(path: &Path) -> Option<OwnedFd> {
    let mut options = File::options();
    let options = options.read(true).custom_flags(libc::O_PATH);
    options.open(path).ok().map(OwnedFd::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executor_is_known_by_its_whole_path() {
        let known = |path: &str| is_executor(Path::new(path));
        assert!(known("/usr/lib/systemd/systemd-executor"));
        assert!(known("/lib/systemd/systemd-executor (deleted)"));
        assert!(!known("/srv/agent/systemd-executor"));
        assert!(!known("/srv/usr/lib/systemd/systemd-executor"));
        assert!(!known("/usr/lib/systemd/systemd-executor.new"));
    }

    #[test]
    fn a_runtime_is_known_by_numbers() {
        let program = std::env::current_exe().unwrap();
        let known = runtime_of(&look_at(&program).unwrap()).unwrap();
        assert_eq!(known.inode, fs::metadata(&program).unwrap().ino());
        assert!(known.device != 0 && known.namespace != 0);
    }

    #[test]
    fn a_pipe_keeps_nobody_waiting() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join(EXECUTOR);
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert!(open(&pipe).is_none());
        let opened = look_at(&pipe).unwrap();
        assert_eq!(path_of(&opened), Some(pipe));
        assert!(mount_of(&opened).is_some());
    }
}
