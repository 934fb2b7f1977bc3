//! What a session knows filesystems by, from its start to its end.
//!
//! A filesystem keeps the name under which the session first saw it. What is mounted, bound, moved or
//! unmounted later changes no name, and so gives nobody a right over an object that he did not have; what
//! comes later gets its name when it is first seen, unless it may show what the session knows already.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Mount, MountView, Names, Shown};

/// Which namespace and root directory names are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Vantage {
    /// Inode of the mount namespace.
    pub namespace: u64,
    /// Device and inode of the root directory.
    pub root: (u64, u64),
}

/// The names that a session goes by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sight {
    /// `None`: nobody looks any more.
    pub vantage: Option<Vantage>,
    /// The user namespace that owns that mount namespace; 0 where it is not known.
    pub mount_owner: u32,
    /// That is where it begins. Else it begins where its first program is executed, and its names are made
    /// anew there.
    pub decided: bool,
    /// It must begin at a root directory of its own. Until it does nothing has a name for it, so that nothing can be
    /// executed in it, whoever does not wait.
    pub apart: bool,
    names: Names,
    /// Filesystems that are or were known, by kernel device.
    instances: BTreeMap<u32, u32>,
    /// What is known of filesystems that outlive being mounted.
    traces: Vec<(Identity, Vec<Shown>)>,
    began: bool,
}

/// What stays the same when a filesystem is unmounted and mounted again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Identity {
    /// Of a block device.
    Device(u32),
    /// Type and source.
    Source(String, String),
}

impl Identity {
    /// `None`: it ends when it is unmounted.
    fn of(mount: &Mount) -> Option<Self> {
        if mount.dev >> 20 != 0 {
            return Some(Self::Device(mount.dev));
        }
        let of_memory = matches!(mount.fstype.as_str(), "tmpfs" | "ramfs" | "hugetlbfs");
        (!of_memory).then(|| Self::Source(mount.fstype.clone(), mount.source.clone()))
    }
}

/// Whether a filesystem may show what is in another one.
fn shows_others(mount: &Mount) -> bool {
    let kind = mount.fstype.as_str();
    let stacked = ["overlay", "ecryptfs", "aufs", "shiftfs", "wrapfs"];
    stacked.contains(&kind) || kind.starts_with("fuse")
}

impl Sight {
    /// Of a session that begins at a vantage, in a mount namespace of this user namespace.
    #[must_use]
    pub fn begin(vantage: Vantage, mount_owner: u32) -> Self {
        Self {
            vantage: Some(vantage),
            mount_owner,
            ..Self::default()
        }
    }

    /// The names, of filesystems that are there still.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The names that count for the kernel side.
    #[must_use]
    pub fn names_in_force(&self) -> Names {
        if self.apart {
            Names::default()
        } else {
            self.names.clone()
        }
    }

    /// The instance of a filesystem by its device, as far as this sight has a name for it.
    #[must_use]
    pub fn instance(&self, dev: u32) -> Option<u32> {
        self.instances.get(&dev).copied()
    }

    /// Takes in what is mounted now; `instance` tells filesystems that had the same device number at
    /// different times apart, and is `None` for one that cannot be told. Of what is new `is_there` says
    /// whether it is that instance which is mounted, and `is_barred` whether a place holds what no
    /// session may reach.
    ///
    /// True where something has a name that had none.
    pub fn take_in(
        &mut self,
        view: &MountView,
        instance: impl Fn(u32) -> Option<u32>,
        is_there: impl Fn(u32) -> bool,
        is_barred: impl Fn(u32, &Shown) -> bool,
    ) -> bool {
        let mut has_new = false;
        self.forget_gone(&instance);
        self.names.take_kernels_own(view.names());
        let first = !std::mem::replace(&mut self.began, true);
        for mount in view.all() {
            let (dev, identity) = (mount.dev, Identity::of(mount));
            if self.instances.contains_key(&dev) {
                continue;
            }
            let Some(number) = instance(dev).filter(|_| is_there(dev)) else {
                continue;
            };
            let shown = view.names().shown(dev).unwrap_or_default();
            let known = self
                .traces
                .iter()
                .find(|(it, _)| Some(it) == identity.as_ref());
            let allowed = first
                || (!shows_others(mount)
                    && known.is_none_or(|(_, known)| known == shown)
                    && !shown.iter().any(|shown| is_barred(dev, shown)));
            if let Some(identity) = identity.filter(|_| known.is_none()) {
                self.traces.push((identity, shown.to_vec()));
            }
            // Also what is not shown: it is known, and has no name.
            self.instances.insert(dev, number);
            if allowed {
                self.names.add(dev, shown);
                has_new = true;
            }
        }
        has_new
    }

