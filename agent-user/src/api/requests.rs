//! What the command line asks for.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{PathText, Verdict, Word};

/// A grant with everything that it includes, as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GrantSource {
    /// The file that was named.
    pub main: SourceFile,
    /// What it includes, and what that includes.
    pub includes: Vec<SourceFile>,
}

impl GrantSource {
    /// The files that are named by their paths, with what is in them: those that do not belong to an operator's
    /// directory of grants, nor ship.
    #[must_use]
    pub fn texts_by_path(&self) -> BTreeSet<(Vec<u8>, Arc<str>)> {
        let files = std::iter::once(&self.main).chain(&self.includes);
        let by_path = files.filter(|file| file.name.contains('/') || file.name.ends_with(".toml"));
        by_path
            .filter_map(|file| Some((file.file.as_ref()?.bytes(), Arc::clone(&file.text))))
            .collect()
    }
}

/// One file of a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SourceFile {
    /// What an `include` calls it; for the main file, what the user wrote.
    pub name: String,
    /// Where it was read, for messages.
    pub origin: String,
    /// What is in it.
    pub text: Arc<str>,
    /// Its absolute path, links not followed; `None`: it ships.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathText>,
}

/// Puts a grant in force.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StartSession {
    /// For which processes.
    pub target: Target,
    /// The grant.
    pub grant: GrantSource,
    /// What fills in its variables.
    pub inputs: Inputs,
    /// For `bailiff ps`.
    pub command: Vec<String>,
    /// Where nobody named the grant: what was looked for instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sought: Option<Sought>,
}

/// The search for a checkout's own grant, `bailiff.toml`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Sought {
    /// Where it began; it goes upwards.
    pub from: PathText,
    /// What was found, which is used only if the caller's user trusts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathText>,
}

/// Trusts a grant's file, as its text is now.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Trust {
    /// The file's absolute path.
    pub file: PathText,
    /// What is in it, with what it includes.
    pub grant: GrantSource,
}

/// Trusts a grant's file no longer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Distrust {
    /// The file's absolute path.
    pub file: PathText,
}

/// A grant's file that a user trusts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Trusted {
    /// The file's absolute path.
    pub file: PathText,
    /// Whose sessions may use it.
    pub uid: u32,
    /// Since when, with the text that it has.
    pub since: jiff::Timestamp,
}

/// What fills in a grant's variables. For a cgroup that is tagged the daemon fills in what is left open,
/// by the process there that began first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Inputs {
    /// The working directory.
    pub cwd: Option<String>,
    /// The home directory.
    pub home: Option<String>,
    /// The name of the user.
    pub user: Option<String>,
    /// From `--set`.
    pub set: BTreeMap<String, String>,
}

impl Inputs {
    /// Those that are known, by name.
    #[must_use]
    pub fn all(&self) -> BTreeMap<String, String> {
        let given = [
            ("cwd", &self.cwd),
            ("home", &self.home),
            ("user", &self.user),
        ];
        let given = given
            .into_iter()
            .filter_map(|(name, v)| Some((name.into(), v.clone()?)));
        given.chain(self.set.clone()).collect()
    }
}

/// What the process says that enrols itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Enrol {
    /// Its parent leads a terminal's session that was made for it, and nobody else is in that.
    pub own_terminal: bool,
}

/// For which processes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// A cgroup that the daemon makes; processes enrol themselves.
    New,
    /// A running cgroup: below the hierarchy, or as `/proc/PID/cgroup` writes it.
    Cgroup(String),
    /// The same; each process is limited from the next program on that it executes.
    CgroupAtExec(String),
    /// The cgroup of a container that its runtime has made and not started: each process is limited from the
    /// container's program on.
    Container {
        /// The container's first process.
        process: u32,
        /// The container's id.
        id: String,
        /// Where its engine made its root directory, if that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        root: Option<String>,
        /// Where something is to be mounted in it.
        #[serde(default)]
        destinations: Vec<String>,
        /// What of the host is to be mounted in it, by where that is.
        #[serde(default)]
        binds: BTreeMap<String, String>,
        /// Directories of the host of which overlays in it are made.
        #[serde(default)]
        layers: Vec<String>,
    },
    /// The calling process where it is, from the next program on that it executes.
    Caller,
}

/// Which events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct EventFilter {
    /// Not older.
    pub since: Option<jiff::Timestamp>,
    /// Not newer.
    pub until: Option<jiff::Timestamp>,
    /// Name or number.
    pub session: Option<String>,
    /// A right (`file.write`), or a family of rights (`file`).
    pub right: Option<String>,
    /// What became of the act.
    pub verdict: Option<Word<Verdict>>,
    /// A glob over the whole path or object.
    pub path: Option<String>,
    /// The id of the rule that decided.
    pub rule: Option<String>,
    /// Only events with a greater id.
    pub after: Option<i64>,
    /// The newest so many.
    pub limit: Option<u32>,
}

/// Which refusal to explain: this event, or the latest that passes the rest. A process of a session is told of its
/// own session, and of what is likely meant: what its parent's children were refused last, and by a rule before
/// what no rule allows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct WhyQuery {
    /// This one, by its number.
    pub event: Option<i64>,
    /// The latest of this session, by its name or number.
    pub session: Option<String>,
    /// A right (`file.write`), or a family of rights (`file`).
    pub right: Option<String>,
    /// A glob over the whole path or object.
    pub path: Option<String>,
    /// Just the one with this place, counted from the latest, which has 0.
    pub nth: Option<u32>,
}

/// Which sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct SessionsQuery {
    /// Those that have ended too, the newest of them.
    pub all: bool,
}

/// Which tagged processes to free.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Untag {
    /// Name, number or cgroup.
    pub session: String,
}
