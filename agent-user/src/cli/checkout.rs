//! The checkout around a directory, and the grant that it has of its own: `bailiff.toml`.

use std::{
    env, fs, io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use nix::unistd::getuid;

use crate::{accounts, render::escape::escape_bytes};

/// What a checkout's own grant is called.
pub(super) const NAME: &str = "bailiff.toml";

/// What tells the top of a checkout.
const MARKS: &[&str] = &[".git", ".hg", ".jj", ".svn"];

/// What was looked for, and what came out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Search {
    /// Where it began, without links.
    pub(super) from: PathBuf,
    pub(super) file: Option<PathBuf>,
    /// Files of that name that are not used, and why.
    pub(super) passed: Vec<String>,
}

/// Looks for the grant of the checkout in which this process stands.
pub(super) fn search() -> io::Result<Search> {
    let from = env::current_dir()?;
    Ok(search_from(from, home().as_deref(), getuid().as_raw()))
}

/// From `from` to the top of its checkout, and in no home directory nor above one.
fn search_from(from: PathBuf, home: Option<&Path>, uid: u32) -> Search {
    let top = top_of(&from, home).unwrap_or_else(|| from.clone());
    let mut passed = Vec::new();
    let mut file = None;
    for directory in from.ancestors().take_while(|at| at.starts_with(&top)) {
        if is_above_home(directory, home) {
            break;
        }
        let candidate = directory.join(NAME);
        match judge(&candidate, uid) {
            Candidate::None => {}
            Candidate::Usable => {
                file = Some(candidate);
                break;
            }
            Candidate::Not(why) => passed.push(format!(
                "{} {why}, and is not used",
                escape_bytes(candidate.as_os_str().as_bytes())
            )),
        }
    }
    Search { from, file, passed }
}

enum Candidate {
    None,
    Usable,
    /// It is there, and why it is not used.
    Not(String),
}

/// Whoever may write a grant decides what is granted: it is to be the user's file, or root's.
fn judge(path: &Path, uid: u32) -> Candidate {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Candidate::None,
        Err(error) => Candidate::Not(format!("cannot be looked at ({error})")),
        Ok(found) if !found.is_file() => Candidate::Not("is no regular file".into()),
        Ok(found) if ![0, uid].contains(&found.uid()) => {
            Candidate::Not(format!("is uid {}'s, not yours or root's", found.uid()))
        }
        Ok(_) => Candidate::Usable,
    }
}

/// The top of the checkout around a directory, if there is one that is not a home directory.
pub(super) fn top_of(from: &Path, home: Option<&Path>) -> Option<PathBuf> {
    let is_top = |at: &Path| {
        MARKS
            .iter()
            .any(|mark| fs::symlink_metadata(at.join(mark)).is_ok())
    };
    let mut within = from.ancestors().take_while(|at| !is_above_home(at, home));
    within.find(|at| is_top(at)).map(Path::to_path_buf)
}

/// A home directory or what is above it: nothing there is one checkout's.
pub(super) fn is_above_home(directory: &Path, home: Option<&Path>) -> bool {
    directory == Path::new("/") || home.is_some_and(|home| home.starts_with(directory))
}

/// The user's home directory, without links.
pub(super) fn home() -> Option<PathBuf> {
    let named = env::var_os("HOME").filter(|home| !home.is_empty());
    let named = named.map(PathBuf::from);
    let home = named.or_else(|| Some(accounts::by_uid(getuid().as_raw())?.home.into()))?;
    Some(fs::canonicalize(&home).unwrap_or(home))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Ground(tempfile::TempDir);

    impl Ground {
        /// `home/w` is a checkout with a grant of its own and one in `sub`.
        fn new() -> Self {
            let ground = Self(tempfile::tempdir().unwrap());
            for directory in [
                "home/w/.git",
                "home/w/sub/deep",
                "home/w/other/.git",
                "home/plain/x",
            ] {
                fs::create_dir_all(ground.at(directory)).unwrap();
            }
            for file in ["home", "home/w", "home/w/sub", "home/plain"] {
                fs::write(ground.at(file).join(NAME), "").unwrap();
            }
            ground
        }

        fn at(&self, path: &str) -> PathBuf {
            fs::canonicalize(self.0.path()).unwrap().join(path)
        }

        fn from(&self, path: &str) -> Search {
            let uid = getuid().as_raw();
            search_from(self.at(path), Some(&self.at("home")), uid)
        }

        fn found(&self, path: &str) -> Option<PathBuf> {
            let file = self.from(path).file?;
            Some(
                file.parent()
                    .unwrap()
                    .strip_prefix(self.at("home"))
                    .unwrap()
                    .into(),
            )
        }
    }

    #[test]
    fn the_nearest_within_the_checkout_is_found() {
        let ground = Ground::new();
        let found = |path| ground.found(path);
        assert_eq!(found("home/w"), Some("w".into()));
        assert_eq!(found("home/w/.git"), Some("w".into()));
        assert_eq!(found("home/w/sub/deep"), Some("w/sub".into()));
        // Another repository is another's word.
        assert_eq!(found("home/w/other"), None);
        // In no checkout nobody looks above.
        assert_eq!(found("home/plain"), Some("plain".into()));
        assert_eq!(found("home/plain/x"), None);
    }

    #[test]
    fn a_home_directory_has_none() {
        let ground = Ground::new();
        assert_eq!(ground.found("home"), None);
        fs::create_dir(ground.at("home/.git")).unwrap();
        assert_eq!(ground.found("home/plain/x"), None);
        let elsewhere = search_from(ground.at("home/w"), Some(&ground.at("home/w/sub")), 0);
        assert_eq!(elsewhere.file, None);
    }

    #[test]
    fn what_is_a_link_or_anothers_is_passed() {
        let ground = Ground::new();
        let theirs = search_from(ground.at("home/w/sub"), None, 4_000_000);
        // Root's files are anybody's.
        if !getuid().is_root() {
            assert_eq!((theirs.file, theirs.passed.len()), (None, 2));
        }
        fs::remove_file(ground.at("home/w").join(NAME)).unwrap();
        symlink("sub/bailiff.toml", ground.at("home/w").join(NAME)).unwrap();
        let found = ground.from("home/w");
        assert_eq!(found.file, None);
        assert!(found.passed[0].contains("no regular file"), "{found:?}");
    }
}
