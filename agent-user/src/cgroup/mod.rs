//! cgroup v2: where it is mounted, and what the daemon does to one cgroup.

mod delegation;
mod filesystem;

use std::{
    fs,
    io::{self, Read},
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::{
            ffi::OsStrExt,
            fs::{MetadataExt, OpenOptionsExt},
        },
    },
    path::{Path, PathBuf},
    sync::Arc,
};

pub use delegation::is_delegated;
pub use filesystem::Filesystem;

use crate::mounts::{self, Mount};

/// Why there is no cgroup v2 hierarchy to work with.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum HierarchyError {
    #[error(
        "no cgroup v2 hierarchy is mounted: mount it with \
         `mount -t cgroup2 none /sys/fs/cgroup`, or boot with `systemd.unified_cgroup_hierarchy=1`"
    )]
    Missing,
    #[error(
        "this host uses cgroup v1 with cgroup v2 beside it (at {}): \
         boot with `systemd.unified_cgroup_hierarchy=1` so that cgroup v2 alone is used",
        .0.display()
    )]
    Hybrid(PathBuf),
    #[error("cannot read /proc/self/mountinfo: {0}")]
    Mounts(String),
}

/// The cgroup v2 hierarchy of this host.
#[derive(Clone, Debug)]
pub struct Hierarchy {
    root: PathBuf,
    filesystem: Arc<dyn Filesystem>,
}

impl Hierarchy {
    /// Finds where cgroup v2 is mounted.
    pub fn find() -> Result<Self, HierarchyError> {
        let text = fs::read("/proc/self/mountinfo")
            .map_err(|error| HierarchyError::Mounts(error.to_string()))?;
        let mounts =
            mounts::parse(&text).map_err(|error| HierarchyError::Mounts(error.to_string()))?;
        Self::among(&mounts)
    }

    fn among(mounts: &[Mount]) -> Result<Self, HierarchyError> {
        let path = |mount: &Mount| PathBuf::from(std::ffi::OsStr::from_bytes(&mount.point));
        let unified = mounts
            .iter()
            .find(|mount| mount.fstype == "cgroup2" && mount.root == b"/");
        let Some(unified) = unified else {
            return Err(HierarchyError::Missing);
        };
        if mounts.iter().any(|mount| mount.fstype == "cgroup") {
            return Err(HierarchyError::Hybrid(path(unified)));
        }
        Ok(Self::new(path(unified), Arc::new(filesystem::Cgroup2)))
    }

    /// One that is mounted at `root`.
    #[must_use]
    pub fn new(root: PathBuf, filesystem: Arc<dyn Filesystem>) -> Self {
        Self { root, filesystem }
    }

    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The cgroup at `path`: below the mount point, or as `/proc/PID/cgroup` writes it.
    pub fn open(&self, path: &Path) -> io::Result<Cgroup> {
        let path = path.strip_prefix(&self.root).unwrap_or(path);
        let relative = path.strip_prefix("/").unwrap_or(path);
        if relative
            .components()
            .any(|part| !matches!(part, std::path::Component::Normal(_)))
        {
            return Err(io::Error::other("a cgroup's path has no `..` or `.`"));
        }
        self.at(self.root.join(relative))
    }

    fn at(&self, path: PathBuf) -> io::Result<Cgroup> {
        let id = fs::metadata(path.join("cgroup.procs"))
            .and(fs::metadata(&path))?
            .ino();
        Ok(self.known(path, id))
    }

    /// One that is known to have been there.
    #[must_use]
    pub fn known(&self, path: PathBuf, id: u64) -> Cgroup {
        Cgroup {
            path,
            id,
            filesystem: Arc::clone(&self.filesystem),
        }
    }

    /// Below it are the cgroups that the daemon makes, where not below others'.
    #[must_use]
    pub fn own(&self) -> PathBuf {
        self.root.join("bailiff")
    }

    /// The cgroup with this id, wherever it is.
    ///
    /// # Errors
    /// `ESTALE`: there is none.
    pub fn by_id(&self, id: u64) -> io::Result<Cgroup> {
        /// `struct file_handle` with a handle of kernfs, which is the id.
        #[repr(C)]
        struct Handle {
            bytes: u32,
            kind: i32,
            id: [u8; 8],
        }
        /// `FILEID_KERNFS`
        const KERNFS: i32 = 0xfe;
        let root = fs::File::open(&self.root)?;
        let mut handle = Handle {
            bytes: 8,
            kind: KERNFS,
            id: id.to_ne_bytes(),
        };
        // SAFETY: a live handle of the size that it says, and a descriptor of the filesystem.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_open_by_handle_at,
                root.as_raw_fd(),
                &raw mut handle,
                libc::O_PATH | libc::O_CLOEXEC,
            )
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a descriptor that the kernel has just given to us.
        let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        let path = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
        Ok(self.known(path, id))
    }

    /// The cgroup of a session, below the daemon's own; made where it is not there.
    pub fn create_for(&self, session: &str) -> io::Result<Cgroup> {
        let path = self.own().join(session);
        self.filesystem.make(&path)?;
        self.at(path)
    }

    /// Every cgroup but the root, each after those above it, whose ids stand before it. What goes meanwhile is
    /// left out.
    ///
    /// # Errors
    /// The hierarchy cannot be listed.
    pub fn all(&self) -> io::Result<Vec<(Vec<u64>, Cgroup)>> {
        let mut found: Vec<(Vec<u64>, Cgroup)> = Vec::new();
        let mut next = 0;
        let mut above = Vec::new();
        let mut directory = self.root.clone();
        loop {
            let below = match children(&directory) {
                Err(error) if directory == self.root => return Err(error),
                below => below.unwrap_or_default(),
            };
            for child in below {
                if let Ok(cgroup) = self.at(child) {
                    found.push((above.clone(), cgroup));
                }
            }
            let Some((ancestors, cgroup)) = found.get(next) else {
                return Ok(found);
            };
            next += 1;
            above.clone_from(ancestors);
            above.push(cgroup.id);
            directory.clone_from(&cgroup.path);
        }
    }

    /// Its path in the hierarchy, as `/proc/PID/cgroup` writes it.
    #[must_use]
    pub fn path_of(&self, cgroup: &Cgroup) -> Vec<u8> {
        let below = cgroup.path.strip_prefix(&self.root).unwrap_or(&cgroup.path);
        [b"/", below.as_os_str().as_bytes()].concat()
    }

    /// The cgroup of a process.
    pub fn of_process(&self, pid: u32) -> io::Result<PathBuf> {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
        let path = text
            .lines()
            .find_map(|line| line.strip_prefix("0::"))
            .unwrap_or("/");
        Ok(self.root.join(path.trim_start_matches('/')))
    }
}

