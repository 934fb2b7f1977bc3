//! Where a session could have made or written something: what it leaves for the next.
//!
//! A session can be root, so who owns a thing says nothing of who made it. What does: an object that
//! a session makes, moves or puts elsewhere has then a path at which its grant allows to create, for
//! a rename needs that for the new name, and no directory is moved so that what is in it loses it.
//! So each session's rules, and the mounts by which it saw filesystems, are kept when it has ended.

use std::collections::BTreeSet;

use agent_abi::FileRights;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    ground::{Ground, Host},
    making::Making,
    trail::Past,
};
use crate::{
    api::PathText,
    mounts::{Mount, MountView, Uuid},
};

/// What a session could make and write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// Whose processes they were, where they could be nobody else's: started by `run`, not by root.
    uid: Option<u32>,
    rules: Making,
    mounts: BTreeSet<Shown>,
    /// What was out of its reach whatever its rules say.
    kept_from: Vec<PathText>,
}

/// A mount by which a session saw a filesystem.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Shown {
    fstype: String,
    dev: u32,
    #[serde(default)]
    uuid: Option<Uuid>,
    root: PathBytes,
    at: PathBytes,
}

impl Shown {
    /// Whether `other` is the same mount, of which it was not asked in time who it is: it went meanwhile.
    fn is_shown_by(&self, other: &Self) -> bool {
        let named = Self {
            uuid: self.uuid,
            ..other.clone()
        };
        other.uuid.is_none() && *self == named
    }
}

/// A path in the store: as text where it is one.
type PathBytes = Vec<u8>;

/// Something of which it is asked who could have made it.
#[derive(Clone, Debug)]
pub struct Spot {
    fstype: String,
    dev: u32,
    uuid: Option<Uuid>,
    /// What was mounted, as who mounted it said.
    source: String,
    /// From the root of its filesystem.
    inner: Vec<u8>,
    past: Past,
}

impl Spot {
    /// The device of its filesystem.
    #[must_use]
    pub fn dev(&self) -> u32 {
        self.dev
    }

    pub(super) fn inner(&self) -> &[u8] {
        &self.inner
    }

    #[must_use]
    pub fn fstype(&self) -> &str {
        &self.fstype
    }

    #[must_use]
    pub fn uuid(&self) -> Option<Uuid> {
        self.uuid
    }

    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// The same, where its time of birth says nothing: it may be a copy, or a server's word.
    #[must_use]
    pub fn without_birth(&self) -> Self {
        let past = Past {
            born: None,
            ..self.past
        };
        Self {
            past,
            ..self.clone()
        }
    }

    /// What is at `inner` (absolute) from this directory.
    pub(super) fn below(&self, inner: &[u8], past: Past) -> Self {
        let here = self.inner.strip_suffix(b"/").unwrap_or(&self.inner);
        Self {
            inner: [here, inner].concat(),
            past,
            ..self.clone()
        }
    }

    /// It has not been changed, moved or given to somebody since before that.
    #[must_use]
    pub fn unchanged_since(&self, time: Option<Timestamp>) -> bool {
        let changed = self.past.changed.zip(time);
        changed.is_some_and(|(changed, time)| changed < time)
    }

    /// What is seen at `path` (absolute, without links).
    #[must_use]
    pub fn at(view: &MountView, path: &[u8], past: Past) -> Option<Self> {
        let (mount, inner) = view.seen_at(if path.is_empty() { b"/" } else { path })?;
        Some(Self {
            fstype: mount.fstype.clone(),
            dev: mount.dev,
            uuid: view.uuid(mount.dev),
            source: mount.source.clone(),
            inner,
            past,
        })
    }

    /// It was made later than that.
    #[must_use]
    pub fn born_after(&self, time: Timestamp) -> bool {
        self.past.born.is_some_and(|born| born > time)
    }

    /// Root alone could make or change it before that, and it has not been changed since: who owns it
    /// now says nothing of a time before it was given to root.
    fn was_roots(&self, time: Option<Timestamp>) -> bool {
        self.past.only_root && self.unchanged_since(time)
    }
}

