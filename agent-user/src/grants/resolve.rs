//! What a pattern's literal prefix names: the real path that counts, told once, at the start.

use std::{collections::BTreeMap, os::fd::BorrowedFd};

use agent_grant::{
    Effect, Grant, Rule,
    model::{Alternative, LiteralPrefix, Object, Resolution},
};
use serde::{Deserialize, Serialize};

use super::{
    reach::Spot,
    straight::Straight,
    trail::{Crossed, Trail, follow},
};
use crate::{
    api::PathText,
    mounts::MountView,
    render::{escape, escape::escape_bytes},
};

/// What was told of each prefix, so that it can be told again the same when the tree has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub struct Resolutions {
    answers: Vec<Answer>,
    /// Files of the grant itself, as the session knows them: it cannot change them.
    pub kept_from: Vec<PathText>,
}

/// As this version writes them, and as earlier ones did.
#[derive(Deserialize)]
#[serde(untagged)]
enum Stored {
    Earlier(Vec<Answer>),
    Whole {
        answers: Vec<Answer>,
        kept_from: Vec<PathText>,
    },
}

impl From<Stored> for Resolutions {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Earlier(answers) => Self {
                answers,
                kept_from: Vec::new(),
            },
            Stored::Whole { answers, kept_from } => Self { answers, kept_from },
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Answer {
    path: PathText,
    whole: bool,
    narrowing: bool,
    to: Vec<PathText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unfollowed: Option<Unfollowed>,
}

/// A link that was not followed, so that a pattern grants nothing through it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Unfollowed {
    pub(super) link: PathText,
    /// Where the pattern's prefix leads through it; none if it leads nowhere.
    pub(super) real: Option<PathText>,
    pub(super) because: String,
    /// Rules that lose something by it; filled in when all are known.
    #[serde(default)]
    pub(super) rules: Vec<String>,
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

#[derive(Clone, Debug, Default)]
struct Found {
    to: Vec<Vec<u8>>,
    unfollowed: Option<Unfollowed>,
}

impl Found {
    /// Whether it is what is answered where nothing was found.
    fn says_nothing(&self, question: &Question) -> bool {
        self.unfollowed.is_none() && self.to == [question.path.as_slice()]
    }
}

/// Says why what is there may be a session's.
pub type Makers<'a> = dyn Fn(&Spot) -> Option<String> + 'a;

/// Answers for the prefixes of one grant in one root.
pub struct Resolver<'a> {
    /// Where the session's processes have their root; `None` answers from what is known only.
    place: Option<(BorrowedFd<'a>, &'a MountView)>,
    owner: Option<u32>,
    makers: Option<&'a Makers<'a>>,
    /// Links were made by somebody who may not say which other filesystem a path means.
    keeps_to_mounts: bool,
    known: BTreeMap<Question, Found>,
    straight: Straight,
    pub(super) kept_from: Vec<PathText>,
}

impl<'a> Resolver<'a> {
    /// Follows links that nobody but root could have made, as far as owners and modes tell.
    #[must_use]
    pub fn new(root: BorrowedFd<'a>, view: &'a MountView) -> Self {
        Self {
            place: Some((root, view)),
            owner: None,
            makers: None,
            keeps_to_mounts: false,
            known: BTreeMap::new(),
            straight: Straight::default(),
            kept_from: Vec::new(),
        }
    }

    /// Takes links from this user too: who starts a session may grant anything.
    #[must_use]
    pub fn of_owner(mut self, uid: u32) -> Self {
        self.owner = Some(uid);
        self
    }

    /// Follows no link that a session could have made.
    #[must_use]
    pub fn asking(mut self, makers: &'a Makers<'a>) -> Self {
        self.makers = Some(makers);
        self
    }

    /// Follows no link from one mount to another: who made an image would choose what of the host a path means.
    #[must_use]
    pub fn keeping_to_mounts(mut self) -> Self {
        self.keeps_to_mounts = true;
        self
    }

    /// Keeps the session from these files, whatever its grant says.
    #[must_use]
    pub fn keeping_from(mut self, files: &[Vec<u8>]) -> Self {
        self.kept_from = files.iter().map(|path| PathText::new(path)).collect();
        self
    }

