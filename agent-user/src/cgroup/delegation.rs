//! Below which cgroups others than the service manager make some.

use std::{
    ffi::CStr,
    fs, io,
    os::{
        fd::AsRawFd,
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    path::Path,
};

use super::{Cgroup, Hierarchy};
use crate::process::ProcessHandle;

/// By which service managers mark what they leave to somebody: root's own, and that of a user.
const MARKS: [&CStr; 2] = [c"trusted.delegate", c"user.delegate"];

/// A cgroup on the way from a process up to the root.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub id: u64,
    owner: u32,
    is_marked: bool,
}

/// Whether a cgroup may be made at the beginning of this way for who has this uid.
///
/// It may where somebody left the cgroup, or one above it, to others or to this user. What belongs to
/// another user is not for it: its owner could move, halt and end what is made there.
#[must_use]
pub fn is_delegated(way: &[Step], uid: u32) -> bool {
    let is_of_another = |step: &Step| step.owner != 0 && step.owner != uid;
    let is_left = |step: &Step| step.is_marked || (step.owner == uid && uid != 0);
    !way.iter().any(is_of_another) && way.iter().any(is_left)
}

impl Hierarchy {
    /// The cgroup that a process is in.
    ///
    /// # Errors
    /// It has ended, or moved meanwhile.
    pub fn holding(&self, process: &ProcessHandle) -> io::Result<Cgroup> {
        let path = self.of_process(process.pid())?;
        let cgroup = self.open(path.strip_prefix(self.root()).unwrap_or(&path))?;
        // What is alive now has had this number all along.
        if self.of_process(process.pid())? == path && process.alive() {
            return Ok(cgroup);
        }
        Err(io::Error::from_raw_os_error(libc::ESRCH))
    }

    /// This cgroup and those above it, but for the root.
    ///
    /// # Errors
    /// It was removed.
    pub fn way_up(&self, cgroup: &Cgroup) -> io::Result<Vec<Step>> {
        let above = cgroup.path().ancestors();
        above
            .take_while(|path| *path != self.root())
            .map(step)
            .collect()
    }

    /// A cgroup for a session, below one that is not the daemon's.
    ///
    /// # Errors
    /// It cannot be made, or no process could enter it: a cgroup below one that is threaded, or that has
    /// both processes and controllers for those below it.
    pub fn create_below(&self, above: &Cgroup, session: &str) -> io::Result<Cgroup> {
        let name = format!("{MADE}{session}");
        let directory = above.directory()?;
        let path = format!("/proc/self/fd/{}/{name}", directory.as_raw_fd());
        self.filesystem.make_new(Path::new(&path))?;
        let made = self.at(above.path().join(name))?;
        // SAFETY: takes nothing, and always succeeds.
        let own = unsafe { libc::geteuid() };
        if made.directory()?.metadata()?.uid() != own {
            return Err(io::Error::other("its owner put another in its place"));
        }
        let kind = made.read("cgroup.type")?;
        if kind.trim() == "domain" {
            return Ok(made);
        }
        let _ = made.remove();
        let said = format!("no process can enter a cgroup there ({})", kind.trim());
        Err(io::Error::other(said))
    }

    /// Whether this cgroup was made for the session of this number, by its path.
    #[must_use]
    pub fn is_made_for(&self, number: u32, cgroup: &Path) -> bool {
        let name = cgroup.file_name().unwrap_or_default().to_string_lossy();
        let is_below = name.starts_with(MADE) && name.ends_with(&format!("-{number}"));
        is_below || cgroup.starts_with(self.own())
    }
}

/// With what names begin of cgroups that are made below others'.
const MADE: &str = "bailiff-";

fn step(cgroup: &Path) -> io::Result<Step> {
    let metadata = fs::metadata(cgroup)?;
    Ok(Step {
        id: metadata.ino(),
        owner: metadata.uid(),
        is_marked: MARKS.iter().any(|mark| is_marked(cgroup, mark)),
    })
}