impl Reach {
    /// Of a session that can make this. `kept_from` are files and directories that it cannot change;
    /// `uid`: see there.
    #[must_use]
    pub fn of(
        making: &Making,
        kept_from: &[Vec<u8>],
        view: &MountView,
        host: Option<&Host>,
        uid: Option<u32>,
    ) -> Self {
        Self {
            uid,
            rules: making.clone(),
            mounts: shown(view, host),
            kept_from: kept_from.iter().map(|path| PathText::new(path)).collect(),
        }
    }

    /// The same, as it is when the session sees these mounts too; `None` where nothing is new.
    #[must_use]
    pub fn seeing(&self, view: &MountView, host: Option<&Host>) -> Option<Self> {
        let mut more = self.clone();
        let known = |shown: &Shown| self.mounts.iter().any(|known| known.is_shown_by(shown));
        more.mounts
            .extend(shown(view, host).into_iter().filter(|shown| !known(shown)));
        (more.mounts.len() > self.mounts.len()).then_some(more)
    }

    /// Whether it could make or write anything at all that keeps what is written.
    #[must_use]
    pub fn is_anywhere(&self) -> bool {
        self.rules.is_anywhere()
    }

    /// Whether a session could have put something there, or written what is there; the first that had
    /// this reach began at `opened`, where that is known.
    #[must_use]
    pub fn could(&self, rights: FileRights, spot: &Spot, opened: Option<Timestamp>) -> bool {
        if self.uid.is_some() && spot.was_roots(opened) {
            return false;
        }
        let paths: Vec<_> = self
            .mounts
            .iter()
            .filter(|shown| same_filesystem(shown, spot))
            .filter_map(|shown| seen_by(shown, &spot.inner))
            .collect();
        // What it was kept from by one name it was kept from by all of them.
        !paths.iter().any(|path| self.is_kept_from(path))
            && paths.iter().any(|path| self.rules.could_at(rights, path))
    }

    fn is_kept_from(&self, path: &[u8]) -> bool {
        self.kept_from.iter().any(|kept| {
            let rest = path.strip_prefix(kept.bytes().as_slice());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        })
    }
}

/// What is one session's own no other reaches, and whoever asks about it is told so by its device. What is written on
/// an overlay is in its upper directory, where `host` can tell that.
fn shown(view: &MountView, host: Option<&Host>) -> BTreeSet<Shown> {
    let as_it_is = |mount: &Mount| Shown {
        fstype: mount.fstype.clone(),
        dev: mount.dev,
        uuid: view.uuid(mount.dev),
        root: mount.root.clone(),
        at: mount.point.clone(),
    };
    let others = |mount: &&Mount| !view.is_of_session(mount.dev);
    let mounts = view.seen().filter(others).filter_map(|mount| {
        let is_overlay = Ground::of(&mount.fstype) == Ground::Overlay;
        match host
            .filter(|_| is_overlay)
            .and_then(|host| host.upper(mount.dev))
        {
            Some(Some(upper)) => {
                let upper = upper.below(&mount.root, Past::default());
                Some(Shown {
                    fstype: upper.fstype,
                    dev: upper.dev,
                    uuid: upper.uuid,
                    root: upper.inner,
                    at: mount.point.clone(),
                })
            }
            Some(None) => None,
            None => Some(as_it_is(mount)),
        }
    });
    mounts.collect()
}

/// What is in memory goes with its number. What is on a disk says who it is; where it does not, other
/// disks of its type are taken for it, since the number may be another after a restart.
fn same_filesystem(shown: &Shown, spot: &Spot) -> bool {
    if let (Some(shown), Some(spot)) = (shown.uuid, spot.uuid) {
        return shown == spot;
    }
    let in_memory = ["tmpfs", "ramfs", "rootfs", "devtmpfs", "proc", "sysfs"];
    shown.fstype == spot.fstype
        && (shown.dev == spot.dev || !in_memory.contains(&shown.fstype.as_str()))
}

/// The path of what is at `inner`, by this mount.
fn seen_by(shown: &Shown, inner: &[u8]) -> Option<Vec<u8>> {
    let plain = |path: &[u8]| path.strip_suffix(b"/").unwrap_or(path).to_vec();
    let (root, at) = (plain(&shown.root), plain(&shown.at));
    let rest = plain(inner);
    let rest = rest.strip_prefix(root.as_slice())?;
    (rest.is_empty() || rest.starts_with(b"/")).then(|| [at.as_slice(), rest].concat())
}