    /// Answers as an earlier resolver did.
    #[must_use]
    pub fn replay(resolutions: &Resolutions) -> Self {
        let known = resolutions.answers.iter().map(|answer| {
            let question = Question {
                path: answer.path.bytes(),
                whole: answer.whole,
                narrowing: answer.narrowing,
            };
            let found = Found {
                to: answer.to.iter().map(PathText::bytes).collect(),
                unfollowed: answer.unfollowed.clone(),
            };
            (question, found)
        });
        Self {
            place: None,
            owner: None,
            makers: None,
            keeps_to_mounts: false,
            known: known.collect(),
            straight: Straight::default(),
            kept_from: resolutions.kept_from.clone(),
        }
    }

    /// What was answered so far, but for what stays as it is written: so it does where nothing is known.
    #[must_use]
    pub fn resolutions(&self) -> Resolutions {
        let answer = |(question, found): (&Question, &Found)| Answer {
            path: PathText::new(&question.path),
            whole: question.whole,
            narrowing: question.narrowing,
            to: found.to.iter().map(|path| PathText::new(path)).collect(),
            unfollowed: found.unfollowed.clone(),
        };
        Resolutions {
            answers: self
                .known
                .iter()
                .filter(|(question, found)| !found.says_nothing(question))
                .map(answer)
                .collect(),
            kept_from: self.kept_from.clone(),
        }
    }

    /// The same, with what the whole grant loses by links that were not followed.
    #[must_use]
    pub fn resolved(&self, grant: &Grant) -> Resolutions {
        let mut resolutions = self.resolutions();
        resolutions.note_losses(grant);
        resolutions
    }

