//! Cgroups as plain directories: what the kernel does when one is written to is done here.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{cgroup::Filesystem, kernel::memory::MemoryKernel};

const FILES: [&str; 4] = [
    "cgroup.procs",
    "cgroup.events",
    "cgroup.freeze",
    "cgroup.kill",
];

/// Processes, and the cgroups that they are in.
pub(super) struct Cgroups {
    kernel: MemoryKernel,
    processes: Mutex<BTreeMap<u32, Process>>,
}

struct Process {
    child: Child,
    /// `None`: in none that sessions have to do with.
    cgroup: Option<PathBuf>,
}

impl fmt::Debug for Cgroups {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Cgroups")
    }
}

impl Cgroups {
    pub(super) fn new(kernel: MemoryKernel) -> Self {
        Self {
            kernel,
            processes: Mutex::default(),
        }
    }

    fn processes(&self) -> MutexGuard<'_, BTreeMap<u32, Process>> {
        self.processes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A process that does nothing by itself.
    pub(super) fn spawn(&self) -> u32 {
        let child = Command::new("sleep")
            .arg("600")
            // Whoever waits for the output of the tests does not wait for it.
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pid = child.id();
        let process = Process {
            child,
            cgroup: None,
        };
        self.processes().insert(pid, process);
        pid
    }

    /// Ends a process, and returns when it has ended.
    pub(super) fn end(&self, pid: u32) {
        let Some(mut process) = self.processes().remove(&pid) else {
            return;
        };
        process.child.kill().unwrap();
        process.child.wait().unwrap();
        self.kernel.exit(pid);
        if let Some(cgroup) = process.cgroup {
            self.write_down(&cgroup);
        }
    }

    /// Ends all of them.
    pub(super) fn end_all(&self) {
        for process in self.processes().values_mut() {
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
    }

    /// Moves a process into a cgroup.
    pub(super) fn enter(&self, pid: u32, cgroup: &Path) -> io::Result<()> {
        let cgroup = fs::canonicalize(cgroup)?;
        let id = fs::metadata(&cgroup)?.ino();
        let before = match self.processes().get_mut(&pid) {
            Some(process) => process.cgroup.replace(cgroup.clone()),
            None => return Err(io::Error::from_raw_os_error(libc::ESRCH)),
        };
        self.kernel.enter(pid, id);
        for changed in before.iter().chain([&cgroup]) {
            self.write_down(changed);
        }
        Ok(())
    }

    fn inside(&self, cgroup: &Path) -> Vec<u32> {
        let processes = self.processes();
        let inside = processes
            .iter()
            .filter(|(_, process)| process.cgroup.as_deref() == Some(cgroup));
        inside.map(|(pid, _)| *pid).collect()
    }

    /// What a cgroup's files say. Those of one that was removed say nothing.
    fn write_down(&self, cgroup: &Path) {
        let inside = self.inside(cgroup);
        let lines = inside.iter().map(|pid| format!("{pid}\n"));
        let populated = u8::from(!inside.is_empty());
        let _ = replace(&cgroup.join("cgroup.procs"), &lines.collect::<String>());
        let _ = replace(
            &cgroup.join("cgroup.events"),
            &format!("populated {populated}\nfrozen 0\n"),
        );
    }
}

/// Whoever reads meanwhile reads all of the old text or all of the new.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    static NUMBER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let new = file.with_extension(format!("new-{number}"));
    fs::write(&new, text)?;
    fs::rename(new, file)
}

impl Filesystem for Cgroups {
    fn make(&self, cgroup: &Path) -> io::Result<()> {
        fs::create_dir_all(cgroup)?;
        for file in FILES {
            let path = cgroup.join(file);
            fs::File::options().create(true).append(true).open(path)?;
        }
        Ok(())
    }

    fn write(&self, cgroup: &Path, file: &str, text: &str) -> io::Result<()> {
        match file {
            "cgroup.procs" => {
                let pid = text.trim().parse().map_err(io::Error::other)?;
                self.enter(pid, cgroup)
            }
            "cgroup.kill" => {
                for pid in self.inside(&fs::canonicalize(cgroup)?) {
                    self.end(pid);
                }
                Ok(())
            }
            other => fs::write(cgroup.join(other), text),
        }
    }

    fn remove(&self, cgroup: &Path) -> io::Result<()> {
        if !self.inside(&fs::canonicalize(cgroup)?).is_empty() {
            return Err(io::Error::from_raw_os_error(libc::EBUSY));
        }
        fs::remove_dir_all(cgroup)
    }
}
