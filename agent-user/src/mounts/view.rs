//! Which mounts can be reached, and by which path a filesystem's objects are named.

use std::collections::{HashMap, HashSet};

use super::{Mount, Names, Uuid, path::below, path::join};

/// The mounts that path look-up can reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountView {
    mounts: Vec<Mount>,
    /// Reached or not.
    all: Vec<Mount>,
    names: Names,
    /// By device.
    uuids: HashMap<u32, Uuid>,
    /// Devices of what is a session's own.
    of_sessions: HashSet<u32>,
}

impl MountView {
    /// Of all mounts of a namespace, in the order of mountinfo.
    #[must_use]
    pub fn new(all: &[Mount]) -> Self {
        let mounts = visible(all).cloned().collect::<Vec<_>>();
        let names = Names::of(mounts.iter());
        let told_by_device = |mount: &&Mount| !mount.is_kernels_own();
        Self {
            mounts,
            all: all.iter().filter(told_by_device).cloned().collect(),
            names,
            uuids: HashMap::new(),
            of_sessions: HashSet::new(),
        }
    }

    /// The same, and what its filesystems say of themselves, by device.
    #[must_use]
    pub fn with_uuids(self, uuids: HashMap<u32, Uuid>) -> Self {
        Self { uuids, ..self }
    }

    /// The same, and which of these are sessions' own.
    #[must_use]
    pub fn with_sessions(self, devices: impl IntoIterator<Item = u32>) -> Self {
        Self {
            of_sessions: devices.into_iter().collect(),
            ..self
        }
    }

    /// Whether nobody but a session writes to the filesystem of this device.
    #[must_use]
    pub fn is_of_session(&self, dev: u32) -> bool {
        self.of_sessions.contains(&dev)
    }

    /// The identifier of the filesystem of this device, where that is known.
    #[must_use]
    pub fn uuid(&self, dev: u32) -> Option<Uuid> {
        self.uuids.get(&dev).copied()
    }

    /// All mounts of filesystems that are told by their device, also those that no look-up reaches.
    pub(super) fn all(&self) -> &[Mount] {
        &self.all
    }

    /// The devices of those.
    pub fn devices(&self) -> impl Iterator<Item = u32> {
        self.all.iter().map(|mount| mount.dev)
    }

    /// The names of filesystems for whoever sees them for the first time now.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The path that counts for something seen at `path` (absolute, without links): another
    /// than `path` itself where the same object is known by another.
    #[must_use]
    pub fn canonical(&self, path: &[u8]) -> Vec<u8> {
        self.object_at(path)
            .and_then(|(dev, inner)| self.names.full_path(dev, &inner))
            .unwrap_or_else(|| path.to_vec())
    }

    /// Every mount that can be reached.
    pub fn seen(&self) -> impl Iterator<Item = &Mount> {
        self.mounts.iter()
    }

    /// Every mount of this device, reached or not.
    pub fn of_device(&self, dev: u32) -> impl Iterator<Item = &Mount> {
        self.all.iter().filter(move |mount| mount.dev == dev)
    }

    /// The mount on which `path` (absolute, without links) lies, and its path from the root of the
    /// filesystem.
    ///
    /// `None`: what is mounted there has no place in its filesystem any more.
    #[must_use]
    pub fn seen_at(&self, path: &[u8]) -> Option<(&Mount, Vec<u8>)> {
        let mount = self.mount_of(path).filter(|mount| mount.has_place())?;
        let rest = below(&mount.point, path).unwrap_or(path);
        Some((mount, join(&mount.root, rest)))
    }

    /// A mount whose mount point is below `path` (absolute, without links), if there is any.
    #[must_use]
    pub fn mount_below(&self, path: &[u8]) -> Option<&Mount> {
        let path = path.strip_suffix(b"/").unwrap_or(path);
        self.mounts.iter().find(|mount| {
            let rest = mount.point.strip_prefix(path);
            rest.is_some_and(|rest| rest.len() > 1 && rest.starts_with(b"/"))
        })
    }

    /// The filesystem in which that is, by its device, and the path from its root.
    #[must_use]
    pub fn object_at(&self, path: &[u8]) -> Option<(u32, Vec<u8>)> {
        let (mount, inner) = self.seen_at(path)?;
        Some((mount.dev, inner))
    }

    /// The mount on which `path` lies: that with the longest mount point before it.
    fn mount_of(&self, path: &[u8]) -> Option<&Mount> {
        self.mounts
            .iter()
            .filter(|mount| below(&mount.point, path).is_some())
            .max_by_key(|mount| mount.point.len())
    }
}

/// The mounts that a walk from the root to their mount point ends on.
fn visible(mounts: &[Mount]) -> impl Iterator<Item = &Mount> {
    let ids = mounts
        .iter()
        .map(|mount| mount.id)
        .collect::<std::collections::HashSet<_>>();
    // What is mounted on a given path of a given mount. Of several, the later lies on top.
    let mut over = HashMap::<(u32, &[u8]), &Mount>::new();
    for mount in mounts {
        over.insert((mount.parent, &mount.point), mount);
    }
    let top = mounts.iter().find(|mount| {
        mount.point == b"/" && (mount.parent == mount.id || !ids.contains(&mount.parent))
    });
    mounts.iter().filter(move |mount| match top {
        Some(top) => reached(top, &over, &mount.point) == mount.id,
        // The process's root is not a mount point that it sees: nothing covers these but they
        // themselves.
        None => over
            .get(&(mount.parent, mount.point.as_slice()))
            .is_some_and(|m| m.id == mount.id),
    })
}