fn is_marked(cgroup: &Path, mark: &CStr) -> bool {
    let Ok(path) = std::ffi::CString::new(cgroup.as_os_str().as_bytes()) else {
        return false;
    };
    let mut value = [0_u8; 2];
    // SAFETY: two strings that end, and room of the size that is said.
    let length = unsafe {
        libc::getxattr(
            path.as_ptr(),
            mark.as_ptr(),
            value.as_mut_ptr().cast(),
            value.len(),
        )
    };
    length == 1 && value[0] == b'1'
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::cgroup::Filesystem;

    const ROOT: u32 = 0;
    const USER: u32 = 1000;
    const OTHER: u32 = 1001;

    #[test]
    fn a_place_is_for_whom_it_was_left_to() {
        let plain = |owner| Step {
            id: 1,
            owner,
            is_marked: false,
        };
        let marked = |owner| Step {
            is_marked: true,
            ..plain(owner)
        };
        let table: &[(&str, &[Step], u32, bool)] = &[
            ("the root cgroup", &[], ROOT, false),
            ("nobody's", &[plain(ROOT)], ROOT, false),
            ("nobody's, of a user", &[plain(ROOT)], USER, false),
            (
                "a unit's that is marked",
                &[marked(ROOT), plain(ROOT)],
                ROOT,
                true,
            ),
            (
                "a user's call from it",
                &[marked(ROOT), plain(ROOT)],
                USER,
                true,
            ),
            ("below it", &[plain(ROOT), marked(ROOT)], ROOT, true),
            ("the user's own", &[plain(USER)], USER, true),
            (
                "below the user's own",
                &[plain(ROOT), plain(USER)],
                USER,
                true,
            ),
            (
                "below what a user has marked",
                &[plain(USER), marked(USER)],
                USER,
                true,
            ),
            ("root in a user's", &[plain(USER)], ROOT, false),
            (
                "root in a user's that is marked",
                &[marked(USER)],
                ROOT,
                false,
            ),
            ("in another user's", &[marked(OTHER)], USER, false),
            (
                "below another user's",
                &[marked(USER), plain(OTHER)],
                USER,
                false,
            ),
            (
                "above root's, a user's",
                &[marked(ROOT), plain(OTHER)],
                ROOT,
                false,
            ),
        ];
        for (what, way, uid, expected) in table {
            assert_eq!(is_delegated(way, *uid), *expected, "{what}");
        }
    }

    /// Every new cgroup is of this type.
    #[derive(Debug)]
    struct OfType(&'static str);

    impl Filesystem for OfType {
        fn make(&self, cgroup: &Path) -> io::Result<()> {
            fs::create_dir_all(cgroup)?;
            fs::write(cgroup.join("cgroup.type"), self.0)?;
            fs::write(cgroup.join("cgroup.procs"), "")
        }

        fn write(&self, _: &Path, _: &str, _: &str) -> io::Result<()> {
            Ok(())
        }

        fn remove(&self, cgroup: &Path) -> io::Result<()> {
            fs::remove_dir_all(cgroup)
        }
    }

    fn hierarchy(root: &Path, kind: &'static str) -> (Hierarchy, Cgroup) {
        let hierarchy = Hierarchy::new(root.into(), Arc::new(OfType(kind)));
        let unit = root.join("a.slice/unit");
        hierarchy.filesystem.make(&unit).unwrap();
        let unit = hierarchy.open(&unit).unwrap();
        (hierarchy, unit)
    }

    #[test]
    fn a_cgroup_is_made_below_another_once() {
        let root = tempfile::tempdir().unwrap();
        let (hierarchy, unit) = hierarchy(root.path(), "domain\n");
        let made = hierarchy.create_below(&unit, "coder-7").unwrap();
        let path = root.path().join("a.slice/unit/bailiff-coder-7");
        assert_eq!(made.path(), path);
        let again = hierarchy.create_below(&unit, "coder-7").unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert!(made.exists());
        assert_eq!(hierarchy.way_up(&made).unwrap().len(), 3);
        assert!(hierarchy.is_made_for(7, &path) && !hierarchy.is_made_for(17, &path));
        assert!(!hierarchy.is_made_for(7, unit.path()));
        assert!(hierarchy.is_made_for(8, &hierarchy.own().join("coder-8")));
    }

    #[test]
    fn none_is_left_that_nobody_can_enter() {
        let root = tempfile::tempdir().unwrap();
        let (hierarchy, unit) = hierarchy(root.path(), "domain invalid\n");
        let refused = hierarchy.create_below(&unit, "coder-7").unwrap_err();
        assert!(refused.to_string().contains("domain invalid"), "{refused}");
        assert!(!unit.path().join("bailiff-coder-7").exists());
    }

    #[test]
    fn none_is_made_below_one_that_was_removed() {
        let root = tempfile::tempdir().unwrap();
        let (hierarchy, unit) = hierarchy(root.path(), "domain\n");
        hierarchy.filesystem.remove(unit.path()).unwrap();
        hierarchy.filesystem.make(unit.path()).unwrap();
        let later = hierarchy.open(unit.path()).unwrap();
        if later.id() != unit.id() {
            assert!(hierarchy.create_below(&unit, "coder-7").is_err());
        }
    }

    #[test]
    fn who_has_ended_is_in_no_cgroup() {
        let (root, mut child) = (
            tempfile::tempdir().unwrap(),
            std::process::Command::new("sleep")
                .arg("60")
                .spawn()
                .unwrap(),
        );
        let (hierarchy, _) = hierarchy(root.path(), "domain\n");
        let process = ProcessHandle::open(child.id()).unwrap();
        let path = hierarchy.of_process(child.id()).unwrap();
        hierarchy.filesystem.make(&path).unwrap();
        assert_eq!(hierarchy.holding(&process).unwrap().path(), path);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(hierarchy.holding(&process).is_err());
    }
}
