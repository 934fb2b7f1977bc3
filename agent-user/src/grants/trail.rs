//! Following a path as the kernel would, in another process's root, and noting who could have
//! changed where it leads.

use std::{
    collections::VecDeque,
    fs::File,
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
    /// Names of what is there (hard links); one for what has none to count.
    pub(super) names: u64,
    /// Of what is there.
    pub(super) past: Past,
}

impl Trail {
    /// Of a path that leads where it is written.
    pub(super) fn straight(path: &[u8]) -> Self {
        Self {
            real: path.to_vec(),
            link: None,
            links: Vec::new(),
            endless: false,
            names: 1,
            past: Past::default(),
        }
    }
}

/// What a thing says of who made it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// It is root's, in directories that root alone can change.
    pub only_root: bool,
    /// When it was made, where that is known: nobody can set that.
    pub born: Option<Timestamp>,
    /// When it was last changed, moved or given to somebody: anybody can advance that, and nobody set
    /// it back.
    pub changed: Option<Timestamp>,
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
    pub(super) past: Past,
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
    let mut trail = Trail::straight(b"");
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
            past: past(&fd, &stat, one_name && here.only_root && stat.st_uid == 0),
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
    if last.st_mode & libc::S_IFMT == libc::S_IFREG {
        trail.names = last.st_nlink;
    }
    if let Some(step) = steps.last() {
        trail.past = past(&step.fd, &last, step.only_root);
    }
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

fn past(fd: &OwnedFd, stat: &FileStat, only_root: bool) -> Past {
    let nanoseconds = i32::try_from(stat.st_ctime_nsec).ok();
    Past {
        only_root,
        born: born(fd),
        changed: nanoseconds.and_then(|n| Timestamp::new(stat.st_ctime, n).ok()),
    }
}

/// Of what is open; who else can change it is not asked.
pub(super) fn past_of(fd: &OwnedFd) -> io::Result<Past> {
    Ok(past(fd, &fstat(fd)?, false))
}

/// Not every filesystem knows it.
fn born(fd: &OwnedFd) -> Option<Timestamp> {
    let file = File::from(fd.try_clone().ok()?);
    file.metadata().ok()?.created().ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        os::unix::{ffi::OsStrExt, fs::symlink},
        time::{Duration, SystemTime},
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
        assert!(!trail.links[0].past.only_root);
        let path = fixture.dir.path().join("bin");
        std::os::unix::fs::lchown(&path, Some(1000), None).unwrap();
        let trail = fixture.follow("/bin/tool");
        assert_eq!(first(&trail).as_deref(), Some("/bin"));
        assert!(path.as_os_str().as_bytes().ends_with(b"bin"));
    }

    #[test]
    fn what_is_done_later_to_a_thing_makes_it_no_younger() {
        let fixture = Fixture::new();
        let at = |path: &str| fixture.dir.path().join(path);
        let before = fixture.follow("/bin/tool");
        fs::write(at("usr/bin/tool-1"), "later").unwrap();
        let future = SystemTime::now() + Duration::from_secs(1 << 30);
        let file = File::open(at("usr/bin/tool-1")).unwrap();
        file.set_modified(future).unwrap();
        std::os::unix::fs::lchown(at("bin"), None, Some(nix::unistd::getgid().as_raw())).unwrap();
        let after = fixture.follow("/bin/tool");
        assert_eq!(after.past.born, before.past.born);
        assert_eq!(after.links[0].past.born, before.links[0].past.born);
        assert!(after.past.changed < Timestamp::try_from(future).ok());
        // On a filesystem that knows no births nothing is made of it.
        let Some(born) = before.past.born else { return };
        std::thread::sleep(Duration::from_millis(30));
        fs::write(at("new"), "").unwrap();
        fs::rename(at("new"), at("usr/bin/tool-1")).unwrap();
        assert!(fixture.follow("/bin/tool").past.born > Some(born));
    }

    #[test]
    fn links_of_proc_are_left_alone() {
        let root = File::open("/").unwrap();
        let trail = follow(root.as_fd(), b"/proc/self/status", None).unwrap();
        assert_eq!(text(&trail.real), "/proc/self/status");
    }
}
