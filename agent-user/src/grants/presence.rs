//! Whether patterns match something on this host now.
//!
//! Bounded: a tree that is too large, too slow or closed to the caller gives no answer. Links are
//! not followed, and nothing is listed in /proc and its like, whose contents change as one looks.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use agent_grant::glob::{Component, Glob};
use nix::sys::statfs::{
    CGROUP2_SUPER_MAGIC, DEBUGFS_MAGIC, PROC_SUPER_MAGIC, SYSFS_MAGIC, TRACEFS_MAGIC, statfs,
};

/// How far to look.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Names looked at for one pattern.
    pub pattern: usize,
    /// Names looked at for all patterns.
    pub total: usize,
    pub time: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            pattern: 5_000,
            total: 20_000,
            time: Duration::from_secs(1),
        }
    }
}

/// Directories within directories, so that a walk ends however deep the tree is.
const MAX_DEPTH: usize = 64;

/// Which of the patterns, each given by its globs, certainly match nothing now.
///
/// The search has a thread of its own: a file system that does not answer is waited for no longer
/// than for one that is large.
#[must_use]
pub fn absent(patterns: Vec<Vec<Glob>>, bounds: Bounds) -> Vec<usize> {
    let (report, reports) = mpsc::channel();
    let until = Instant::now() + bounds.time;
    thread::spawn(move || search_all(&patterns, bounds, until, &report));
    let mut absent = Vec::new();
    while let Ok(pattern) = reports.recv_timeout(until.saturating_duration_since(Instant::now())) {
        absent.push(pattern);
    }
    absent.sort_unstable();
    absent
}

fn search_all(
    patterns: &[Vec<Glob>],
    bounds: Bounds,
    until: Instant,
    report: &mpsc::Sender<usize>,
) {
    let mut order: Vec<usize> = (0..patterns.len()).collect();
    // A walk of whole trees must not use up what the others need.
    order.sort_by_key(|pattern| patterns[*pattern].iter().any(walks));
    let mut left = bounds.total;
    for pattern in order {
        let mut search = Search {
            left: left.min(bounds.pattern),
            until,
        };
        let given = search.left;
        let globs = &patterns[pattern];
        let absent = globs.iter().all(|glob| {
            matches!(
                search.below(Path::new("/"), &glob.components(), 0),
                Ok(false)
            )
        });
        left -= given - search.left;
        // Nobody listens any more once the time is over.
        if absent && !globs.is_empty() && report.send(pattern).is_err() {
            return;
        }
    }
}

fn walks(glob: &Glob) -> bool {
    glob.components().contains(&Component::Any)
}

/// The search cannot tell.
struct Unknown;

struct Search {
    /// Names that may still be looked at.
    left: usize,
    until: Instant,
}

