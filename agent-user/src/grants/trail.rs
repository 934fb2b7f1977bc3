//! Following a path as the kernel would, in another process's root, and noting who could have
//! changed where it leads.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use jiff::Timestamp;
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
    /// Every link on the way, in order.
    pub(super) links: Vec<Crossed>,
    /// The way goes round and round; `real` is where that was given up.
    pub(super) endless: bool,
    /// What is there is root's, in directories that root alone can change.
    pub(super) only_root: bool,
    /// Names of what is there (hard links); one for what has none to count.
    pub(super) names: u64,
    /// When what is there was last written, and its attributes changed: the earlier of the two.
    pub(super) changed: Option<Timestamp>,
}

/// A link on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Crossed {
    /// Its own path, without links before it.
    pub(super) own: Vec<u8>,
    /// Where the path would lead if the link were what it seems to be.
    pub(super) written: Vec<u8>,
    /// Nobody but root and the owner could have made or changed it.
    pub(super) owners: bool,
    /// Nobody but root could have.
    pub(super) only_root: bool,
    /// When it was made, moved or given to somebody else: the earliest that can be.
    pub(super) changed: Option<Timestamp>,
}

/// One directory on the way.
struct Step {
    fd: OwnedFd,
    name: Vec<u8>,
    /// Nobody but root and the owner can change what is in it, nor in those above.
    owners: bool,
    /// Nobody but root can.
    only_root: bool,
}

/// Follows `path` (`""` or `/a/b`) from `root`. `owner` is whom links are taken from besides root.
pub(super) fn follow(root: BorrowedFd<'_>, path: &[u8], owner: Option<u32>) -> io::Result<Trail> {
    let base = root.try_clone_to_owned()?;
    let stat = fstat(&base)?;
    let mut steps = vec![Step {
        fd: base,
        name: Vec::new(),
        owners: only_changed_by(&stat, owner),
        only_root: only_changed_by(&stat, None),
    }];
    let mut trail = Trail {
        real: Vec::new(),
        link: None,
        links: Vec::new(),
        endless: false,
        only_root: false,
        names: 1,
        changed: None,
    };
    let mut last = stat;
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
            steps.push(Step {
                fd,
                name,
                owners: here.owners && only_changed_by(&stat, owner),
                only_root: here.only_root && only_changed_by(&stat, None),
            });
            last = stat;
            continue;
        }
        links += 1;
        if links > MAX_LINKS {
            trail.real = joined(&steps, std::iter::once(&name).chain(&rest));
            trail.endless = true;
            return Ok(trail);
        }
        let own = joined(&steps, [&name]);
        // A second name may have been given to it by somebody else.
        let one_name = stat.st_nlink == 1;
        trail.links.push(Crossed {
            own: own.clone(),
            written: joined(&steps, std::iter::once(&name).chain(&rest)),
            owners: one_name && here.owners && [Some(0), owner].contains(&Some(stat.st_uid)),
            only_root: one_name && here.only_root && stat.st_uid == 0,
            changed: changed(&stat),
        });
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
    trail.only_root = steps.last().is_some_and(|step| step.only_root);
    if last.st_mode & libc::S_IFMT == libc::S_IFREG {
        trail.names = last.st_nlink;
    }
    trail.changed = changed(&last);
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

/// Nobody but root and the owner can change what they own in it: it is theirs, and others cannot
/// write it, or it is sticky. An ACL that lets others write shows in the group's bits.
fn only_changed_by(stat: &FileStat, owner: Option<u32>) -> bool {
    [Some(0), owner].contains(&Some(stat.st_uid))
        && (stat.st_mode & 0o022 == 0 || stat.st_mode & libc::S_ISVTX != 0)
}

/// The time of change cannot be set; that of writing can, and stays when a file is moved or given away.
fn changed(stat: &FileStat) -> Option<Timestamp> {
    let at =
        |seconds, nanoseconds: i64| Timestamp::new(seconds, i32::try_from(nanoseconds).ok()?).ok();
    at(stat.st_mtime, stat.st_mtime_nsec)?
        .min(at(stat.st_ctime, stat.st_ctime_nsec)?)
        .into()
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
            follow(self.root.as_fd(), path.as_bytes(), None).unwrap()
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
        let endless = fixture.follow("/loop/below");
        assert!(endless.endless);
        assert_eq!(text(&endless.links[0].written), "/loop/below");
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
        let first = |trail: &Trail| {
            let link = trail.links.iter().find(|link| !link.owners);
            link.map(|link| text(&link.own).to_owned())
        };
        let trail = fixture.follow("/bin/tool");
        assert_eq!((first(&trail), trail.links.len()), (None, 2));
        assert_eq!(text(&trail.links[0].written), "/bin/tool");
        assert_eq!(text(&trail.links[1].written), "/usr/bin/tool");
        chown(
            &fixture.dir.path().join("home/u"),
            Some(Uid::from_raw(1000)),
            None,
        )
        .unwrap();
        let trail = fixture.follow("/home/u/link/bin");
        assert_eq!(first(&trail).as_deref(), Some("/home/u/link"));
        // Root made the link in a directory of the owner's.
        let trail = follow(fixture.root.as_fd(), b"/home/u/link/bin", Some(1000)).unwrap();
        assert_eq!(first(&trail), None);
        assert!(!trail.links[0].only_root);
        let path = fixture.dir.path().join("bin");
        std::os::unix::fs::lchown(&path, Some(1000), None).unwrap();
        let trail = fixture.follow("/bin/tool");
        assert_eq!(first(&trail).as_deref(), Some("/bin"));
        assert!(path.as_os_str().as_bytes().ends_with(b"bin"));
    }

    #[test]
    fn links_of_proc_are_left_alone() {
        let root = File::open("/").unwrap();
        let trail = follow(root.as_fd(), b"/proc/self/status", None).unwrap();
        assert_eq!(text(&trail.real), "/proc/self/status");
    }
}