/// One cgroup directory.
#[derive(Clone, Debug)]
pub struct Cgroup {
    path: PathBuf,
    id: u64,
    filesystem: Arc<dyn Filesystem>,
}

impl Cgroup {
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The kernel's id of it: the directory's inode number.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether the same cgroup, and no later one of that name, is still there.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.directory().is_ok()
    }

    /// Its directory: of this very cgroup, not of a later one of that path.
    fn directory(&self) -> io::Result<fs::File> {
        let directory = fs::OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH | libc::O_DIRECTORY)
            .open(&self.path)?;
        if directory.metadata()?.ino() == self.id {
            Ok(directory)
        } else {
            Err(io::Error::from_raw_os_error(libc::ENODEV))
        }
    }

    /// Opens one of its files.
    pub fn open_file(&self, name: &str, options: &fs::OpenOptions) -> io::Result<fs::File> {
        let directory = self.directory()?;
        options.open(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()))
    }

    fn read(&self, name: &str) -> io::Result<String> {
        let mut text = String::new();
        self.open_file(name, fs::OpenOptions::new().read(true))?
            .read_to_string(&mut text)?;
        Ok(text)
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let directory = self.directory()?;
        let path = format!("/proc/self/fd/{}", directory.as_raw_fd());
        self.filesystem.write(Path::new(&path), name, text)
    }

    /// Moves a process here.
    pub fn admit(&self, pid: u32) -> io::Result<()> {
        self.write("cgroup.procs", &pid.to_string())
    }

    /// Processes here and in every cgroup below.
    pub fn processes(&self) -> io::Result<Vec<u32>> {
        let directory = self.directory()?;
        let mut found = Vec::new();
        collect(
            &PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())),
            &mut found,
        )?;
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// Whether any process, here or below, is alive.
    pub fn populated(&self) -> io::Result<bool> {
        let events = self.read("cgroup.events")?;
        Ok(events.lines().any(|line| line == "populated 1"))
    }

    /// Kills every process here and below, at once.
    pub fn kill(&self) -> io::Result<()> {
        self.write("cgroup.kill", "1")
    }

    pub fn freeze(&self, frozen: bool) -> io::Result<()> {
        self.write("cgroup.freeze", if frozen { "1" } else { "0" })
    }

    #[must_use]
    pub fn frozen(&self) -> bool {
        self.read("cgroup.freeze")
            .is_ok_and(|text| text.trim() == "1")
    }

    /// Removes it and the empty cgroups below.
    pub fn remove(&self) -> io::Result<()> {
        self.directory()?;
        self.remove_tree(&self.path)
    }

    fn remove_tree(&self, dir: &Path) -> io::Result<()> {
        for child in children(dir)? {
            self.remove_tree(&child)?;
        }
        self.filesystem.remove(dir)
    }
}

fn collect(dir: &Path, found: &mut Vec<u32>) -> io::Result<()> {
    match fs::read_to_string(dir.join("cgroup.procs")) {
        Ok(text) => found.extend(text.lines().filter_map(|line| line.parse::<u32>().ok())),
        // A threaded cgroup lists its processes in its domain.
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {}
        Err(error) => return Err(error),
    }
    for child in children(dir)? {
        match collect(&child, found) {
            Err(error) if gone(&error) => {}
            other => other?,
        }
    }
    Ok(())
}

fn children(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir)?.filter_map(Result::ok);
    Ok(entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect())
}

/// Whether an error means that the cgroup was removed meanwhile.
#[must_use]
pub fn gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn among(text: &str) -> Result<Hierarchy, HierarchyError> {
        Hierarchy::among(&mounts::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn finds_the_unified_hierarchy() {
        let found = among("30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n").unwrap();
        assert_eq!(found.root(), Path::new("/sys/fs/cgroup"));
    }

    #[test]
    fn says_what_to_do_without_one() {
        let none = among("30 25 0:26 / /sys rw - sysfs sysfs rw\n").unwrap_err();
        assert_eq!(none, HierarchyError::Missing);
        let hybrid = among(
            "30 25 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
             31 25 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
        )
        .unwrap_err();
        assert!(matches!(hybrid, HierarchyError::Hybrid(_)));
        for error in [none, hybrid] {
            assert!(
                error.to_string().contains("unified_cgroup_hierarchy=1"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_path_stays_below_the_mount() {
        let hierarchy = among("30 25 0:26 / /sys/fs/cgroup rw - cgroup2 c rw\n").unwrap();
        assert!(hierarchy.open(Path::new("/../../etc")).is_err());
    }
}