impl Search {
    /// Whether something at or below `directory`, which exists, matches.
    fn below(
        &mut self,
        directory: &Path,
        components: &[Component],
        depth: usize,
    ) -> Result<bool, Unknown> {
        let Some((first, rest)) = components.split_first() else {
            return Ok(true);
        };
        if depth > MAX_DEPTH {
            return Err(Unknown);
        }
        if *first == Component::Any && self.below(directory, rest, depth)? {
            return Ok(true);
        }
        if let Some(name) = first.literal() {
            let path = directory.join(OsStr::from_bytes(&name));
            return self.at(&path, rest, depth);
        }
        // Behind `**` the same components are looked for, one directory deeper.
        let next = if *first == Component::Any {
            components
        } else {
            rest
        };
        for entry in self.list(directory)? {
            let entry = entry.map_err(|_| Unknown)?;
            self.spend()?;
            if !first.matches(entry.file_name().as_bytes()) {
                continue;
            }
            let is_directory = entry.file_type().map_err(|_| Unknown)?.is_dir();
            if rest.is_empty() || is_directory && self.below(&entry.path(), next, depth + 1)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether something at or below `path`, which need not exist, matches.
    fn at(&mut self, path: &Path, rest: &[Component], depth: usize) -> Result<bool, Unknown> {
        self.spend()?;
        match fs::symlink_metadata(path) {
            Ok(_) if rest.is_empty() => Ok(true),
            Ok(found) => Ok(found.is_dir() && self.below(path, rest, depth + 1)?),
            Err(error) if is_absent(&error) => Ok(false),
            Err(_) => Err(Unknown),
        }
    }

    fn list(&self, directory: &Path) -> Result<fs::ReadDir, Unknown> {
        let kind = statfs(directory).map_err(|_| Unknown)?.filesystem_type();
        let changing = [
            PROC_SUPER_MAGIC,
            SYSFS_MAGIC,
            CGROUP2_SUPER_MAGIC,
            DEBUGFS_MAGIC,
            TRACEFS_MAGIC,
        ];
        if changing.contains(&kind) {
            return Err(Unknown);
        }
        fs::read_dir(directory).map_err(|_| Unknown)
    }

    fn spend(&mut self) -> Result<(), Unknown> {
        self.left = self.left.checked_sub(1).ok_or(Unknown)?;
        if Instant::now() < self.until {
            Ok(())
        } else {
            Err(Unknown)
        }
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::{ffi::OsStringExt, fs::symlink};

    use super::*;

    /// Whether each pattern, below a directory of this making, is said to match nothing.
    fn said_absent(make: impl Fn(&Path), patterns: &[&str], bounds: Bounds) -> Vec<bool> {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        make(&root);
        let root = root.into_os_string().into_vec();
        let globs = patterns.iter().map(|pattern| parse(&root, pattern));
        let found = absent(globs.collect(), bounds);
        (0..patterns.len()).map(|i| found.contains(&i)).collect()
    }

    fn parse(root: &[u8], pattern: &str) -> Vec<Glob> {
        let text = format!("{}{pattern}", String::from_utf8_lossy(root));
        agent_grant::glob::parse(&text, &|_| Err(String::new())).unwrap()
    }

    fn slow() -> Bounds {
        Bounds {
            time: Duration::from_secs(60),
            ..Bounds::default()
        }
    }

    #[test]
    fn what_is_there_is_found_and_what_is_not_is_absent() {
        let make = |root: &Path| {
            fs::create_dir_all(root.join("a/b/c")).unwrap();
            fs::write(root.join("a/b/file.rs"), "").unwrap();
        };
        let patterns = [
            ("/a", false),
            ("/a/**", false),
            ("/a/*/c", false),
            ("/**/file.rs", false),
            ("/a/**/*.rs", false),
            ("/{x,a}/b", false),
            ("/x", true),
            ("/x/**", true),
            ("/a/*/x", true),
            ("/**/file.c", true),
            ("/a/b/c/*", true),
            ("/a/b/file.rs/x", true),
        ];
        let texts: Vec<_> = patterns.iter().map(|(text, _)| *text).collect();
        let expected: Vec<_> = patterns.iter().map(|(_, absent)| *absent).collect();
        assert_eq!(said_absent(make, &texts, slow()), expected);
    }

    #[test]
    fn links_are_not_followed() {
        let make = |root: &Path| {
            fs::create_dir_all(root.join("real/dir")).unwrap();
            symlink(root.join("real"), root.join("link")).unwrap();
            symlink(root, root.join("real/round")).unwrap();
        };
        let patterns = ["/link", "/link/dir", "/*k/dir", "/**/round/real"];
        assert_eq!(
            said_absent(make, &patterns, slow()),
            [false, true, true, true]
        );
    }

    #[test]
    fn what_is_too_large_to_search_gets_no_answer() {
        let make = |root: &Path| {
            for number in 0..30 {
                fs::write(root.join(format!("{number}")), "").unwrap();
            }
        };
        let patterns = ["/**/x", "/x"];
        let few = Bounds {
            pattern: 20,
            ..slow()
        };
        assert_eq!(said_absent(make, &patterns, few), [false, true]);
        assert_eq!(said_absent(make, &patterns, slow()), [true, true]);
        let none = Bounds {
            time: Duration::ZERO,
            ..slow()
        };
        assert_eq!(said_absent(make, &patterns, none), [false, false]);
    }

    #[test]
    fn processes_are_not_listed() {
        let globs = ["/proc/*/nonesuch", "/proc/**/nonesuch", "/proc/nonesuch"];
        let globs = globs.map(|text| parse(b"", text)).to_vec();
        assert_eq!(absent(globs, slow()), [2]);
    }
}
