//! The cgroup of a container that its runtime is about to start.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use crate::{
    daemon::{error::RequestError, state::Daemon},
    mounts::MountView,
    process::{self, ProcessHandle},
};

/// A container as its runtime has made it.
pub(in crate::daemon) struct Made {
    /// What will execute its program.
    pub(in crate::daemon) first: ProcessHandle,
    /// Device and inode of its root directory, where it can be seen from here.
    pub(in crate::daemon) root: Option<(u64, u64)>,
    /// Where something is to be mounted in it.
    destinations: Vec<String>,
}

impl Made {
    pub(super) fn new(first: ProcessHandle, root: Option<&str>, destinations: &[String]) -> Self {
        let root = root.and_then(|root| identity(Path::new(root)));
        Self {
            first,
            root,
            destinations: destinations.to_vec(),
        }
    }

    /// Where something was to be mounted, and nothing is: runtimes follow an image's links, so that it is mounted where
    /// one of these leads, and a grant's paths there would mean it.
    pub(in crate::daemon) fn led_away(&self, view: &MountView) -> Option<&str> {
        let is_there = |destination: &str| {
            let destination = match destination.trim_end_matches('/') {
                "" => "/",
                bare => bare,
            };
            view.seen()
                .any(|mount| mount.point == destination.as_bytes())
        };
        let mut destinations = self.destinations.iter().map(String::as_str);
        destinations.find(|destination| !is_there(destination))
    }
}

/// An empty directory is what a filesystem would be mounted on, in some other mount namespace.
fn identity(root: &Path) -> Option<(u64, u64)> {
    fs::read_dir(root).ok()?.next()?.ok()?;
    let found = fs::metadata(root).ok()?;
    Some((found.dev(), found.ino()))
}

impl Daemon {
    /// The path of the cgroup that is this container's alone, with all that will be in it, and its first process.
    ///
    /// # Errors
    /// There is none: others would be limited with it.
    pub(super) fn place_of_container(
        &self,
        pid: u32,
        id: &str,
    ) -> Result<(String, ProcessHandle), RequestError> {
        let gone = |error| RequestError::failed("cannot find the container's cgroup", error);
        let handle = ProcessHandle::open(pid).map_err(gone)?;
        let own = self.hierarchy.of_process(pid).map_err(gone)?;
        let path = container_of(&own, id);
        let cgroup = self.hierarchy.open(path).map_err(gone)?;
        let inside = cgroup.processes().map_err(gone)?;
        // While it lives its number is its own.
        if !handle.alive() {
            return Err(RequestError::NotFound(
                "the container's process has ended".into(),
            ));
        }
        let is_another = |other: &u32| *other != pid && process::is_running(*other);
        if let Some(other) = inside.into_iter().find(is_another) {
            return Err(RequestError::Conflict(format!(
                "the cgroup of the container, {}, is not its own: process {other} ({}) is in it, and would come \
                 under the grant with it",
                path.display(),
                process::comm(other).unwrap_or_else(|| "?".into()),
            )));
        }
        Ok((path.to_string_lossy().into_owned(), handle))
    }
}

/// The cgroup that engines make for a container, above the one that its runtime makes for the first process
/// (`libpod-ID.scope/container`): it is called after the container.
fn container_of<'a>(own: &'a Path, id: &str) -> &'a Path {
    let is_named = |path: &&Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.strip_suffix(".scope").unwrap_or(&name);
        name == id
            || name
                .strip_suffix(id)
                .is_some_and(|kind| kind.ends_with(['-', ':']))
    };
    let mut above = own.ancestors().filter(|_| !id.is_empty());
    above.find(is_named).unwrap_or(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_containers_cgroup_is_called_after_it() {
        let of = |own: &'static str, id| container_of(Path::new(own), id).to_str().unwrap();
        let scope = "/machine.slice/libpod-ab12.scope";
        assert_eq!(
            of("/machine.slice/libpod-ab12.scope/container", "ab12"),
            scope
        );
        assert_eq!(of("/machine.slice/libpod-ab12.scope", "ab12"), scope);
        assert_eq!(
            of("/system.slice/docker-ab12.scope/init", "ab12"),
            "/system.slice/docker-ab12.scope"
        );
        assert_eq!(of("/user.slice/a", "a"), "/user.slice/a");
        for other in ["/user.slice/x", "/machine.slice/ab/container", "/a-slice/b"] {
            assert_eq!(of(other, "a"), other);
        }
        assert_eq!(of("/a", ""), "/a");
    }
}
