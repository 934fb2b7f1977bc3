//! What a filesystem says of the things on it: whether they can be the same as things elsewhere, and who
//! could have made all of it.

use std::{
    collections::BTreeSet,
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

use agent_abi::KernelFilesystem;
use nix::{
    fcntl::{OFlag, OpenHow, ResolveFlag, openat2},
    sys::stat::fstat,
};

use super::{
    load::text_of,
    own_files::{OwnFiles, OwnPlaces},
    reach::Spot,
    trail::{Past, Trail, follow, past_of},
};
use crate::mounts::{Behind, Layers, MountNamespace, MountView, Uuid, behind};

/// What a type of filesystem shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// What was made on it since it was mounted.
    Memory,
    /// What is on a disk or in an image, and nothing else.
    Disk,
    /// The same, and nobody writes it by its names.
    ReadOnly,
    /// What lies in other directories, a copy where it was written.
    Overlay,
    /// What a server says; it can be what lies on another filesystem of this host.
    Elsewhere,
}

impl Ground {
    /// A type that is not known here may show anything.
    #[must_use]
    pub fn of(fstype: &str) -> Self {
        match fstype {
            "tmpfs" | "ramfs" | "rootfs" | "devtmpfs" | "hugetlbfs" | "configfs" => Self::Memory,
            "ext2" | "ext3" | "ext4" | "xfs" | "btrfs" | "f2fs" | "bcachefs" | "zfs" | "vfat"
            | "msdos" | "exfat" | "ntfs3" | "hfs" | "hfsplus" | "jfs" | "reiserfs" | "nilfs2"
            | "udf" | "minix" | "ufs" => Self::Disk,
            "squashfs" | "erofs" | "iso9660" | "cramfs" | "romfs" => Self::ReadOnly,
            "overlay" => Self::Overlay,
            other if KernelFilesystem::of_type(other.as_bytes()).is_some() => Self::Memory,
            _ => Self::Elsewhere,
        }
    }
}

/// What the daemon's own mount namespace tells of the filesystems that sessions see.
pub struct Host {
    place: MountNamespace,
    view: MountView,
    places: OwnPlaces,
    /// Filesystems that hold what the daemon itself stands on, by device.
    own: Vec<u32>,
}

/// The file in which a filesystem is.
#[derive(Clone, Debug)]
pub enum Backing {
    /// Its own place, and that of each link on the way to it.
    At {
        path: PathBuf,
        file: Spot,
        links: Vec<Spot>,
    },
    /// It is there no more, or cannot be seen from here.
    Untold(PathBuf),
}

/// A directory, found as a path without links.
struct Found {
    directory: OwnedFd,
    spot: Spot,
    links: Vec<Spot>,
}

/// What a thing on an overlay can be, in its layers.
#[derive(Debug, Default)]
pub struct Below {
    /// Its place in each of them, and the links by which these were named.
    pub spots: Vec<Spot>,
    /// Every layer was found, and the thing has its name in one of them: otherwise it may come from any
    /// place in them (`redirect_dir`).
    pub is_told: bool,
}

impl Host {
    /// As it is now.
    pub fn here(own: &OwnFiles) -> io::Result<Self> {
        let place = MountNamespace::of_process(std::process::id())?;
        let view = place.view()?;
        let root = view.object_at(b"/").map(|(dev, _)| dev);
        let places = own.places()?;
        let mut host = Self {
            place,
            view,
            own: places.devices().chain(root).collect(),
            places,
        };
        // Where the root is an overlay, its layers too.
        let mut index = 0;
        while let Some(dev) = host.own.get(index).copied() {
            let layers = host.layers(dev).unwrap_or_default();
            for directory in layers.upper.iter().chain(&layers.lower) {
                let layer = host.find(directory).map(|found| found.spot.dev());
                host.own.extend(layer.filter(|dev| !host.own.contains(dev)));
            }
            index += 1;
        }
        Ok(host)
    }

    #[must_use]
    pub fn view(&self) -> &MountView {
        &self.view
    }

    /// Where the daemon's own files are.
    #[must_use]
    pub fn own_places(&self) -> &OwnPlaces {
        &self.places
    }

    /// Whether the daemon, its store or its root is on it: who could change that needs no link.
    #[must_use]
    pub fn stands_on(&self, dev: u32) -> bool {
        self.own.contains(&dev)
    }