#[cfg(test)]
mod tests {
    use agent_grant::{Inputs, Source, load, model::Resolution, shipped_includes};

    use super::*;

    fn mount(id: u32, dev: u32, fstype: &str, root: &str, point: &str) -> Mount {
        Mount {
            id,
            parent: u32::from(id > 1),
            dev,
            root: root.into(),
            point: point.into(),
            fstype: fstype.into(),
            source: String::new(),
            options: Vec::new(),
        }
    }

    fn reach(rules: &str, mounts: &[Mount], uid: Option<u32>) -> Reach {
        reach_of(rules, &MountView::new(mounts), uid)
    }

    fn reach_of(rules: &str, view: &MountView, uid: Option<u32>) -> Reach {
        let text = format!("version = 1\nname = \"x\"\n{rules}");
        let source = Source::new("x", text);
        let grant = load(source, &Inputs::default(), &shipped_includes).unwrap();
        let kept_from = [b"/srv/agent/g.toml".to_vec()];
        Reach::of(&Making::of(&grant), &kept_from, view, None, uid)
    }

    const AGENT: &str = "[[file]]\nallow = [\"create\", \"read\"]\npath = [\"/srv/agent/**\"]\n\
        [[file]]\ndeny = [\"create\"]\npath = [\"/srv/agent/no/**\"]\n";

    #[test]
    fn what_a_session_could_make_is_told_by_every_name_of_the_place() {
        let host = [
            mount(1, 1, "ext4", "/", "/"),
            mount(2, 2, "tmpfs", "/", "/tmp"),
            mount(3, 1, "ext4", "/srv", "/data"),
        ];
        let view = MountView::new(&host);
        let spot = |path: &str| Spot::at(&view, path.as_bytes(), Past::default()).unwrap();
        let reach = reach(AGENT, &host, None);
        let could = |path: &str| reach.could(FileRights::CREATE, &spot(path), None);
        assert!(could("/srv/agent") && could("/srv/agent/x/y") && could("/data/agent/x"));
        assert!(!could("/srv") && !could("/srv/agents") && !could("/tmp/srv/agent"));
        assert!(!could("/srv/agent/no/x") && !could("/srv/agent/g.toml"));
        assert!(!reach.could(FileRights::WRITE, &spot("/srv/agent/x"), None));
        // The host's restart gave the disk another number; a tmpfs is another.
        let later = MountView::new(&[mount(1, 7, "ext4", "/", "/")]);
        let spot = Spot::at(&later, b"/srv/agent", Past::default()).unwrap();
        assert!(reach.could(FileRights::CREATE, &spot, None));
    }

    #[test]
    fn a_disk_in_a_workspace_is_no_other_disk() {
        let disks = [
            mount(1, 1, "ext4", "/", "/"),
            mount(2, 2, "ext4", "/", "/srv/agent"),
        ];
        let uuids = [(1, [1; 16].into()), (2, [2; 16].into())];
        let view = MountView::new(&disks).with_uuids(uuids.into());
        let reach = reach_of(AGENT, &view, None);
        // Known again by what they say, whatever their numbers are now.
        let uuids = [(1, [2; 16].into()), (2, [1; 16].into())];
        let later = MountView::new(&disks).with_uuids(uuids.into());
        let could = |view: &MountView, path: &str| {
            let spot = Spot::at(view, path.as_bytes(), Past::default()).unwrap();
            reach.could(FileRights::CREATE, &spot, None)
        };
        assert!(could(&view, "/srv/agent/bin") && !could(&view, "/bin"));
        assert!(could(&later, "/bin") && !could(&later, "/srv/agent/bin"));
        // What went before it could be asked is what it was.
        assert!(reach.seeing(&MountView::new(&disks), None).is_none());
        // One that does not say it may be any.
        let silent = MountView::new(&[mount(1, 1, "ext4", "/", "/")]);
        assert!(could(&silent, "/bin"));
    }

