//! Where a session's files are: on the root filesystem, on an overlay, below a bind mount, in a
//! changed root.

use std::{fs, path::PathBuf};

use super::{Check, Doing, process::shell, session::Launch};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// `/w` on the root filesystem.
    Plain,
    /// Everything on an overlay; the fixture is in its lower layer.
    Overlay,
    /// The workspace is a bind mount of a directory, seen under both names.
    Bind,
    /// The session is started by `chroot`.
    Chroot,
    /// As [`Self::Plain`], in a user and a mount namespace that the session makes.
    Nested,
}

impl Place {
    /// What a scenario's name says of it.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Overlay => " on an overlay",
            Self::Bind => " below a bind mount",
            Self::Chroot => " after chroot",
            Self::Nested => " in a namespace of its own",
        }
    }
}

/// The directories of a place, as the session sees them.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) place: Place,
    /// The session's root directory, as the host sees it.
    pub(crate) root: PathBuf,
    /// Granted: everything.
    pub(crate) workspace: String,
    /// Granted: read, list.
    pub(crate) reference: String,
    /// Granted: read, write, create, list; neither delete nor exec.
    pub(crate) dropbox: String,
    /// Granted: nothing.
    pub(crate) outside: String,
    /// The session's `HOME`. Granted: nothing.
    pub(crate) home: String,
    /// Where fixtures are put, if not where the session sees them: (prefix there, prefix here).
    layer: Option<(String, String)>,
}

const OVERLAY: &str = "/ov";
const LOWER: &str = "/ovl/lower";
const JAIL: &str = "/jail";
const OWN_NAMESPACE: [&str; 5] = ["unshare", "--user", "--map-root-user", "--mount", "--"];

impl World {
    /// The directories of a place; nothing is made.
    pub(crate) fn describe(place: Place) -> Self {
        let top = if place == Place::Overlay { OVERLAY } else { "" };
        let at = |path: &str| format!("{top}{path}");
        Self {
            place,
            root: if place == Place::Chroot {
                JAIL.into()
            } else {
                "/".into()
            },
            workspace: if place == Place::Bind {
                "/bound/w".into()
            } else {
                at("/w")
            },
            reference: at("/srv/reference"),
            dropbox: at("/srv/dropbox"),
            outside: at("/srv/outside"),
            home: at("/home/user"),
            layer: (place == Place::Overlay).then(|| (OVERLAY.into(), LOWER.into())),
        }
    }

    /// Makes the directories. The overlay is mounted by [`Self::finish`], after the fixtures.
    pub(crate) fn make(place: Place) -> Check<Self> {
        let world = Self::describe(place);
        match place {
            Place::Plain | Place::Nested => {}
            Place::Overlay => drop(shell(&format!(
                "mkdir -p {OVERLAY} {LOWER} /ovl/upper /ovl/work"
            ))?),
            Place::Bind => {
                drop(shell(
                    "mkdir -p /store/w /bound/w && mount --bind /store/w /bound/w",
                )?);
            }
            Place::Chroot => jail()?,
        }
        for dir in [
            &world.workspace,
            &world.reference,
            &world.dropbox,
            &world.outside,
            &world.home,
        ] {
            fs::create_dir_all(world.fixture(dir)).doing(&format!("make {dir}"))?;
        }
        Ok(world)
    }

    /// Brings the world into the form in which sessions see it.
    pub(crate) fn finish(&self) -> Check {
        if self.place == Place::Overlay {
            let options =
                format!("lowerdir={LOWER},upperdir=/ovl/upper,workdir=/ovl/work,redirect_dir=on");
            shell(&format!("mount -t overlay overlay -o {options} {OVERLAY}"))?;
        }
        Ok(())
    }

    /// Whether its sessions go on in namespaces that they make.
    pub(crate) fn is_nested(&self) -> bool {
        self.place == Place::Nested || nests_all()
    }

    /// Takes down what was mounted.
    pub(crate) fn leave(&self) -> Check {
        match self.place {
            Place::Plain | Place::Nested => Ok(()),
            Place::Overlay => shell(&format!("umount {OVERLAY}; rm -rf /ovl {OVERLAY}")).map(drop),
            Place::Bind => shell("umount /bound/w; rm -rf /bound /store").map(drop),
            Place::Chroot => shell(&format!(
                "for m in run/bailiff sys/fs/cgroup dev/pts dev proc usr; do umount {JAIL}/$m; done; rm -rf {JAIL}"
            ))
            .map(drop),
        }
    }

    /// Where a path of the session is put as a fixture.
    pub(crate) fn fixture(&self, path: &str) -> PathBuf {
        match &self.layer {
            Some((there, here)) if path.starts_with(there.as_str()) => {
                PathBuf::from(path.replacen(there.as_str(), here, 1))
            }
            _ => self.seen(path),
        }
    }

    /// Where a path of the session is seen by the host.
    pub(crate) fn seen(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Starts sessions here under the grant that stands in this file.
    pub(crate) fn launch(&self, grant: &str, text: &str) -> Check<Launch> {
        let path = format!("/grant-{grant}.toml");
        // Made anew: a file that stays the same may be an earlier session's.
        let _ = fs::remove_file(self.seen(&path));
        let text = if self.is_nested() {
            opened(text)
        } else {
            text.into()
        };
        fs::write(self.seen(&path), &text).doing(&format!("write {path}"))?;
        let before = match self.place {
            Place::Chroot => vec!["chroot".into(), JAIL.into()],
            _ => Vec::new(),
        };
        let inner = match self.is_nested() {
            true => OWN_NAMESPACE.map(str::to_owned).into(),
            false => Vec::new(),
        };
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut sets = vec![
            set("workspace", &self.workspace),
            set("reference", &self.reference),
            set("dropbox", &self.dropbox),
        ];
        sets.retain(|(name, _)| text.contains(&format!("\n{name} = ")));
        Ok(Launch {
            before,
            inner,
            grant: path,
            sets,
            home: Some(self.home.clone()),
        })
    }
}

/// Whether every session makes namespaces of its own first (`cargo xtask test --nested`).
pub(crate) fn nests_all() -> bool {
    std::env::var_os("NESTED_SESSIONS").is_some()
}

/// A grant with which a session may make namespaces.
fn opened(text: &str) -> String {
    const OPENED: &str = "containers = true";
    if text.contains(OPENED) {
        return text.into();
    }
    match text.split_once("\n[kernel]\n") {
        Some((before, after)) => format!("{before}\n[kernel]\n{OPENED}\n{after}"),
        None => format!("{text}\n[kernel]\n{OPENED}\n"),
    }
}

/// A root directory that shares the host's programs.
fn jail() -> Check {
    shell(&format!(
        "mkdir -p {JAIL}/{{usr,proc,dev,dev/pts,etc,run/bailiff,tmp,root,sys/fs/cgroup}}
         cd {JAIL}
         for l in bin sbin lib lib64; do ln -sfn usr/$l $l; done
         cp -a /etc/ld.so.cache /etc/passwd /etc/group /etc/nsswitch.conf etc/
         cp -a /etc/alternatives etc/
         mount --bind /usr usr
         mount --bind /proc proc
         mount --bind /dev dev
         mount --bind /dev/pts dev/pts
         mount --bind /sys/fs/cgroup sys/fs/cgroup
         mount --bind /run/bailiff run/bailiff"
    ))
    .map(drop)
}