    /// The answer for one prefix.
    pub fn resolve(&mut self, prefix: &LiteralPrefix<'_>) -> Result<Resolution, String> {
        let question = Question {
            path: prefix.path.to_vec(),
            whole: prefix.whole,
            narrowing: (prefix.effect == Effect::Deny) != prefix.except,
        };
        let to = match (self.known.get(&question), self.place) {
            (Some(found), _) => found.to.clone(),
            (None, Some((root, view))) => {
                let found = self.find(root, view, &question)?;
                let to = found.to.clone();
                self.known.insert(question, found);
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

    fn find(
        &mut self,
        root: BorrowedFd<'_>,
        view: &MountView,
        question: &Question,
    ) -> Result<Found, String> {
        let path = question.path.as_slice();
        let trail = if self.straight.is_straight(root, path) {
            Ok(Trail::straight(path))
        } else {
            follow(root, path, self.owner)
        };
        let trail = match trail {
            Ok(trail) => trail,
            // What cannot be followed grants nothing.
            Err(error) if !question.narrowing => {
                return Ok(Found {
                    to: vec![path.to_vec()],
                    unfollowed: Some(Unfollowed {
                        link: PathText::new(path),
                        real: None,
                        because: error.to_string(),
                        rules: Vec::new(),
                    }),
                });
            }
            Err(error) => return Err(format!("cannot follow {}: {error}", escape_bytes(path))),
        };
        let real = canonical(view, &trail.real);
        if !question.narrowing {
            let stop = trail.links.iter().find_map(|link| {
                let because = self
                    .distrust(view, link)
                    .or_else(|| trail.endless.then(|| "leads round and round".to_owned()))
                    .or_else(|| self.leads_elsewhere(view, link, &trail.real, question.whole))?;
                Some((link, because))
            });
            if let Some((link, because)) = stop {
                return Ok(Found {
                    to: vec![canonical(view, &link.written)],
                    unfollowed: Some(Unfollowed {
                        link: PathText::new(&link.own),
                        real: (!trail.endless).then(|| PathText::new(&real)),
                        because,
                        rules: Vec::new(),
                    }),
                });
            }
        }
        let mut paths = vec![real];
        // A link is an object too: it can be removed or replaced under its own name.
        paths.extend(
            trail
                .link
                .filter(|_| question.whole)
                .map(|link| canonical(view, &link)),
        );
        // Links can be replaced by what they seem to be.
        if question.narrowing {
            let written = trail
                .links
                .iter()
                .map(|link| canonical(view, &link.written));
            paths.extend(written);
        }
        let mut seen = std::collections::BTreeSet::new();
        paths.retain(|path| seen.insert(path.clone()));
        Ok(Found {
            to: paths,
            unfollowed: None,
        })
    }

    /// Why a link is not to be followed to where the whole path leads, and to all below where that is not the
    /// whole pattern.
    fn leads_elsewhere(
        &self,
        view: &MountView,
        link: &Crossed,
        real: &[u8],
        whole: bool,
    ) -> Option<String> {
        if !self.keeps_to_mounts {
            return None;
        }
        let mount = |path| view.seen_at(path).map(|(mount, _)| mount.id);
        let (from, to) = (mount(&link.own), mount(real));
        if from.is_none() || from != to {
            return Some("is an image's and leads out of it, to what is mounted there".to_owned());
        }
        let inside = view.mount_below(real).filter(|_| !whole)?;
        Some(format!(
            "is an image's and leads to a directory in which something is mounted, at {}",
            escape_bytes(&inside.point)
        ))
    }

    /// Why a link is not to be followed.
    fn distrust(&self, view: &MountView, link: &Crossed) -> Option<String> {
        if !link.owners {
            return Some(match self.owner {
                None | Some(0) => "can be changed by others than root".into(),
                Some(_) => "can be changed by others than root and you".into(),
            });
        }
        let makers = self.makers?;
        let Some(spot) = Spot::at(view, &link.own, link.past) else {
            return Some("lies in a place that cannot be told".into());
        };
        makers(&spot)
    }
}

impl Resolutions {
    /// Finds the rules that lose something by what was not followed: not those that name the real
    /// path as well.
    pub(super) fn note_losses(&mut self, grant: &Grant) {
        for answer in &mut self.answers {
            let path = answer.path.bytes();
            let Some(unfollowed) = &mut answer.unfollowed else {
                continue;
            };
            let real = unfollowed.real.as_ref().map(PathText::bytes);
            unfollowed.rules = grant
                .rules
                .iter()
                .filter(|rule| loses(rule, &path, answer.whole, real.as_deref()))
                .map(|rule| rule.id.clone())
                .collect();
        }
    }

    /// A sentence for each link that was not followed and by which something is lost.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        let mut links: BTreeMap<Vec<u8>, (&Unfollowed, Vec<&str>)> = BTreeMap::new();
        for unfollowed in self.answers.iter().filter_map(|a| a.unfollowed.as_ref()) {
            let link = links.entry(unfollowed.link.bytes());
            let (_, rules) = link.or_insert_with(|| (unfollowed, Vec::new()));
            rules.extend(unfollowed.rules.iter().map(String::as_str));
        }
        let links = links
            .into_iter()
            .filter(|(_, (_, rules))| !rules.is_empty());
        links
            .map(|(link, (unfollowed, mut rules))| {
                rules.sort_unstable();
                rules.dedup();
                let to = match &unfollowed.real {
                    Some(real) => format!(
                        "; it leads to {}: name that in the grant if it is meant",
                        escape_bytes(&shown(&real.bytes()))
                    ),
                    None => String::new(),
                };
                format!(
                    "nothing is granted through {} (rules {}), which {}{to}",
                    escape_bytes(&link),
                    escape(&rules.join(", ")),
                    escape(&unfollowed.because)
                )
            })
            .collect()
    }
}

fn shown(path: &[u8]) -> Vec<u8> {
    if path.is_empty() {
        b"/".to_vec()
    } else {
        path.to_vec()
    }
}

fn loses(rule: &Rule, path: &[u8], whole: bool, real: Option<&[u8]>) -> bool {
    let Object::File { paths, except, .. } = &rule.object else {
        return false;
    };
    let widening = if rule.effect == Effect::Allow {
        paths
    } else {
        except
    };
    let written = |alternative: &Alternative| {
        let glob = alternative.written.as_ref().unwrap_or(&alternative.glob);
        (glob.literal_prefix() == path && glob.is_literal() == whole).then(|| glob.clone())
    };
    let all = widening.iter().flat_map(|pattern| &pattern.alternatives);
    all.clone().filter_map(written).any(|glob| {
        let meant = real.and_then(|real| glob.with_prefix(real).ok());
        !all.clone().any(|other| Some(&other.glob) == meant.as_ref())
    })
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

    fn prefix(path: &[u8], whole: bool, effect: Effect) -> LiteralPrefix<'_> {
        LiteralPrefix {
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

    /// A root with `/etc`, and `/out -> /etc` that others can change.
    fn with_link() -> (tempfile::TempDir, File) {
        let dir = tempfile::tempdir().unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(dir.path(), open).unwrap();
        symlink("/etc", dir.path().join("out")).unwrap();
        fs::create_dir(dir.path().join("etc")).unwrap();
        let root = File::open(dir.path()).unwrap();
        (dir, root)
    }

    #[test]
    fn an_allow_does_not_follow_what_others_can_change() {
        let (_dir, root) = with_link();
        let view = MountView::default();
        let mut resolver = Resolver::new(root.as_fd(), &view);
        for path in [&b"/out"[..], b"/out/x"] {
            let allow = resolver
                .resolve(&prefix(path, false, Effect::Allow))
                .unwrap();
            assert_eq!(allow, Resolution::Same);
        }
        let deny = resolver
            .resolve(&prefix(b"/out", false, Effect::Deny))
            .unwrap();
        assert_eq!(deny, to(&["/etc", "/out"]));
    }

    fn resolved(text: &str, resolver: &mut Resolver<'_>) -> Vec<String> {
        let source = agent_grant::Source::new("g", format!("version = 1\nname = \"g\"\n{text}"));
        let inputs = agent_grant::Inputs::default();
        let mut grant = agent_grant::load(source, &inputs, &agent_grant::shipped_includes).unwrap();
        grant
            .resolve_prefixes(&mut |prefix| resolver.resolve(prefix))
            .unwrap();
        let mut resolutions = resolver.resolutions();
        resolutions.note_losses(&grant);
        let kept = serde_json::to_string(&resolutions).unwrap();
        let kept: Resolutions = serde_json::from_str(&kept).unwrap();
        assert_eq!(kept, resolutions);
        kept.remarks()
    }

    #[test]
    fn what_is_not_followed_is_remarked_on_where_something_is_lost() {
        let (_dir, root) = with_link();
        let view = MountView::default();
        let mut resolver = Resolver::new(root.as_fd(), &view);
        let rule = "[[file]]\nid = \"r\"\nallow = [\"read\"]\n";
        let remarks = resolved(&format!("{rule}path = [\"/out/**\"]\n"), &mut resolver);
        assert_eq!(remarks.len(), 1);
        assert!(
            remarks[0].contains("through /out (rules r)") && remarks[0].contains("leads to /etc"),
            "{remarks:?}"
        );
        let both = resolved(
            &format!("{rule}path = [\"/out/**\", \"/etc/**\"]\n"),
            &mut Resolver::new(root.as_fd(), &view),
        );
        assert_eq!(both, [""; 0]);
        let denied = "[[file]]\nid = \"d\"\ndeny = [\"read\"]\npath = [\"/out/**\"]\n";
        let denied = resolved(denied, &mut Resolver::new(root.as_fd(), &view));
        assert_eq!(denied, [""; 0]);
    }

    #[test]
    fn the_link_that_a_session_could_have_made_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let owner = nix::unistd::getuid().as_raw();
        symlink("usr", dir.path().join("link")).unwrap();
        symlink("link/bin", dir.path().join("second")).unwrap();
        fs::create_dir_all(dir.path().join("usr/bin")).unwrap();
        let root = File::open(dir.path()).unwrap();
        let view = MountView::new(&[crate::mounts::Mount {
            id: 1,
            parent: 0,
            dev: 1,
            root: b"/".into(),
            point: b"/".into(),
            fstype: "ext4".into(),
            source: String::new(),
            options: Vec::new(),
        }]);
        let nobody = |_: &Spot| None;
        let somebody = |_: &Spot| Some("agent-1".to_owned());
        let answer = |makers: &Makers<'_>, path: &[u8]| {
            let resolver = Resolver::new(root.as_fd(), &view).of_owner(owner);
            let mut resolver = resolver.asking(makers);
            let answer = resolver.resolve(&prefix(path, false, Effect::Allow));
            (answer.unwrap(), resolver.resolutions())
        };
        assert_eq!(answer(&nobody, b"/second/x").0, to(&["/usr/bin/x"]));
        let (same, resolutions) = answer(&somebody, b"/second/x");
        assert_eq!(same, Resolution::Same);
        let because = &resolutions.answers[0].unfollowed.as_ref().unwrap().because;
        assert!(because.contains("agent-1"), "{because}");
        // The first is trusted, the second is not: what is left is as the second was nothing.
        let second = std::cell::Cell::new(false);
        let later = |_: &Spot| second.replace(true).then(|| "agent-1".to_owned());
        assert_eq!(answer(&later, b"/second/x").0, to(&["/link/bin/x"]));
    }

    #[test]
    fn an_image_does_not_choose_which_mount_a_path_means() {
        let dir = tempfile::tempdir().unwrap();
        let owner = nix::unistd::getuid().as_raw();
        for (link, to) in [
            ("bin", "usr/bin"),
            ("app", "/keys/a"),
            ("later", "keys/none"),
        ] {
            symlink(to, dir.path().join(link)).unwrap();
        }
        fs::create_dir_all(dir.path().join("usr/bin")).unwrap();
        fs::create_dir_all(dir.path().join("keys/a")).unwrap();
        let root = File::open(dir.path()).unwrap();
        for (link, to) in [("above", "/srv"), ("all", "."), ("beside", "/srvx")] {
            symlink(to, dir.path().join(link)).unwrap();
        }
        fs::create_dir_all(dir.path().join("srv/deep/er")).unwrap();
        fs::create_dir_all(dir.path().join("srvx")).unwrap();
        let mount = |id, root: &str, point: &str| crate::mounts::Mount {
            id,
            parent: id - 1,
            // Of one filesystem, as a volume can be.
            dev: 1,
            root: root.into(),
            point: point.into(),
            fstype: "ext4".into(),
            source: String::new(),
            options: Vec::new(),
        };
        let mut third = mount(3, "/srv/more", "/srv/deep/er");
        third.parent = 1;
        let view = MountView::new(&[
            mount(1, "/image", "/"),
            mount(2, "/srv/keys", "/keys"),
            third,
        ]);
        let answer = |effect, path: &[u8]| {
            let resolver = Resolver::new(root.as_fd(), &view).of_owner(owner);
            let mut resolver = resolver.keeping_to_mounts();
            let answer = resolver.resolve(&prefix(path, false, effect)).unwrap();
            let unfollowed = resolver.resolutions().answers;
            let unfollowed = unfollowed.into_iter().find_map(|answer| answer.unfollowed);
            (answer, unfollowed.is_some())
        };
        assert_eq!(answer(Effect::Allow, b"/bin").0, to(&["/usr/bin"]));
        for path in ["/app/x", "/later"] {
            let (same, unfollowed) = answer(Effect::Allow, path.as_bytes());
            assert_eq!((same, unfollowed), (Resolution::Same, true), "{path}");
        }
        // Nor which of those below a directory.
        for path in ["/above", "/above/deep", "/all"] {
            let (same, unfollowed) = answer(Effect::Allow, path.as_bytes());
            assert_eq!((same, unfollowed), (Resolution::Same, true), "{path}");
        }
        assert_eq!(answer(Effect::Allow, b"/beside").0, to(&["/srvx"]));
        let resolver = Resolver::new(root.as_fd(), &view).of_owner(owner);
        let itself = prefix(b"/above", true, Effect::Allow);
        let itself = resolver.keeping_to_mounts().resolve(&itself).unwrap();
        assert_eq!(itself, to(&["/srv", "/above"]));
        // A denial goes wherever it leads.
        let denied = answer(Effect::Deny, b"/app/x").0;
        assert_eq!(denied, to(&["/keys/a/x", "/app/x"]));
    }

    #[test]
    fn what_leads_nowhere_keeps_nobody_from_starting() {
        let dir = tempfile::tempdir().unwrap();
        symlink("loop", dir.path().join("loop")).unwrap();
        let root = File::open(dir.path()).unwrap();
        let view = MountView::default();
        for effect in [Effect::Allow, Effect::Deny] {
            let mut resolver = Resolver::new(root.as_fd(), &view);
            let answer = resolver.resolve(&prefix(b"/loop/x", false, effect));
            assert_eq!(answer.unwrap(), Resolution::Same, "{effect:?}");
        }
    }

    #[test]
    fn what_an_earlier_version_stored_is_read() {
        let old = r#"[{"path":{"text":"/bin"},"whole":false,"narrowing":false,"to":[{"text":"/usr/bin"}]}]"#;
        let resolutions: Resolutions = serde_json::from_str(old).unwrap();
        let mut resolver = Resolver::replay(&resolutions);
        let answer = resolver.resolve(&prefix(b"/bin", false, Effect::Allow));
        assert_eq!(answer.unwrap(), to(&["/usr/bin"]));
    }
}