    #[test]
    fn who_may_only_write_to_devices_makes_nothing_anywhere() {
        let host = [mount(1, 1, "ext4", "/", "/")];
        assert!(!reach("include = [\"base\"]\n", &host, None).is_anywhere());
        assert!(reach(AGENT, &host, None).is_anywhere());
        let device = "[[file]]\nallow = [\"create\"]\npath = [\"/dev/null\"]\n";
        assert!(reach(device, &host, None).is_anywhere());
        assert!(reach("mode = \"audit\"\n", &host, None).is_anywhere());
    }

    #[test]
    fn a_container_is_told_of_the_same_place() {
        let inside = [
            mount(1, 5, "overlay", "/", "/"),
            mount(2, 1, "ext4", "/srv/agent", "/app"),
        ];
        let rules = "[[file]]\nallow = [\"create\"]\npath = [\"/app/**\"]\n";
        let reach = reach(rules, &inside, None);
        let view = MountView::new(&[mount(1, 1, "ext4", "/", "/")]);
        let could = |path: &str| {
            let spot = Spot::at(&view, path.as_bytes(), Past::default()).unwrap();
            reach.could(FileRights::CREATE, &spot, None)
        };
        assert!(could("/srv/agent/link") && !could("/app/link"));
    }

    #[test]
    fn who_is_not_root_makes_nothing_where_root_alone_may() {
        let host = [mount(1, 1, "ext4", "/", "/")];
        let view = MountView::new(&host);
        let audit = "mode = \"audit\"\n";
        let at = |seconds| Timestamp::from_second(seconds).ok();
        let user = Some(1000);
        for (uid, only_root, changed, opened, expected) in [
            (user, true, at(1), at(2), false),
            (user, false, at(1), at(2), true),
            (None, true, at(1), at(2), true),
            // Given to root later, or nobody knows when.
            (user, true, at(2), at(2), true),
            (user, true, at(3), at(2), true),
            (user, true, at(1), None, true),
            (user, true, None, at(2), true),
        ] {
            let past = Past {
                only_root,
                born: None,
                changed,
            };
            let spot = Spot::at(&view, b"/bin", past).unwrap();
            let could = reach(audit, &host, uid).could(FileRights::CREATE, &spot, opened);
            assert_eq!(could, expected, "{uid:?} {past:?} {opened:?}");
        }
    }

    #[test]
    fn a_name_that_is_no_text_takes_nothing_out_of_a_reach() {
        let host = [mount(1, 1, "ext4", "/", "/")];
        let source = Source::new("x", format!("version = 1\nname = \"x\"\n{AGENT}"));
        let mut grant = load(source, &Inputs::default(), &shipped_includes).unwrap();
        grant
            .resolve_prefixes(&mut |_| Ok(Resolution::To(vec![b"/srv/\xff".to_vec()])))
            .unwrap();
        let reach = Reach::of(&Making::of(&grant), &[], &MountView::new(&host), None, None);
        let kept = serde_json::to_string(&reach).unwrap();
        assert_eq!(serde_json::from_str::<Reach>(&kept).unwrap(), reach);
        for path in [&b"/srv/\xff/x"[..], b"/elsewhere"] {
            let spot = Spot::at(&MountView::new(&host), path, Past::default()).unwrap();
            assert!(reach.could(FileRights::CREATE, &spot, None));
        }
    }

    #[test]
    fn what_is_kept_says_the_same() {
        let host = [mount(1, 1, "ext4", "/", "/")];
        let reach = reach(AGENT, &host, Some(1000));
        let kept = serde_json::to_string(&reach).unwrap();
        assert_eq!(serde_json::from_str::<Reach>(&kept).unwrap(), reach);
        assert!(reach.seeing(&MountView::new(&host), None).is_none());
        let more = [
            host[0].clone(),
            mount(2, 9, "vfat", "/", "/srv/agent/stick"),
        ];
        let more = reach.seeing(&MountView::new(&more), None).unwrap();
        let spot = Spot::at(
            &MountView::new(&[mount(1, 9, "vfat", "/", "/")]),
            b"/x",
            Past::default(),
        );
        assert!(more.could(FileRights::CREATE, &spot.unwrap(), None));
    }
}
