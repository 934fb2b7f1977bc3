//! What a pattern's literal prefix names: the real path that counts, told once, at the start.

use std::{collections::BTreeMap, os::fd::BorrowedFd};

use agent_grant::{
    Effect,
    model::{Prefix, Resolution},
};
use serde::{Deserialize, Serialize};

use super::trail::follow;
use crate::{api::PathText, mounts::MountView, render::escape::escape_bytes};

/// What was told of each prefix, so that it can be told again the same when the tree has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolutions(Vec<Answer>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Answer {
    path: PathText,
    whole: bool,
    narrowing: bool,
    to: Vec<PathText>,
}

/// What an answer depends on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Question {
    path: Vec<u8>,
    /// The path is all of the pattern, and may name a link itself.
    whole: bool,
    /// The pattern only takes rights away: it may name more than was meant, never less.
    narrowing: bool,
}

/// Answers for the prefixes of one grant in one root.
pub struct Resolver<'a> {
    /// Where the session's processes have their root; `None` answers from what is known only.
    place: Option<(BorrowedFd<'a>, &'a MountView)>,
    known: BTreeMap<Question, Vec<Vec<u8>>>,
}

impl<'a> Resolver<'a> {
    #[must_use]
    pub fn new(root: BorrowedFd<'a>, view: &'a MountView) -> Self {
        Self {
            place: Some((root, view)),
            known: BTreeMap::new(),
        }
    }

    /// Answers as an earlier resolver did.
    #[must_use]
    pub fn replay(resolutions: &Resolutions) -> Self {
        let known = resolutions.0.iter().map(|answer| {
            let Answer {
                path,
                whole,
                narrowing,
                to,
            } = answer;
            let question = Question {
                path: path.bytes(),
                whole: *whole,
                narrowing: *narrowing,
            };
            (question, to.iter().map(PathText::bytes).collect())
        });
        Self {
            place: None,
            known: known.collect(),
        }
    }

    /// What was answered so far.
    #[must_use]
    pub fn resolutions(&self) -> Resolutions {
        let answer = |(question, to): (&Question, &Vec<Vec<u8>>)| Answer {
            path: PathText::new(&question.path),
            whole: question.whole,
            narrowing: question.narrowing,
            to: to.iter().map(|path| PathText::new(path)).collect(),
        };
        Resolutions(self.known.iter().map(answer).collect())
    }

    /// The answer for one prefix; the error says what to write instead.
    pub fn resolve(&mut self, prefix: &Prefix<'_>) -> Result<Resolution, String> {
        let question = Question {
            path: prefix.path.to_vec(),
            whole: prefix.whole,
            narrowing: (prefix.effect == Effect::Deny) != prefix.except,
        };
        let to = match (self.known.get(&question), self.place) {
            (Some(to), _) => to.clone(),
            (None, Some((root, view))) => {
                let to = real_paths(root, view, &question)?;
                self.known.insert(question, to.clone());
                to
            }
            (None, None) => vec![question.path],
        };
        Ok(if to == [prefix.path] {
            Resolution::Same
        } else {
            Resolution::To(to)
        })
    }
}

fn real_paths(
    root: BorrowedFd<'_>,
    view: &MountView,
    question: &Question,
) -> Result<Vec<Vec<u8>>, String> {
    let path = question.path.as_slice();
    let trail = follow(root, path)
        .map_err(|error| format!("cannot follow {}: {error}", escape_bytes(path)))?;
    let real = canonical(view, &trail.real);
    if let Some(link) = trail.untrusted.as_ref().filter(|_| !question.narrowing) {
        return Err(format!(
            "the way there goes through the link {}, which others than root can change; \
             write the real path: {}",
            escape_bytes(link),
            escape_bytes(if real.is_empty() { b"/" } else { &real })
        ));
    }
    let mut paths = vec![real];
    // A link is an object too: it can be removed or replaced under its own name.
    paths.extend(
        trail
            .link
            .filter(|_| question.whole)
            .map(|link| canonical(view, &link)),
    );
    // The link can be replaced by what it seems to be.
    paths.extend(trail.untrusted.map(|_| path.to_vec()));
    let mut seen = std::collections::BTreeSet::new();
    paths.retain(|path| seen.insert(path.clone()));
    Ok(paths)
}

fn canonical(view: &MountView, path: &[u8]) -> Vec<u8> {
    let found = view.canonical(if path.is_empty() { b"/" } else { path });
    if found == b"/" { Vec::new() } else { found }
}

#[cfg(test)]
mod tests {
    use std::{fs, fs::File, os::fd::AsFd, os::unix::fs::symlink};

    use agent_abi::FileRights;

    use super::*;

    fn prefix(path: &[u8], whole: bool, effect: Effect) -> Prefix<'_> {
        Prefix {
            path,
            whole,
            rule: "r",
            effect,
            rights: FileRights::READ,
            except: false,
            pattern: "",
        }
    }

    fn to(paths: &[&str]) -> Resolution {
        Resolution::To(paths.iter().map(|path| path.as_bytes().to_vec()).collect())
    }

    #[test]
    fn answers_are_the_same_after_the_tree_has_changed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("usr/bin")).unwrap();
        symlink("usr/bin", dir.path().join("bin")).unwrap();
        let root = File::open(dir.path()).unwrap();
        let view = MountView::default();
        let mut resolver = Resolver::new(root.as_fd(), &view);
        // Whoever runs the tests made the link: a deny follows it, an allow only where root did.
        let answer = resolver
            .resolve(&prefix(b"/bin", false, Effect::Deny))
            .unwrap();
        assert!(
            matches!(&answer, Resolution::To(paths) if paths[0] == b"/usr/bin"),
            "{answer:?}"
        );
        assert_eq!(
            resolver
                .resolve(&prefix(b"/usr", false, Effect::Deny))
                .unwrap(),
            Resolution::Same
        );
        let kept = serde_json::to_string(&resolver.resolutions()).unwrap();
        fs::remove_file(dir.path().join("bin")).unwrap();
        let mut replayed = Resolver::replay(&serde_json::from_str(&kept).unwrap());
        assert_eq!(
            replayed
                .resolve(&prefix(b"/bin", false, Effect::Deny))
                .unwrap(),
            answer
        );
    }

    #[test]
    fn an_allow_does_not_follow_what_others_can_change() {
        let dir = tempfile::tempdir().unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(dir.path(), open).unwrap();
        symlink("/etc", dir.path().join("out")).unwrap();
        fs::create_dir(dir.path().join("etc")).unwrap();
        let root = File::open(dir.path()).unwrap();
        let view = MountView::default();
        let mut resolver = Resolver::new(root.as_fd(), &view);
        let error = resolver
            .resolve(&prefix(b"/out", false, Effect::Allow))
            .unwrap_err();
        assert!(
            error.contains("/out") && error.contains("real path: /etc"),
            "{error}"
        );
        let deny = resolver
            .resolve(&prefix(b"/out", false, Effect::Deny))
            .unwrap();
        assert_eq!(deny, to(&["/etc", "/out"]));
    }
}
