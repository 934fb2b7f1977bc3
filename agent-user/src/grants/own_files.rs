//! The files that enforcement stands on, found as objects: where they are in their filesystem, and so by
//! which paths a session knows them, wherever else they are mounted.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    os::{
        fd::AsRawFd,
        unix::{
            ffi::{OsStrExt, OsStringExt},
            fs::OpenOptionsExt,
        },
    },
    path::{Path, PathBuf},
};

use agent_grant::Protected;

use crate::{
    api::DEFAULT_SOCKET,
    mounts::{self, Mount, Names, Shown},
};

/// Where the daemon keeps what it needs, in its own mount namespace.
#[derive(Clone, Debug)]
pub struct OwnFiles {
    pub socket: PathBuf,
    pub state: PathBuf,
}

/// Where operators put grants.
const CONFIG: &str = "/etc/bailiff";
/// The store's directory where nobody says otherwise.
pub const DEFAULT_STATE: &str = "/var/lib/bailiff";

impl Default for OwnFiles {
    fn default() -> Self {
        Self {
            socket: DEFAULT_SOCKET.into(),
            state: DEFAULT_STATE.into(),
        }
    }
}

/// An object by its filesystem's device and its path from the root of that.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Object {
    dev: u32,
    inner: Vec<u8>,
}

impl OwnFiles {
    /// This program's file; where it was replaced since it was started, the one in its place.
    pub fn program() -> io::Result<PathBuf> {
        let path = std::env::current_exe()?.into_os_string().into_vec();
        let path = path.strip_suffix(b" (deleted)").unwrap_or(&path);
        let path = PathBuf::from(OsStr::from_bytes(path));
        Ok(fs::canonicalize(&path).unwrap_or(path))
    }

    /// Where they are now.
    pub fn places(&self) -> io::Result<OwnPlaces> {
        let mounts = mounts::parse(&fs::read("/proc/self/mountinfo")?).map_err(io::Error::other)?;
        let find = |path: &Path| -> io::Result<Place> {
            Ok(Place {
                path: plain(path),
                object: locate(path, &mounts)?,
            })
        };
        let run = self.socket.parent().unwrap_or(Path::new("/"));
        Ok(OwnPlaces {
            state: find(&self.state)?,
            run: find(run)?,
            // The socket is made anew at every start: it is where its directory is.
            socket: self
                .socket
                .file_name()
                .unwrap_or_default()
                .as_bytes()
                .into(),
            config: find(Path::new(CONFIG))?,
            program: find(&Self::program()?)?,
        })
    }
}

/// Where the daemon's own files are.
#[derive(Clone, Debug)]
pub struct OwnPlaces {
    state: Place,
    run: Place,
    socket: Vec<u8>,
    config: Place,
    program: Place,
}

#[derive(Clone, Debug)]
struct Place {
    path: Vec<u8>,
    object: Option<Object>,
}

impl Place {
    /// The path itself, and the one by which its object is known.
    fn known_by(&self, names: &Names) -> Vec<Vec<u8>> {
        let object = self.object.as_ref();
        let known = object.and_then(|object| names.full_path(object.dev, &object.inner));
        known.into_iter().chain([self.path.clone()]).collect()
    }
}

impl OwnPlaces {
    /// The filesystems that they are on.
    pub(super) fn devices(&self) -> impl Iterator<Item = u32> + use<> {
        let places = [&self.state, &self.config, &self.program];
        places
            .map(|place| place.object.as_ref().map(|object| object.dev))
            .into_iter()
            .flatten()
    }

    /// By which paths they are known where filesystems have these names, besides their usual ones.
    #[must_use]
    pub fn known_by(&self, names: &Names) -> Protected {
        let run = self.run.known_by(names);
        let in_run = |directory: &Vec<u8>| [directory, b"/".as_slice(), &self.socket].concat();
        Protected {
            state: self.state.known_by(names),
            socket: run.iter().map(in_run).collect(),
            run,
            config: self.config.known_by(names),
            program: self.program.known_by(names),
        }
    }

    /// Whether any of them is in this part of a filesystem.
    #[must_use]
    pub fn are_in(&self, dev: u32, shown: &Shown) -> bool {
        let places = [&self.state, &self.run, &self.config, &self.program];
        let mut objects = places.into_iter().filter_map(|place| place.object.as_ref());
        objects.any(|object| object.dev == dev && shown.has(&object.inner))
    }
}

/// Not there, or not for this user to see.
fn is_hidden(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
    )
}

fn plain(path: &Path) -> Vec<u8> {
    path.components()
        .collect::<PathBuf>()
        .into_os_string()
        .into_encoded_bytes()
}

/// Where `path` is; what is not there yet will be in its directory. `None`: that has no place any more.
fn locate(path: &Path, mounts: &[Mount]) -> io::Result<Option<Object>> {
    let mut rest = Vec::new();
    let mut at = path;
    let open = |path: &Path| {
        File::options()
            .read(true)
            .custom_flags(libc::O_PATH)
            .open(path)
    };
    let file = loop {
        match (open(at), at.parent(), at.file_name()) {
            (Ok(file), ..) => break file,
            (Err(error), Some(parent), Some(name)) if is_hidden(&error) => {
                rest.splice(..0, [b"/", name.as_bytes()].concat());
                at = parent;
            }
            (Err(error), ..) => return Err(error),
        }
    };
    let fd = file.as_raw_fd();
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}"))?;
    let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    let id = id.and_then(|id| id.trim().parse::<u32>().ok());
    let mount = mounts.iter().find(|mount| Some(mount.id) == id);
    let seen = fs::read_link(format!("/proc/self/fd/{fd}"))?;
    let inner = mount.filter(|mount| mount.has_place()).and_then(|mount| {
        let point = Path::new(OsStr::from_bytes(&mount.point));
        let inside = seen.strip_prefix(point).ok()?;
        let root = Path::new(OsStr::from_bytes(&mount.root));
        let found = plain(&root.join(inside));
        let found = if found == b"/" && !rest.is_empty() {
            rest
        } else {
            [found, rest].concat()
        };
        Some(Object {
            dev: mount.dev,
            inner: found,
        })
    });
    Ok(inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mounts::MountNamespace;

    #[test]
    fn what_is_here_is_found_and_what_is_not_yet() {
        let dir = tempfile::tempdir().unwrap();
        let real = fs::canonicalize(dir.path()).unwrap();
        let view = MountNamespace::of_process(std::process::id())
            .and_then(|namespace| namespace.view())
            .unwrap();
        let own = OwnFiles {
            socket: real.join("run/b.sock"),
            state: real.clone(),
        };
        let found = own.places().unwrap().known_by(view.names());
        assert!(found.state.contains(&plain(&real)));
        let canonical = view.canonical(&plain(&real.join("run")));
        assert!(found.run.contains(&canonical), "{found:?}");
        assert!(
            found
                .socket
                .contains(&[canonical.as_slice(), b"/b.sock"].concat())
        );
    }
}