    /// Whether operators answer for the filesystem on which this is.
    #[must_use]
    pub fn is_named(&self, spot: &Spot, named: &[Named]) -> bool {
        named.iter().any(|named| match named {
            Named::Disk(uuid) => self.disk_under(spot) == Disk::Uuid(*uuid),
            Named::MountedAt(point) => {
                let mut mounts = self.view.seen();
                mounts.any(|mount| mount.dev == spot.dev() && mount.point == *point)
            }
        })
    }

    /// Everything that a thing on an overlay can be the same as or a copy of.
    ///
    /// Only an overlay that is mounted here too was named by paths that mean the same here.
    #[must_use]
    pub fn below(&self, spot: &Spot) -> Below {
        let mut below = Below::default();
        let Some(layers) = self.layers(spot.dev()) else {
            return below;
        };
        let (mut all_found, mut is_there) = (true, false);
        for directory in layers.upper.iter().chain(&layers.lower) {
            // None lies on the overlay itself: what is found there was called so elsewhere.
            let found = self.find(directory);
            let Some(found) = found.filter(|found| found.spot.dev() != spot.dev()) else {
                all_found = false;
                continue;
            };
            let past = past_in(&found.directory, spot.inner());
            is_there |= past.is_some();
            let past = past.unwrap_or_default();
            below.spots.push(found.spot.below(spot.inner(), past));
            below.spots.extend(found.links);
        }
        below.is_told = all_found && is_there;
        below
    }

    /// Where what is written on this overlay goes: the device, type and identifier of that filesystem,
    /// and the directory in it. `None`: that cannot be told; `Some(None)`: nothing is written.
    #[must_use]
    pub(super) fn upper(&self, dev: u32) -> Option<Option<Spot>> {
        match self.layers(dev)?.upper {
            Some(upper) => {
                let spot = self.find(&upper)?.spot;
                (spot.dev() != dev).then_some(Some(spot))
            }
            None => Some(None),
        }
    }

    fn layers(&self, dev: u32) -> Option<Layers> {
        self.view.of_device(dev).find_map(Layers::of)
    }

    /// The directory of that name, if it is seen here.
    fn find(&self, path: &[u8]) -> Option<Found> {
        if !path.starts_with(b"/") {
            return None;
        }
        let trail = self.follow(path)?;
        Some(Found {
            directory: self.open(&trail.real)?,
            spot: Spot::at(&self.view, &trail.real, Past::default())?,
            links: self.spots(&trail)?,
        })
    }

    fn follow(&self, path: &[u8]) -> Option<Trail> {
        let trail = follow(self.place.root(), path, None).ok()?;
        (!trail.endless).then_some(trail)
    }

    fn open(&self, path: &[u8]) -> Option<OwnedFd> {
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_SYMLINKS);
        let path = if path.is_empty() { b"/" } else { path };
        let path = Path::new(std::ffi::OsStr::from_bytes(path));
        openat2(self.place.root().as_fd(), path, how).ok()
    }

    /// The files in which the filesystem of this is: none for one on disks.
    #[must_use]
    pub fn backing(&self, spot: &Spot) -> Vec<Backing> {
        let files = behind(spot.dev(), spot.fstype(), spot.source());
        let files = files.into_iter();
        files
            .map(|file| self.file(&file).unwrap_or(Backing::Untold(file.path)))
            .collect()
    }

    fn file(&self, behind: &Behind) -> Option<Backing> {
        let bytes = behind.path.as_os_str().as_bytes();
        let trail = self.follow(bytes)?;
        let found = fstat(self.open(&trail.real)?).ok()?;
        if behind.identity != Some((found.st_dev, found.st_ino)) {
            return None;
        }
        Some(Backing::At {
            path: behind.path.clone(),
            file: Spot::at(&self.view, &trail.real, trail.past)?,
            links: self.spots(&trail)?,
        })
    }

    /// The links that were crossed.
    fn spots(&self, trail: &Trail) -> Option<Vec<Spot>> {
        let links = trail.links.iter();
        links
            .map(|link| Spot::at(&self.view, &link.own, link.past))
            .collect()
    }

    /// The disks that are mounted now, here and in `other`.
    #[must_use]
    pub fn disks(&self, other: Option<&MountView>) -> BTreeSet<Disk> {
        let views = [Some(&self.view), other];
        let mounted = views.into_iter().flatten().flat_map(|view| {
            let disks = view
                .seen()
                .filter(|mount| Ground::of(&mount.fstype) == Ground::Disk);
            disks.map(|mount| {
                self.disk(
                    &mount.fstype,
                    &mount.source,
                    mount.dev,
                    view.uuid(mount.dev),
                )
            })
        });
        mounted.collect()
    }

    /// The disk on which this is.
    #[must_use]
    pub fn disk_under(&self, spot: &Spot) -> Disk {
        self.disk(spot.fstype(), spot.source(), spot.dev(), spot.uuid())
    }

    /// Who sees a single file of it cannot ask it.
    fn disk(&self, fstype: &str, source: &str, dev: u32, uuid: Option<Uuid>) -> Disk {
        match uuid.or_else(|| self.view.uuid(dev)) {
            Some(uuid) => Disk::Uuid(uuid),
            // No two pools of a name are in use at once.
            None if fstype == "zfs" => Disk::Dataset(source.into()),
            None => Disk::Number {
                fstype: fstype.into(),
                dev,
            },
        }
    }
}

