//! The mount namespace and root directory of a session, held open.

use std::{
    fs::{self, File},
    io::{self, Read, Seek},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    path::Path,
};

use nix::sys::stat::fstat;
use tokio::io::{Interest, unix::AsyncFd};

use super::{Mount, MountView, Vantage, parse, uuid};

/// How often a process is looked at that is moving.
const LOOKS: usize = 16;

/// The mounts as one process sees them, for as long as this value lives: the open files keep the
/// namespace and the root when the process is gone.
#[derive(Debug)]
pub struct MountNamespace {
    mountinfo: File,
    root: OwnedFd,
    vantage: Vantage,
    owner: u32,
}

impl MountNamespace {
    /// Of the process `pid`, through its `/proc` directory.
    pub fn of_process(pid: u32) -> io::Result<Self> {
        Self::open(Path::new(&format!("/proc/{pid}")))
    }

    fn open(process: &Path) -> io::Result<Self> {
        use nix::{fcntl, sys::stat::Mode};
        let flags = fcntl::OFlag::O_PATH | fcntl::OFlag::O_DIRECTORY | fcntl::OFlag::O_CLOEXEC;
        let namespace = || fs::metadata(process.join("ns/mnt")).map(|meta| meta.ino());
        let open_namespace = || File::open(process.join("ns/mnt"));
        // A process can go elsewhere in between.
        for _ in 0..LOOKS {
            let namespace_file = open_namespace()?;
            let before = namespace_file.metadata()?.ino();
            let root = fcntl::open(&process.join("root"), flags, Mode::empty())?;
            let mountinfo = File::open(process.join("mountinfo"))?;
            let again = fcntl::open(&process.join("root"), flags, Mode::empty())?;
            let (place, later) = (fstat(&root)?, fstat(&again)?);
            let place = (place.st_dev, place.st_ino);
            if before == namespace()? && place == (later.st_dev, later.st_ino) {
                let vantage = Vantage {
                    namespace: before,
                    root: place,
                };
                return Ok(Self {
                    mountinfo,
                    root,
                    vantage,
                    owner: owner(&namespace_file).unwrap_or(0),
                });
            }
        }
        Err(io::Error::other(
            "it changes its mount namespace or root all the time",
        ))
    }

    /// Which namespace and root it is.
    #[must_use]
    pub fn vantage(&self) -> Vantage {
        self.vantage
    }

    /// The root directory, as a base for look-ups in this namespace.
    #[must_use]
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Number of the user namespace that owns it; 0 where that cannot be told.
    #[must_use]
    pub fn owner(&self) -> u32 {
        self.owner
    }

    /// What is mounted now.
    pub fn view(&self) -> io::Result<MountView> {
        let mut mounts = self.read()?;
        if !mounts.iter().any(|mount| mount.point == b"/") {
            mounts.insert(0, self.root_of_chroot()?);
        }
        let uuids = uuid::of(&mounts, self.root());
        Ok(MountView::new(&mounts).with_uuids(uuids))
    }

    fn read(&self) -> io::Result<Vec<Mount>> {
        let mut text = Vec::new();
        let mut file = &self.mountinfo;
        file.rewind()?;
        file.read_to_end(&mut text)?;
        parse(&text).map_err(io::Error::other)
    }

    /// In a chroot the mount that holds `/` lies outside and is not listed: it is made up from
    /// this process's own list.
    fn root_of_chroot(&self) -> io::Result<Mount> {
        let fd = self.root.as_raw_fd();
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}"))?;
        let id = info
            .lines()
            .find_map(|line| line.strip_prefix("mnt_id:"))
            .and_then(|id| id.trim().parse::<u32>().ok())
            .ok_or_else(|| io::Error::other("no mnt_id in fdinfo"))?;
        let own = parse(&fs::read("/proc/self/mountinfo")?).map_err(io::Error::other)?;
        let outer = own
            .into_iter()
            .find(|mount| mount.id == id)
            .ok_or_else(|| {
                io::Error::other(
                    "its root directory is a chroot in another mount namespace; \
                 mount something at that root (`mount --bind DIR DIR`) first",
                )
            })?;
        let path = fs::read_link(format!("/proc/self/fd/{fd}"))?;
        let inner = path.as_os_str().as_bytes();
        let rest = inner.strip_prefix(outer.point.as_slice()).unwrap_or(inner);
        let mut root = outer.root.clone();
        while root.last() == Some(&b'/') {
            root.pop();
        }
        root.extend_from_slice(if outer.point == b"/" { inner } else { rest });
        Ok(Mount {
            root,
            point: b"/".to_vec(),
            ..outer
        })
    }

    /// A handle that wakes when something is mounted or unmounted here.
    pub fn watch(&self) -> io::Result<MountWatch> {
        let file = self.mountinfo.try_clone()?;
        // SAFETY: the file owns its descriptor, and nothing replaces it.
        let file = unsafe { AsyncFd::register_with_interest(file, Interest::PRIORITY) };
        Ok(MountWatch {
            file: file.map_err(io::Error::from)?,
        })
    }
}

/// Number of the user namespace that owns a namespace. Minimum kernel: 4.9.
fn owner(namespace: &File) -> Option<u32> {
    const NS_GET_USERNS: libc::c_ulong = 0xb701;
    // SAFETY: a command without an argument, on a live descriptor; it gives a new one, or -1.
    let fd = unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_USERNS) };
    if fd < 0 {
        return None;
    }
    // SAFETY: the kernel has just given this descriptor to us alone.
    let owner = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    u32::try_from(owner.metadata().ok()?.ino()).ok()
}

/// Tells of changes to a mount namespace.
pub struct MountWatch {
    file: AsyncFd<File>,
}

impl MountWatch {
    /// Waits for the next change.
    pub async fn changed(&self) -> io::Result<()> {
        self.file.ready(Interest::PRIORITY).await?.clear_ready();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_the_mounts_of_this_process() {
        let namespace = MountNamespace::of_process(std::process::id()).unwrap();
        let view = namespace.view().unwrap();
        assert_eq!(view.canonical(b"/"), b"/");
        let (dev, inner) = view.object_at(b"/").unwrap();
        assert!(view.names().full_path(dev, &inner).is_some());
    }
}
