//! The cgroup of a container that its runtime is about to start.

use std::{fs, os::unix::fs::MetadataExt, path::Path, sync::Arc};

use crate::{
    daemon::{error::RequestError, state::Daemon},
    grants::{Spot, origin},
    mounts::{Mount, MountNamespace, MountView},
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
    /// What of the host is to be mounted in it.
    pub(super) bound: Vec<Bound>,
}

/// Something of the host that a container is to see.
pub(in crate::daemon) struct Bound {
    source: String,
    destination: String,
    /// The filesystem that is at the source, and the path from its root.
    object: (u32, Vec<u8>),
}

impl Made {
    pub(super) fn new(first: ProcessHandle, root: Option<&str>, destinations: &[String]) -> Self {
        let root = root.and_then(|root| identity(Path::new(root)));
        Self {
            first,
            root,
            destinations: destinations.to_vec(),
            bound: Vec::new(),
        }
    }

    /// Where something was to be mounted, and nothing is: runtimes follow an image's links, so that it is mounted where
    /// one of these leads, and a grant's paths there would mean it.
    pub(in crate::daemon) fn led_away(&self, view: &MountView) -> Option<&str> {
        let mut destinations = self.destinations.iter().map(String::as_str);
        destinations.find(|destination| mounted_at(view, destination).is_none())
    }

    /// See [`taken_elsewhere`].
    pub(in crate::daemon) fn taken_elsewhere(&self, view: &MountView) -> Option<String> {
        taken_elsewhere(&self.bound, view, true)
    }
}

/// Where something else of the host is mounted than is at its source now: whoever mounted it followed a link there that
/// somebody has replaced since. In the host's own root directory a destination may be a link, which is the host's
/// (`/lib`): there it is enough that it is mounted.
pub(in crate::daemon) fn taken_elsewhere(
    bound: &[Bound],
    view: &MountView,
    is_image: bool,
) -> Option<String> {
    let is_it = |bound: &&Bound| {
        let shows = |mount: &Mount| (mount.dev, &mount.root) == (bound.object.0, &bound.object.1);
        match is_image {
            true => mounted_at(view, &bound.destination).is_some_and(shows),
            false => view.seen().any(shows),
        }
    };
    let other = bound.iter().find(|bound| !is_it(bound))?;
    Some(format!(
        "what is mounted at {} is not what is at {} of the host: somebody replaced a link there meanwhile, or a link \
         at the first leads elsewhere. Name the directories that are meant, and start it anew",
        other.destination, other.source
    ))
}

/// What is mounted at a place that an engine named.
fn mounted_at<'v>(view: &'v MountView, destination: &str) -> Option<&'v Mount> {
    let destination = match destination.trim_end_matches('/') {
        "" => "/",
        bare => bare,
    };
    view.seen()
        .find(|mount| mount.point == destination.as_bytes())
}

/// An empty directory is what a filesystem would be mounted on, in some other mount namespace.
fn identity(root: &Path) -> Option<(u64, u64)> {
    fs::read_dir(root).ok()?.next()?.ok()?;
    let found = fs::metadata(root).ok()?;
    Some((found.dev(), found.ino()))
}

impl Daemon {
    /// What a container is to see of the host, by the paths from which its runtime takes it: where that is, which its
    /// hook is as well. `others` are paths that lead to more of it.
    ///
    /// # Errors
    /// A session could have chosen what one of them means: the runtime follows every link.
    pub(in crate::daemon) async fn bound(
        self: &Arc<Self>,
        binds: impl IntoIterator<Item = (String, String)> + Send + 'static,
        others: Vec<String>,
        hook: u32,
    ) -> Result<Vec<Bound>, RequestError> {
        let look = move |daemon: &Self| {
            let failed = |error| RequestError::failed("cannot see what is mounted", error);
            let mounts = MountNamespace::of_process(hook).map_err(failed)?;
            let view = mounts.view().map_err(failed)?;
            let witness = daemon.witness()?;
            let makers = |spot: &Spot| witness.against_link(spot);
            let lead = |path: &str| {
                origin(mounts.root(), &view, path.as_bytes(), &makers).map_err(|why| {
                    RequestError::Conflict(format!(
                        "it is to see {path} of the host, and {why}: name the directory that is meant"
                    ))
                })
            };
            for path in &others {
                lead(path)?;
            }
            let found = binds.into_iter().map(|(destination, source)| {
                let object = lead(&source)?;
                Ok(Bound {
                    source,
                    destination,
                    object,
                })
            });
            found.collect()
        };
        self.blocking(look).await
    }

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
