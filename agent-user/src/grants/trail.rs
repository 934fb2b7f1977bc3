//! Following a path as the kernel would, in another process's root, and noting who could have
//! changed where it leads.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, openat, readlinkat},
    sys::{
        stat::{FileStat, Mode, fstat},
        statfs::{PROC_SUPER_MAGIC, fstatfs},
    },
};

/// As many links as the kernel follows.
const MAX_LINKS: usize = 40;

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trail {
    /// Without links, as far as the path exists; `""` is the root.
    pub(super) real: Vec<u8>,
    /// Where the path's last part is a link: that link's own path, without links before it.
    pub(super) link: Option<Vec<u8>>,
    /// The first link on the way that others than root could have made or changed.
    pub(super) untrusted: Option<Vec<u8>>,
}

/// One directory on the way.
struct Step {
    fd: OwnedFd,
    name: Vec<u8>,
    /// Nobody but root can change what is in it, nor in those above.
    safe: bool,
}

/// Follows `path` (`""` or `/a/b`) from `root`.
pub(super) fn follow(root: BorrowedFd<'_>, path: &[u8]) -> io::Result<Trail> {
    let base = root.try_clone_to_owned()?;
    let safe = only_root_changes(&fstat(&base)?);
    let mut steps = vec![Step {
        fd: base,
        name: Vec::new(),
        safe,
    }];
    let mut trail = Trail {
        real: Vec::new(),
        link: None,
        untrusted: None,
    };
    let mut rest = components(path);
    // Components of the path as given that are still to come; those of links do not count.
    let mut given = rest.len();
    let mut links = 0;
    while let Some(name) = rest.pop_front() {
        let last_given = given == 1 && rest.is_empty();
        given = given.min(rest.len());
        if name == b".." {
            if steps.len() > 1 {
                steps.pop();
            }
            continue;
        }
        let Some(here) = steps.last() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = match openat(&here.fd, name.as_slice(), flags, Mode::empty()) {
            Ok(fd) => fd,
            // What is not there stays as it is written.
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES) => {
                trail.real = joined(&steps, std::iter::once(&name).chain(&rest));
                return Ok(trail);
            }
            Err(error) => return Err(error.into()),
        };
        let stat = fstat(&fd)?;
        // Links of /proc lead elsewhere for every process that follows them.
        let magic = || fstatfs(&fd).is_ok_and(|fs| fs.filesystem_type() == PROC_SUPER_MAGIC);
        if stat.st_mode & libc::S_IFMT != libc::S_IFLNK || magic() {
            let safe = here.safe && only_root_changes(&stat);
            steps.push(Step { fd, name, safe });
            continue;
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(Errno::ELOOP.into());
        }
        let own = joined(&steps, [&name]);
        // A second name may have been given to it by somebody else.
        let trusted = here.safe && stat.st_uid == 0 && stat.st_nlink == 1;
        if !trusted && trail.untrusted.is_none() {
            trail.untrusted = Some(own.clone());
        }
        if last_given {
            trail.link = Some(own);
        }
        let target = readlinkat(fd.as_fd(), c"")?.into_encoded_bytes();
        if target.starts_with(b"/") {
            steps.truncate(1);
        }
        for part in components(&target).into_iter().rev() {
            rest.push_front(part);
        }
    }
    trail.real = joined(&steps, []);
    Ok(trail)
}

fn components(path: &[u8]) -> VecDeque<Vec<u8>> {
    path.split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .map(<[u8]>::to_vec)
        .collect()
}

fn joined<'a>(steps: &'a [Step], rest: impl IntoIterator<Item = &'a Vec<u8>>) -> Vec<u8> {
    let names = steps.iter().skip(1).map(|step| &step.name).chain(rest);
    names
        .flat_map(|name| [b"/".as_slice(), name].concat())
        .collect()
}

/// Nobody but root can change what root owns in it: it is root's, and others cannot write it, or
/// it is sticky. An ACL that lets others write shows in the group's bits.
fn only_root_changes(stat: &FileStat) -> bool {
    stat.st_uid == 0 && (stat.st_mode & 0o022 == 0 || stat.st_mode & libc::S_ISVTX != 0)
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        os::unix::{ffi::OsStrExt, fs::symlink},
    };

    use super::*;

    struct Fixture {
        dir: tempfile::TempDir,
        root: File,
    }

    impl Fixture {
        /// A root with `/usr/bin/tool`, `/bin -> usr/bin`, `/home/u/link -> /usr`.
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let at = |path: &str| dir.path().join(path);
            fs::create_dir_all(at("usr/bin")).unwrap();
            fs::create_dir_all(at("home/u")).unwrap();
            fs::write(at("usr/bin/tool-1"), "").unwrap();
            symlink("tool-1", at("usr/bin/tool")).unwrap();
            symlink("usr/bin", at("bin")).unwrap();
            symlink("/usr", at("home/u/link")).unwrap();
            symlink("loop", at("loop")).unwrap();
            let root = File::open(dir.path()).unwrap();
            Self { dir, root }
        }

        fn follow(&self, path: &str) -> Trail {
            follow(self.root.as_fd(), path.as_bytes()).unwrap()
        }
    }

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn links_are_followed_within_the_root() {
        let fixture = Fixture::new();
        let trail = fixture.follow("/bin/tool");
        assert_eq!(text(&trail.real), "/usr/bin/tool-1");
        assert_eq!(trail.link.as_deref().map(text), Some("/usr/bin/tool"));
        assert_eq!(text(&fixture.follow("/home/u/link/bin").real), "/usr/bin");
        assert_eq!(text(&fixture.follow("/home/../../../usr").real), "/usr");
        assert_eq!(text(&fixture.follow("").real), "");
        let trail = fixture.follow("/bin");
        assert_eq!(
            (text(&trail.real), trail.link.as_deref().map(text)),
            ("/usr/bin", Some("/bin"))
        );
    }

    #[test]
    fn what_is_not_there_stays_as_written() {
        let fixture = Fixture::new();
        assert_eq!(
            text(&fixture.follow("/bin/no/such/thing").real),
            "/usr/bin/no/such/thing"
        );
        assert_eq!(
            text(&fixture.follow("/bin/tool/below").real),
            "/usr/bin/tool-1/below"
        );
        assert!(follow(fixture.root.as_fd(), b"/loop").is_err());
    }

    #[test]
    fn links_that_others_can_change_are_named() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        use nix::unistd::{Uid, chown};
        let fixture = Fixture::new();
        fs::set_permissions(
            fixture.dir.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        assert_eq!(fixture.follow("/bin/tool").untrusted, None);
        chown(
            &fixture.dir.path().join("home/u"),
            Some(Uid::from_raw(1000)),
            None,
        )
        .unwrap();
        let trail = fixture.follow("/home/u/link/bin");
        assert_eq!(trail.untrusted.as_deref().map(text), Some("/home/u/link"));
        let path = fixture.dir.path().join("bin");
        std::os::unix::fs::lchown(&path, Some(1000), None).unwrap();
        let trail = fixture.follow("/bin/tool");
        assert_eq!(trail.untrusted.as_deref().map(text), Some("/bin"));
        assert!(path.as_os_str().as_bytes().ends_with(b"bin"));
    }

    #[test]
    fn links_of_proc_are_left_alone() {
        let root = File::open("/").unwrap();
        let trail = follow(root.as_fd(), b"/proc/self/status").unwrap();
        assert_eq!(text(&trail.real), "/proc/self/status");
    }
}