/// The mount on which look-up of `point` ends.
fn reached(top: &Mount, over: &HashMap<(u32, &[u8]), &Mount>, point: &[u8]) -> u32 {
    let mut at = top.id;
    let ends = (1..point.len())
        .filter(|i| point[*i] == b'/')
        .chain([point.len()]);
    for end in std::iter::once(1).chain(ends) {
        while let Some(next) = over.get(&(at, &point[..end])).filter(|next| next.id != at) {
            at = next.id;
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(id: u32, parent: u32, dev: u32, root: &str, point: &str) -> Mount {
        Mount {
            id,
            parent,
            dev,
            root: root.into(),
            point: point.into(),
            fstype: "ext4".into(),
            source: "none".into(),
            options: Vec::new(),
        }
    }

    fn points(view: &MountView, dev: u32) -> Vec<String> {
        view.names()
            .placed()
            .filter(|(other, _)| *other == dev)
            .flat_map(|(_, shown)| shown)
            .map(|shown| String::from_utf8(shown.at.clone()).unwrap())
            .collect()
    }

    #[test]
    fn later_mount_on_the_same_point_hides_the_earlier() {
        let view = MountView::new(&[
            mount(1, 0, 1, "/", "/"),
            mount(2, 1, 2, "/", "/mnt"),
            mount(3, 2, 3, "/", "/mnt"),
        ]);
        assert!(points(&view, 2).is_empty());
        assert_eq!(points(&view, 3), ["/mnt"]);
    }

    #[test]
    fn mount_over_an_ancestor_hides_what_is_below() {
        let view = MountView::new(&[
            mount(1, 0, 1, "/", "/"),
            mount(2, 1, 2, "/", "/a/b"),
            mount(3, 1, 3, "/", "/a"),
            mount(4, 3, 4, "/", "/a/b"),
        ]);
        assert!(points(&view, 2).is_empty());
        assert_eq!(points(&view, 3), ["/a"]);
        assert_eq!(points(&view, 4), ["/a/b"]);
    }

    #[test]
    fn a_root_stacked_on_a_root_hides_all_of_the_first() {
        let view = MountView::new(&[
            mount(1, 1, 1, "/", "/"),
            mount(2, 1, 2, "/", "/proc"),
            mount(3, 1, 3, "/", "/"),
            mount(4, 3, 4, "/", "/proc"),
        ]);
        assert!(points(&view, 1).is_empty());
        assert!(points(&view, 2).is_empty());
        assert_eq!(points(&view, 4), ["/proc"]);
    }

    #[test]
    fn the_mount_of_the_whole_filesystem_counts_first() {
        let view = MountView::new(&[
            mount(1, 0, 1, "/", "/"),
            mount(2, 1, 2, "/data/x", "/x"),
            mount(3, 1, 2, "/", "/long/way/down"),
            mount(4, 1, 2, "/", "/short"),
        ]);
        assert_eq!(points(&view, 2), ["/short", "/long/way/down", "/x"]);
        assert_eq!(
            view.names().full_path(2, b"/data/x/f").unwrap(),
            b"/short/data/x/f"
        );
        assert_eq!(view.canonical(b"/x/f"), b"/short/data/x/f");
        assert_eq!(view.canonical(b"/x"), b"/short/data/x");
        assert_eq!(view.canonical(b"/elsewhere"), b"/elsewhere");
    }

    #[test]
    fn a_file_outside_every_bind_mount_has_no_path() {
        let view = MountView::new(&[mount(1, 0, 1, "/", "/"), mount(2, 1, 2, "/data/x", "/x")]);
        assert_eq!(view.names().full_path(2, b"/data/x/f").unwrap(), b"/x/f");
        assert_eq!(view.names().full_path(2, b"/data/xy"), None);
        assert_eq!(view.names().full_path(7, b"/f"), None);
        assert_eq!(view.names().full_path(1, b"/").unwrap(), b"/");
    }

    #[test]
    fn the_kernels_own_filesystems_have_their_usual_path_wherever_they_are() {
        let of_type = |fstype: &str, mount: Mount| Mount {
            fstype: fstype.into(),
            ..mount
        };
        let view = MountView::new(&[
            mount(1, 0, 1, "/", "/"),
            of_type("proc", mount(2, 1, 2, "/", "/w/root/proc")),
            of_type("cgroup2", mount(3, 1, 3, "/agent", "/w/cgroup")),
            of_type("devtmpfs", mount(4, 1, 4, "/null", "/w/null")),
        ]);
        assert_eq!(view.canonical(b"/w/root/proc/sys/x"), b"/proc/sys/x");
        assert_eq!(view.canonical(b"/w/cgroup/a"), b"/sys/fs/cgroup/agent/a");
        assert_eq!(view.canonical(b"/w/null"), b"/dev/null");
        // Only the devices have a number of their own.
        let devices = view.names().placed().map(|(dev, _)| dev);
        assert_eq!(devices.collect::<Vec<_>>(), [1, 4]);
    }

    #[test]
    fn what_has_no_place_is_left_out_alone() {
        let view = MountView::new(&[
            mount(1, 0, 1, "/", "/"),
            mount(2, 1, 2, "/srv/a//deleted", "/srv/b"),
            mount(3, 1, 3, "net:[4026532177]", "/run/netns/x"),
            mount(4, 1, 4, "/", "/srv/c"),
            mount(5, 1, 1, "/gone//deleted", "/srv/d"),
        ]);
        let devices = view.names().placed().map(|(dev, _)| dev);
        assert_eq!(devices.collect::<Vec<_>>(), [1, 4]);
        assert_eq!(view.object_at(b"/srv/b/f"), None);
        assert_eq!(view.canonical(b"/srv/b/f"), b"/srv/b/f");
        assert_eq!(view.canonical(b"/srv/d/f"), b"/srv/d/f");
        assert_eq!(points(&view, 1), ["/"]);
    }
}