    /// Takes in what is mounted where a process of the session came to, set up by somebody who may: what has no
    /// name yet has the one that it has there. What is known keeps its name, and what is refused here may
    /// have a name elsewhere. The other arguments are those of [`Self::take_in`].
    ///
    /// Where `shows_all`, what may show others' objects has a name as well, like all that is there when a session
    /// begins; that it was seen elsewhere before, and refused, does not matter.
    ///
    /// What has a name that had none.
    pub fn take_in_arrival(
        &mut self,
        view: &MountView,
        instance: impl Fn(u32) -> Option<u32>,
        is_there: impl Fn(u32) -> bool,
        is_barred: impl Fn(u32, &Shown) -> bool,
        shows_all: bool,
    ) -> Vec<Shown> {
        let mut named = Vec::new();
        self.forget_gone(&instance);
        self.names.add_kernels_own(view.names());
        for mount in view.all() {
            let (dev, shown) = (mount.dev, view.names().shown(mount.dev));
            let is_stacked = shows_others(mount);
            let is_known = self.instances.contains_key(&dev);
            let is_refused_elsewhere = self.names.shown(dev).is_none() && is_stacked;
            let (Some(shown), Some(number)) = (shown, instance(dev).filter(|_| is_there(dev)))
            else {
                continue;
            };
            let allowed = match is_stacked {
                true => shows_all && (!is_known || is_refused_elsewhere),
                false => !is_known && self.is_where_it_was(mount, shown),
            };
            if !allowed || shown.iter().any(|shown| is_barred(dev, shown)) {
                continue;
            }
            self.instances.insert(dev, number);
            self.names.add(dev, shown);
            named.extend(shown.first().cloned());
        }
        named
    }

    fn forget_gone(&mut self, instance: impl Fn(u32) -> Option<u32>) {
        let gone = |(dev, known): (&u32, &u32)| (instance(*dev) != Some(*known)).then_some(*dev);
        for dev in self.instances.iter().filter_map(gone).collect::<Vec<_>>() {
            self.instances.remove(&dev);
            self.names.remove(dev);
        }
    }

    /// Whether nothing that outlives being mounted was known by another path. It is known by this one from now
    /// on.
    fn is_where_it_was(&mut self, mount: &Mount, shown: &[Shown]) -> bool {
        let Some(identity) = Identity::of(mount) else {
            return true;
        };
        match self.traces.iter().find(|(it, _)| *it == identity) {
            Some((_, known)) => known == shown,
            None => {
                self.traces.push((identity, shown.to_vec()));
                true
            }
        }
    }

    /// Leaves everything without a name that had none before.
    pub fn leave_names(&mut self, before: &Self) {
        self.names = before.names.clone();
    }

