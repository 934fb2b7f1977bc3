//! What a path of the host means to somebody who follows its links, whoever made them: a container's runtime.

use std::os::fd::BorrowedFd;

use super::{Makers, Spot, trail::follow};
use crate::{mounts::MountView, render::escape::escape_bytes};

/// The filesystem to which a path leads, by its device, and the path from the root of that.
///
/// # Errors
/// Why that cannot be told, or may have been a session's to say.
pub fn origin(
    root: BorrowedFd<'_>,
    view: &MountView,
    path: &[u8],
    makers: &Makers<'_>,
) -> Result<(u32, Vec<u8>), String> {
    let trail = follow(root, path, None).map_err(|error| error.to_string())?;
    for link in &trail.links {
        let because = match Spot::at(view, &link.own, link.past) {
            Some(spot) => makers(&spot),
            None => Some("lies in a place that cannot be told".into()),
        };
        if let Some(because) = because {
            return Err(format!(
                "it leads through {}, which {because}",
                escape_bytes(&link.own)
            ));
        }
    }
    let real = match trail.real.as_slice() {
        b"" => b"/",
        real => real,
    };
    view.object_at(real)
        .ok_or_else(|| "it cannot be told where it leads".into())
}

#[cfg(test)]
mod tests {
    use std::{fs, fs::File, os::fd::AsFd as _, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn a_path_leads_where_links_lead_that_are_no_sessions() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("srv/real")).unwrap();
        symlink("/srv/real", directory.path().join("link")).unwrap();
        let root = File::open(directory.path()).unwrap();
        let view =
            MountView::new(&crate::mounts::parse(b"1 0 0:7 / / rw - ext4 none rw\n").unwrap());
        let lead =
            |path: &str, makers: &Makers<'_>| origin(root.as_fd(), &view, path.as_bytes(), makers);
        let real = Ok((7, b"/srv/real".to_vec()));
        let (nobodys, sessions) = (|_: &Spot| None, |_: &Spot| Some("is x's".to_owned()));
        assert_eq!(lead("/srv/real/", &sessions), real);
        assert_eq!(lead("/link", &nobodys), real);
        assert_eq!(lead("/", &sessions), Ok((7, b"/".to_vec())));
        let why = lead("/link", &sessions).unwrap_err();
        assert_eq!(why, "it leads through /link, which is x's");
    }
}
