//! Where something is, as the kernel finds it.

use std::{
    fs,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use agent_grant::net;

use crate::{api::Inputs, mounts::MountView, render::escape};

/// What somebody means who writes `~/x`, `./x`, `a/b`, or the name of what is here: the path from the root. Anything
/// else stays as it is.
pub(super) fn meant(object: &str, inputs: &Inputs) -> String {
    let below = |directory: &Option<String>, rest: &str| {
        let directory = directory.as_ref()?.trim_end_matches('/');
        Some(match rest {
            "" => directory.to_owned(),
            rest => format!("{directory}/{rest}"),
        })
    };
    let found = if object == "~" || object.starts_with("~/") {
        below(&inputs.home, object.trim_start_matches(['~', '/']))
    } else if object.starts_with('/') || net::parse_endpoint(object).is_ok() {
        None
    } else if object.contains('/') || matches!(object, "." | "..") || Path::new(object).exists() {
        let rest = object.strip_prefix("./").unwrap_or(object);
        below(&inputs.cwd, if rest == "." { "" } else { rest })
    } else {
        None
    };
    found.unwrap_or_else(|| object.to_owned())
}

/// # Errors
/// `..` in a path of which not all is there: where that leads, nobody knows.
pub(super) fn must_lead_somewhere(path: &str) -> anyhow::Result<()> {
    let goes_up = Path::new(path)
        .components()
        .any(|c| c == Component::ParentDir);
    if goes_up && fs::canonicalize(path).is_err() {
        anyhow::bail!(
            "`{}` goes up by `..`, and not all of it is there: write the path that is meant, without `..`",
            escape(path)
        );
    }
    Ok(())
}

/// The path by which the kernel judges what `path` leads to.
pub(super) fn of_object(view: &MountView, path: &Path) -> Vec<u8> {
    walked(view, &followed(path))
}

/// The path by which the kernel judges the name `path` itself, which may be a link or free.
pub(super) fn of_name(view: &MountView, path: &Path) -> Vec<u8> {
    walked(view, &with_last_name(path))
}

/// The root is the empty path.
fn walked(view: &MountView, path: &Path) -> Vec<u8> {
    let path = view.canonical(path.as_os_str().as_bytes());
    if path == b"/" { Vec::new() } else { path }
}

/// A path with links followed, as far as it exists.
fn followed(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| with_last_name(path))
}

fn with_last_name(path: &Path) -> PathBuf {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => followed(parent).join(name),
        _ => path.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::mounts::Mount;

    #[test]
    fn what_a_bind_mount_shows_is_judged_where_more_of_it_is_seen() {
        let mount = |id, root: &str, point: &str| Mount {
            id,
            parent: id - 1,
            dev: 1,
            root: root.into(),
            point: point.into(),
            fstype: "ext4".into(),
            source: "none".into(),
            options: Vec::new(),
        };
        let view = MountView::new(&[mount(1, "/", "/"), mount(2, "/store/w", "/nonesuch")]);
        let path = Path::new("/nonesuch/a/b");
        assert_eq!(of_object(&view, path), b"/store/w/a/b");
        assert_eq!(of_name(&view, path), b"/store/w/a/b");
    }

    #[test]
    fn a_path_is_written_as_for_a_shell() {
        let inputs = Inputs {
            cwd: Some("/w".into()),
            home: Some("/home/u".into()),
            ..Inputs::default()
        };
        for (written, meant) in [
            ("~/x", "/home/u/x"),
            ("~", "/home/u"),
            ("./x", "/w/x"),
            ("a/b", "/w/a/b"),
            (".", "/w"),
            ("../x", "/w/../x"),
            ("/x", "/x"),
            ("10.0.0.0:443/tcp", "10.0.0.0:443/tcp"),
            ("nonesuch", "nonesuch"),
        ] {
            assert_eq!(super::meant(written, &inputs), meant);
        }
    }

    #[test]
    fn what_goes_up_from_nowhere_leads_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let path = |rest: &str| format!("{}/{rest}", dir.path().display());
        assert!(must_lead_somewhere(&path("none/below")).is_ok());
        assert!(must_lead_somewhere(&path("..")).is_ok());
        assert!(must_lead_somewhere(&path("none/../../etc/shadow")).is_err());
    }

    #[test]
    fn links_are_followed_as_far_as_there_is_something() {
        let dir = tempfile::tempdir().unwrap();
        let dir = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir(dir.join("real")).unwrap();
        symlink("real", dir.join("link")).unwrap();
        let view = MountView::default();
        let bytes = |path: &str| dir.join(path).into_os_string().into_encoded_bytes();
        for (path, object, name) in [
            ("link", "real", "link"),
            ("link/new", "real/new", "real/new"),
            ("link/new/below", "real/new/below", "real/new/below"),
            ("none/below", "none/below", "none/below"),
        ] {
            let path = dir.join(path);
            assert_eq!(of_object(&view, &path), bytes(object));
            assert_eq!(of_name(&view, &path), bytes(name));
        }
        assert_eq!(of_object(&view, Path::new("/")), b"");
    }
}