    /// Every device that is known.
    pub fn devices(&self) -> impl Iterator<Item = u32> {
        self.instances.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(id: u32, dev: u32, fstype: &str, root: &str, point: &str) -> Mount {
        Mount {
            id,
            parent: if id == 1 { 0 } else { 1 },
            dev,
            root: root.into(),
            point: point.into(),
            fstype: fstype.into(),
            source: format!("source-{dev}"),
            options: Vec::new(),
        }
    }

    /// What is at a path of a filesystem, after what was mounted in turn.
    struct Session(Sight);

    impl Session {
        fn new() -> Self {
            Self(Sight::default())
        }

        fn sees(&mut self, mounts: &[Mount]) -> bool {
            self.sees_instances(mounts, 0)
        }

        fn sees_instances(&mut self, mounts: &[Mount], instance: u32) -> bool {
            let there = mounts.iter().map(|mount| mount.dev).collect::<Vec<_>>();
            self.0.take_in(
                &MountView::new(mounts),
                |dev| there.contains(&dev).then_some(dev * 10 + instance),
                |_| true,
                |dev, shown| dev == 9 && shown.at != b"/",
            )
        }

        fn arrives(&mut self, mounts: &[Mount], shows_all: bool) -> Vec<String> {
            let named = self.0.take_in_arrival(
                &MountView::new(mounts),
                |dev| Some(dev * 10),
                |_| true,
                |dev, shown| dev == 9 && shown.at != b"/",
                shows_all,
            );
            let text = |shown: Shown| String::from_utf8(shown.at).unwrap();
            named.into_iter().map(text).collect()
        }

        fn name(&self, dev: u32, inner: &str) -> Option<String> {
            let found = self.0.names().full_path(dev, inner.as_bytes())?;
            Some(String::from_utf8(found).unwrap())
        }
    }

    const DISK: u32 = 8 << 20 | 1;

    #[test]
    fn what_is_mounted_later_changes_no_name() {
        let mut session = Session::new();
        let root = mount(1, DISK, "ext4", "/", "/");
        let partial = mount(2, 2, "btrfs", "/@home", "/home");
        assert!(session.sees(&[root.clone(), partial.clone()]));
        let kept = session.0.clone();
        let later = [
            mount(3, DISK, "ext4", "/srv/data", "/d"),
            mount(4, 2, "btrfs", "/", "/all"),
            mount(5, 2, "btrfs", "/@root", "/other"),
        ];
        let mut all = vec![root, partial];
        all.extend(later);
        assert!(!session.sees(&all));
        assert_eq!(session.name(DISK, "/srv/data/f").unwrap(), "/srv/data/f");
        assert_eq!(session.name(2, "/@home/f").unwrap(), "/home/f");
        assert_eq!(session.name(2, "/@root/f"), None);
        assert_eq!(session.0.names(), kept.names());
    }

    #[test]
    fn what_is_new_gets_a_name_once() {
        let mut session = Session::new();
        let root = mount(1, DISK, "ext4", "/", "/");
        session.sees(std::slice::from_ref(&root));
        assert!(session.sees(&[root.clone(), mount(2, 5, "tmpfs", "/", "/a")]));
        assert!(!session.sees(&[root.clone(), mount(2, 5, "tmpfs", "/", "/b")]));
        assert_eq!(session.name(5, "/f").unwrap(), "/a/f");
        // Another one of the same number.
        assert!(session.sees_instances(&[root, mount(2, 5, "tmpfs", "/", "/b")], 1));
        assert_eq!(session.name(5, "/f").unwrap(), "/b/f");
    }

    #[test]
    fn a_disk_comes_back_under_its_name_or_not_at_all() {
        let mut session = Session::new();
        let root = mount(1, 3, "ext4", "/", "/");
        let stick = |point| mount(2, DISK, "ext4", "/", point);
        session.sees(&[root.clone(), stick("/mnt")]);
        assert!(!session.sees(std::slice::from_ref(&root)));
        assert_eq!(session.name(DISK, "/f"), None);
        session.sees_instances(&[root.clone(), stick("/d")], 1);
        assert_eq!(session.name(DISK, "/f"), None);
        session.sees(std::slice::from_ref(&root));
        session.sees_instances(&[root, stick("/mnt")], 2);
        assert_eq!(session.name(DISK, "/f").unwrap(), "/mnt/f");
    }

    #[test]
    fn what_was_covered_at_the_start_stays_without_a_name() {
        let mut session = Session::new();
        let root = mount(1, 3, "ext4", "/", "/");
        let below = mount(2, 4, "tmpfs", "/", "/d");
        let above = Mount {
            parent: 2,
            ..mount(3, 5, "tmpfs", "/", "/d")
        };
        session.sees(&[root.clone(), below.clone(), above]);
        session.sees(&[root, below]);
        assert_eq!(session.name(4, "/f"), None);
    }

    #[test]
    fn what_may_show_others_is_refused_when_it_comes_later() {
        let overlay = mount(2, 4, "overlay", "/", "/d");
        let own = mount(3, 9, "tmpfs", "/", "/run2");
        let root = mount(1, 3, "ext4", "/", "/");
        let mut early = Session::new();
        early.sees(&[root.clone(), overlay.clone(), own.clone()]);
        assert_eq!(early.name(4, "/f").unwrap(), "/d/f");
        assert_eq!(early.name(9, "/f").unwrap(), "/run2/f");
        let mut late = Session::new();
        late.sees(std::slice::from_ref(&root));
        late.sees(&[root, overlay, own]);
        assert_eq!((late.name(4, "/f"), late.name(9, "/f")), (None, None));
    }

    #[test]
    fn what_is_found_on_arrival_has_the_name_that_it_has_there() {
        let mut session = Session::new();
        let disk = mount(1, DISK, "ext4", "/", "/");
        let layers = mount(2, 4, "overlay", "/", "/var/merged");
        session.sees(std::slice::from_ref(&disk));
        session.sees(&[disk.clone(), layers]);
        assert_eq!(session.name(4, "/f"), None);
        let container = [
            mount(1, 4, "overlay", "/", "/"),
            mount(2, DISK, "ext4", "/srv", "/srv"),
            mount(3, 5, "tmpfs", "/", "/app"),
            mount(4, 9, "tmpfs", "/", "/run2"),
        ];
        assert_eq!(session.arrives(&container, false), ["/app"]);
        assert_eq!(session.name(5, "/f").unwrap(), "/app/f");
        assert_eq!((session.name(4, "/f"), session.name(9, "/f")), (None, None));
        assert_eq!(session.arrives(&container, true), ["/"]);
        assert_eq!(session.name(4, "/f").unwrap(), "/f");
        // What is known by a name keeps it, wherever it is seen.
        assert_eq!(session.name(DISK, "/srv/f").unwrap(), "/srv/f");
        let next = [
            mount(1, 6, "overlay", "/", "/"),
            mount(2, 4, "overlay", "/", "/old"),
            mount(3, 5, "tmpfs", "/", "/usr"),
        ];
        assert_eq!(session.arrives(&next, true), ["/"]);
        assert_eq!(session.name(5, "/f").unwrap(), "/app/f");
        assert_eq!(session.name(4, "/f").unwrap(), "/f");
    }

    #[test]
    fn it_is_the_same_after_it_was_stored() {
        let mut session = Session::new();
        session.sees(&[
            mount(1, DISK, "ext4", "/", "/"),
            mount(2, 5, "overlay", "/", "/a b"),
            mount(3, 6, "proc", "/", "/proc"),
        ]);
        let text = serde_json::to_string(&session.0).unwrap();
        assert_eq!(serde_json::from_str::<Sight>(&text).unwrap(), session.0);
    }
}
