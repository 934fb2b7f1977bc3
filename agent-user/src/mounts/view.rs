//! Which mounts can be reached, and by which path a filesystem's objects are named.

use std::collections::{BTreeMap, HashMap};

use super::Mount;

/// The mounts that path look-up can reach, grouped by superblock, the one that counts first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountView {
    superblocks: BTreeMap<u32, Vec<Mount>>,
}

impl MountView {
    /// Of all mounts of a namespace, in the order of mountinfo.
    ///
    /// First of a superblock comes the mount that shows the most of it (its root is nearest to
    /// the filesystem's), then the one with the fewest directories before it, then the oldest.
    #[must_use]
    pub fn new(mounts: &[Mount]) -> Self {
        let mut superblocks = BTreeMap::<u32, Vec<Mount>>::new();
        for mount in visible(mounts) {
            superblocks
                .entry(mount.dev)
                .or_default()
                .push(mount.clone());
        }
        for group in superblocks.values_mut() {
            // The sort is stable, and mountinfo is in the order of mounting.
            group.sort_by_key(|mount| (depth(&mount.root), depth(&mount.point), mount.point.len()));
        }
        Self { superblocks }
    }

    /// Superblocks by kernel device, each with its mounts, the one that counts first.
    pub fn superblocks(&self) -> impl Iterator<Item = (u32, &[Mount])> {
        self.superblocks
            .iter()
            .map(|(dev, mounts)| (*dev, mounts.as_slice()))
    }

    pub fn devices(&self) -> impl Iterator<Item = u32> {
        self.superblocks.keys().copied()
    }

    /// The path by which the session knows `path`, which is relative to the root of `dev`.
    ///
    /// `None`: no mount shows it.
    #[must_use]
    pub fn full_path(&self, dev: u32, path: &[u8]) -> Option<Vec<u8>> {
        self.superblocks
            .get(&dev)?
            .iter()
            .find_map(|mount| below(&mount.root, path).map(|rest| join(&mount.point, rest)))
    }

    /// The path that counts for something seen at `path` (absolute, without links): another
    /// than `path` itself where a mount that counts more shows the same object.
    #[must_use]
    pub fn canonical(&self, path: &[u8]) -> Vec<u8> {
        let Some(mount) = self.mount_of(path) else {
            return path.to_vec();
        };
        let rest = below(&mount.point, path).unwrap_or(path);
        let inner = join(&mount.root, rest);
        self.full_path(mount.dev, &inner)
            .unwrap_or_else(|| path.to_vec())
    }

    /// Every mount that can be reached.
    pub fn seen(&self) -> impl Iterator<Item = &Mount> {
        self.superblocks.values().flatten()
    }

    /// The mount on which `path` (absolute, without links) lies, and its path from the root of the
    /// filesystem.
    #[must_use]
    pub fn seen_at(&self, path: &[u8]) -> Option<(&Mount, Vec<u8>)> {
        let mount = self.mount_of(path)?;
        let rest = below(&mount.point, path).unwrap_or(path);
        Some((mount, join(&mount.root, rest)))
    }

    /// The mount on which `path` lies: that with the longest mount point before it.
    fn mount_of(&self, path: &[u8]) -> Option<&Mount> {
        self.superblocks
            .values()
            .flatten()
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

/// What of `path` lies below `dir`: `Some("")` for `dir` itself.
fn below<'a>(dir: &[u8], path: &'a [u8]) -> Option<&'a [u8]> {
    if dir == b"/" {
        return Some(if path == b"/" { b"" } else { path });
    }
    let rest = path.strip_prefix(dir)?;
    (rest.is_empty() || rest[0] == b'/').then_some(rest)
}

fn join(dir: &[u8], rest: &[u8]) -> Vec<u8> {
    match (dir, rest) {
        (dir, b"") => dir.to_vec(),
        (b"/", rest) => rest.to_vec(),
        (dir, rest) => [dir, rest].concat(),
    }
}

fn depth(path: &[u8]) -> usize {
    if path == b"/" {
        0
    } else {
        path.iter().filter(|byte| **byte == b'/').count()
    }
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
        }
    }

    fn points(view: &MountView, dev: u32) -> Vec<String> {
        view.superblocks
            .get(&dev)
            .into_iter()
            .flatten()
            .map(|mount| String::from_utf8(mount.point.clone()).unwrap())
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
        assert_eq!(view.full_path(2, b"/data/x/f").unwrap(), b"/short/data/x/f");
        assert_eq!(view.canonical(b"/x/f"), b"/short/data/x/f");
        assert_eq!(view.canonical(b"/x"), b"/short/data/x");
        assert_eq!(view.canonical(b"/elsewhere"), b"/elsewhere");
    }

    #[test]
    fn a_file_outside_every_bind_mount_has_no_path() {
        let view = MountView::new(&[mount(1, 0, 1, "/", "/"), mount(2, 1, 2, "/data/x", "/x")]);
        assert_eq!(view.full_path(2, b"/data/x/f").unwrap(), b"/x/f");
        assert_eq!(view.full_path(2, b"/data/xy"), None);
        assert_eq!(view.full_path(7, b"/f"), None);
        assert_eq!(view.full_path(1, b"/").unwrap(), b"/");
    }
}