/// A filesystem on a disk, as it is known again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disk {
    Uuid(Uuid),
    /// Of ZFS.
    Dataset(String),
    /// It does not say who it is: until the next start of the host.
    Number {
        fstype: String,
        dev: u32,
    },
}

impl Disk {
    /// As the store has it.
    #[must_use]
    pub fn key(&self, boot_id: &str) -> String {
        match self {
            Self::Uuid(uuid) => uuid.to_string(),
            Self::Dataset(name) => format!("zfs {name}"),
            Self::Number { fstype, dev } => format!("{boot_id} {fstype} {dev}"),
        }
    }
}

/// Of what is at `inner` from there, which no other mount covers; `None`: nothing is.
fn past_in(directory: &OwnedFd, inner: &[u8]) -> Option<Past> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
        .resolve(
            ResolveFlag::RESOLVE_BENEATH
                | ResolveFlag::RESOLVE_NO_SYMLINKS
                | ResolveFlag::RESOLVE_NO_XDEV,
        );
    let inner = match inner.strip_prefix(b"/").unwrap_or(inner) {
        b"" => b".",
        inner => inner,
    };
    let inner = Path::new(std::ffi::OsStr::from_bytes(inner));
    past_of(&openat2(directory.as_fd(), inner, how).ok()?).ok()
}

/// A filesystem that operators answer for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    Disk(Uuid),
    /// Whatever is mounted there where the daemon is.
    MountedAt(Vec<u8>),
}

/// What operators wrote down, one in a line: identifiers and mount points; what follows `#` is said to people.
///
/// Where there is no file there are none.
pub fn named_by_operators(file: &Path) -> io::Result<Vec<Named>> {
    let text = match open_regular(file).and_then(text_of) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let words = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim());
    words
        .filter(|word| !word.is_empty())
        .map(|word| match Uuid::parse(word) {
            Some(uuid) => Ok(Named::Disk(uuid)),
            None if word.starts_with('/') => Ok(Named::MountedAt(word.into())),
            None => Err(io::Error::other(format!(
                "`{word}` is no mount point, and no identifier of a filesystem as `findmnt -no UUID` \
                 tells it"
            ))),
        })
        .collect()
}

/// Never one that waits for a writer or does not end.
fn open_regular(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    let mut options = File::options();
    let file = options.read(true).custom_flags(flags.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_type_that_is_not_known_may_show_anything() {
        for (fstype, ground) in [
            ("ext4", Ground::Disk),
            ("tmpfs", Ground::Memory),
            ("proc", Ground::Memory),
            ("squashfs", Ground::ReadOnly),
            ("overlay", Ground::Overlay),
            ("fuse.bindfs", Ground::Elsewhere),
            ("fuseblk", Ground::Elsewhere),
            ("nfs4", Ground::Elsewhere),
            ("9p", Ground::Elsewhere),
            ("ecryptfs", Ground::Elsewhere),
            ("of-tomorrow", Ground::Elsewhere),
        ] {
            assert_eq!(Ground::of(fstype), ground, "{fstype}");
        }
    }

    #[test]
    fn what_operators_name_is_read_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("filesystems");
        assert!(named_by_operators(&file).unwrap().is_empty());
        let uuid = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
        fs::write(&file, format!("# disks\n\n{uuid} # the second\n/home\n")).unwrap();
        let named = named_by_operators(&file).unwrap();
        let disk = Named::Disk(Uuid::parse(uuid).unwrap());
        assert_eq!(named, [disk, Named::MountedAt(b"/home".into())]);
        fs::write(&file, format!("{uuid}\nsdb1\n")).unwrap();
        assert!(named_by_operators(&file).is_err());
        assert!(named_by_operators(Path::new("/dev/zero")).is_err());
    }
}
